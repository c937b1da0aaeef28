"""The page about the worst forecasts of the leading models, beside what persistence did."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lsntp.archives.analysis import AnalysisArchive
from lsntp.archives.evaluation import MODEL
from lsntp.archives.forecast import ForecastArchive
from lsntp.config import Domain
from lsntp.errors import ArchiveNotFoundError
from lsntp.evaluation.breakdown import RANK, worst_cases
from lsntp.evaluation.maps import read_truth
from lsntp.evaluation.table import SkillTable
from lsntp.grid import Floats
from lsntp.names import INIT_TIME, LEAD_TIME, Status
from lsntp.report.animation import ZERO_CELSIUS_K
from lsntp.report.html import WORST, NumberTable, render_page
from lsntp.report.links import place_mark
from lsntp.report.maps import Canvas, Frame, Scale, field_image, signed
from lsntp.report.scores import fixed, skill_text
from lsntp.report.through_time import PERSISTENCE
from lsntp.times import Duration, Instant, format_duration_h, format_time, hours
from lsntp.workspace import Workspace

CASES = 3
"""Of each model."""
APART = hours(24)
"""One bad day is one case."""


@dataclass(frozen=True)
class WorstCase:
    """The lead with the largest error of one of a model's worst forecasts.

    Attributes:
        model: who made it.
        rank: 1 is the worst.
        init_time: when it starts.
        lead_time: of the largest error.
        mae: of the whole forecast, mean over leads, K.
        lead_mae: at that lead, K.
        forecast: (H, W) K.
        truth: (H, W) K.
        persistence: (H, W) K at the same valid time; None where it was not forecast.
        is_preliminary: whether an input was preliminary.
    """

    model: str
    rank: int
    init_time: Instant
    lead_time: Duration
    mae: float
    lead_mae: float
    forecast: Floats
    truth: Floats
    persistence: Floats | None
    is_preliminary: bool


@dataclass(frozen=True)
class CaseView:
    """One case as headings, a sentence and named frames."""

    title: str
    sentence: str
    forecast: Frame
    truth: Frame
    error: Frame
    persistence: Frame | None


def leaders(table: SkillTable) -> list[str]:
    """The winner, and the best network if that is another."""
    network = next((name for name in table.models if table.kinds[name] == "network"), None)
    return list(dict.fromkeys(name for name in (table.winner, network) if name))


def collect_worst(domain: Domain, table: SkillTable) -> list[WorstCase]:
    """The worst cases of the leading models, by model and rank.

    Raises:
        EvaluationError: if nothing is scored in common.
        ArchiveNotFoundError: if the analyses or forecasts behind the scores are gone.
    """
    found = worst_cases(
        domain, n=CASES, models=list(table.models), weighting=table.weighting, apart=APART
    )
    analysis = AnalysisArchive.open(Workspace.of(domain).analysis)
    return [
        _case(
            domain,
            analysis,
            model,
            int(rank),
            Instant(row[INIT_TIME].item(), "ns"),
            Duration(row[LEAD_TIME].item(), "ns"),
            (float(row["mae"]), float(row["lead_mae"])),
        )
        for model in leaders(table)
        for rank in found[RANK].values
        for row in [found.sel({MODEL: model, RANK: rank})]
        if np.isfinite(row["mae"])
    ]


def render_worst(
    domain: Domain, table: SkillTable | None, cases: Sequence[WorstCase], note: str
) -> str:
    """The page; ``note`` says why when there is no case."""
    if table is None or not cases:
        return render_page("worst.html", WORST, domain, models=[], note=note)
    grid = domain.target_grid
    canvas = Canvas.of(grid)
    weights = grid.area_weights if table.weighting == "area" else np.ones(grid.shape)
    errors = [case.forecast - case.truth for case in cases]
    errors += [case.persistence - case.truth for case in cases if case.persistence is not None]
    temperature = Scale.spanning(
        np.stack([field for case in cases for field in (case.forecast, case.truth)])
        - ZERO_CELSIUS_K,
        colormap="RdYlBu_r",
        unit="°C",
        two_sided=True,
    )
    error_scale = Scale.diverging(np.stack(errors), colormap="PuOr_r", unit="K")
    models = dict.fromkeys(case.model for case in cases)
    draw = _Drawing(domain, weights, temperature, error_scale)
    return render_page(
        "worst.html",
        WORST,
        domain,
        models=[
            (name, [draw.view(case) for case in cases if case.model == name]) for name in models
        ],
        note=note,
        canvas=canvas,
        place_mark=place_mark(canvas, *domain.place) if domain.place else "",
        temperature=temperature,
        error_scale=error_scale,
        summary=_summary(cases, draw),
        apart=format_duration_h(APART),
        cases_each=CASES,
        winner=table.winner,
    )


@dataclass(frozen=True)
class _Drawing:
    """What all cases share: cells, their weights and the scales."""

    domain: Domain
    weights: Floats
    temperature: Scale
    error: Scale

    def mae(self, field: Floats, truth: Floats) -> float:
        """Mean absolute error of one field, K."""
        return float(np.average(np.abs(field - truth), weights=self.weights))

    def view(self, case: WorstCase) -> CaseView:
        """One case in words and pictures."""
        lead = f"+{format_duration_h(case.lead_time)}"
        valid = format_time(case.init_time + case.lead_time)
        caution = " An input of the forecast was preliminary." if case.is_preliminary else ""
        return CaseView(
            title=f"{case.rank}. Started {format_time(case.init_time)}",
            sentence=(
                f"Valid {valid} ({lead}, its worst lead): mean absolute error "
                f"{case.lead_mae:.2f} K, {case.mae:.2f} K over all leads. {self._persistence(case)}"
                f"{caution}"
            ),
            forecast=self._temperature(case.forecast, f"Forecast by {case.model} valid {valid}"),
            truth=self._temperature(case.truth, f"Analysis of {valid}"),
            error=self._error(
                case.forecast - case.truth, f"Forecast by {case.model} minus analysis at {valid}"
            ),
            persistence=None
            if case.persistence is None
            else self._error(
                case.persistence - case.truth, f"Persistence minus analysis at {valid}"
            ),
        )

    def _persistence(self, case: WorstCase) -> str:
        if case.model == PERSISTENCE:
            return "This is persistence itself."
        if case.persistence is None:
            return "Persistence was not forecast from there."
        held = self.mae(case.persistence, case.truth)
        verdict = "did better" if held < case.lead_mae else "did worse"
        return f"Persistence {verdict}: {held:.2f} K."

    def _temperature(self, field: Floats, what: str) -> Frame:
        celsius = field - ZERO_CELSIUS_K
        image = field_image(celsius, self.domain.target_grid, self.temperature)
        return Frame(image, f"{what}: {_span(celsius)} °C.")

    def _error(self, field: Floats, what: str) -> Frame:
        image = field_image(field, self.domain.target_grid, self.error)
        return Frame(image, f"{what}: {_span(field)} K.")


def _case(
    domain: Domain,
    analysis: AnalysisArchive,
    model: str,
    rank: int,
    init_time: Instant,
    lead_time: Duration,
    errors: tuple[float, float],
) -> WorstCase:
    archive = ForecastArchive.open(Workspace.of(domain).forecast(model))
    start = np.array([init_time])
    lead = int(np.flatnonzero(archive.lead_times == lead_time)[0])
    truth = read_truth(analysis, start, archive.lead_times)[0, lead]
    return WorstCase(
        model=model,
        rank=rank,
        init_time=init_time,
        lead_time=lead_time,
        mae=errors[0],
        lead_mae=errors[1],
        forecast=archive.read(start)[0, lead].astype(np.float64),
        truth=truth.astype(np.float64),
        persistence=None if model == PERSISTENCE else _persistence(domain, init_time, lead_time),
        is_preliminary=bool(archive.analysis_status_at(start)[0] == Status.PRELIMINARY),
    )


def _persistence(domain: Domain, init_time: Instant, lead_time: Duration) -> Floats | None:
    """What persistence forecast for the same time, if it did."""
    try:
        archive = ForecastArchive.open(Workspace.of(domain).forecast(PERSISTENCE))
    except ArchiveNotFoundError:
        return None
    lead = int(np.flatnonzero(archive.lead_times == lead_time)[0])
    field = archive.read(np.array([init_time]))[0, lead].astype(np.float64)
    return field if np.isfinite(field).all() else None


def _summary(cases: Sequence[WorstCase], draw: _Drawing) -> NumberTable:
    rows = []
    for case in cases:
        held = np.nan if case.persistence is None else draw.mae(case.persistence, case.truth)
        rows.append(
            [
                f"{case.model}, {case.rank}",
                format_time(case.init_time),
                f"+{format_duration_h(case.lead_time)}",
                format_time(case.init_time + case.lead_time),
                fixed(case.mae, 3),
                fixed(case.lead_mae, 3),
                fixed(held, 3),
                skill_text(1 - case.lead_mae / held) if held > 0 else "–",
            ]
        )
    columns = ["Model, rank", "Initial time", "Worst lead", "Valid time", "MAE, all leads"]
    columns += ["MAE, that lead", "MAE of persistence", "Skill against it"]
    return NumberTable(
        "The worst forecasts of the leading models; MAE in K", columns, rows, words=4
    )


def _span(field: Floats) -> str:
    return f"{signed(round(np.nanmin(field), 1))} to {signed(round(np.nanmax(field), 1))}"
