"""The page about coverage: every time of the analyses, forecasts and scores, drawn and listed."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lsntp.archives.analysis import AnalysisArchive
from lsntp.archives.coverage import Coverage, Run
from lsntp.archives.evaluation import EvaluationArchive
from lsntp.archives.forecast import ForecastArchive
from lsntp.config import Domain
from lsntp.errors import ArchiveNotFoundError
from lsntp.evaluation.table import counted
from lsntp.life_cycle import HourState, LifeCycle
from lsntp.report.calendar import (
    STATUS_LABELS,
    Calendar,
    Count,
    Strip,
    calendar,
    gap_runs,
    strips,
)
from lsntp.report.html import COVERAGE, NumberTable, render_page
from lsntp.report.page import blocks_of
from lsntp.times import Duration, Times, format_time, in_hours
from lsntp.workspace import Workspace

MAX_RUNS = 200
"""Listed, newest first; older ones are counted."""
WHY_LENGTH = 200
"""Characters of a reason that are shown."""
STATE_LABELS = {
    HourState.PENDING: "asked for, under way",
    **{HourState(status.name.lower()): label for status, label in STATUS_LABELS.items()},
}

_NONE, _WRITTEN, _SCORED = 0, 1, 2
_COLOURS = {_SCORED: (47, 126, 163, 255), _WRITTEN: (140, 197, 222, 255)}


@dataclass(frozen=True)
class ModelHoldings:
    """What is there of one model, per initial time from its first forecast to its last.

    Attributes:
        model: its name.
        times: (n,) regular initial times; none before the first forecast.
        is_written: (n,) whether there is a forecast.
        scored_leads: (n,) how many of its leads are scored.
        leads: how many leads a forecast has.
        cadence: of the axis.
    """

    model: str
    times: Times
    is_written: npt.NDArray[np.bool_]
    scored_leads: npt.NDArray[np.int64]
    leads: int
    cadence: Duration

    @property
    def codes(self) -> npt.NDArray[np.int8]:
        """Nothing, written, or written and fully scored (n,)."""
        is_scored = self.is_written & (self.scored_leads == self.leads)
        return np.where(is_scored, _SCORED, np.where(self.is_written, _WRITTEN, _NONE)).astype(
            np.int8
        )


@dataclass(frozen=True)
class ModelStrip:
    """One model's calendar."""

    model: str
    strips: list[Strip]


def collect_coverage(domain: Domain) -> Coverage | None:
    """The coverage of the whole analysis archive; None before there is one."""
    try:
        archive = AnalysisArchive.open(Workspace.of(domain).analysis)
    except ArchiveNotFoundError:
        return None
    return Coverage(archive.times, archive.status, archive.cadence)


def collect_holdings(domain: Domain) -> list[ModelHoldings]:
    """What is there of every model of the domain that has forecasts, networks first."""
    try:
        scores = EvaluationArchive.open(Workspace.of(domain).evaluation)
    except ArchiveNotFoundError:
        scores = None
    names = (*domain.networks, *domain.guidance, *domain.baselines)
    found = [_holdings(domain, name, scores) for name in names]
    return [holdings for holdings in found if holdings is not None]


def render_coverage(
    domain: Domain,
    coverage: Coverage | None,
    holdings: Sequence[ModelHoldings],
    hours: LifeCycle | None = None,
) -> str:
    """The page.

    Args:
        domain: whose.
        coverage: of the whole analysis archive; None before there is one.
        holdings: of every model that has forecasts.
        hours: since when and why expected hours have no field, where that is to be told.
    """
    drawn = coverage is not None and coverage.times.size > 0
    return render_page(
        "coverage.html",
        COVERAGE,
        domain,
        calendar=_calendar(domain, coverage) if coverage is not None and drawn else None,
        gaps=_gaps(coverage, hours) if coverage else None,
        runs=_spans(coverage.runs(), "Spans of equal status") if coverage else None,
        models=[
            ModelStrip(
                one.model,
                strips(
                    one.times,
                    one.codes,
                    one.cadence,
                    _COLOURS,
                    what=f"Forecasts of {one.model}",
                    parts={},
                ),
            )
            for one in holdings
        ],
        counts=_model_counts(holdings),
        legend=[
            Count("scored", "forecast and scored", 0, ""),
            Count("written", "forecast, not fully scored", 0, ""),
            Count("missing", "no forecast", 0, ""),
        ],
    )


def _calendar(domain: Domain, coverage: Coverage) -> Calendar:
    return calendar(coverage, blocks_of(domain))


def _holdings(domain: Domain, model: str, scores: EvaluationArchive | None) -> ModelHoldings | None:
    try:
        archive = ForecastArchive.open(Workspace.of(domain).forecast(model))
    except ArchiveNotFoundError:
        return None
    written = archive.written()
    if not written.size:
        return None
    times = np.arange(written[0], written[-1] + archive.cadence, archive.cadence)
    scored = (
        np.zeros(times.size, np.int64)
        if scores is None
        else (scores.inputs_at(model, times) != 0).sum(axis=1)
    )
    return ModelHoldings(
        model,
        times,
        np.isin(times, written),
        scored,
        archive.lead_times.size,
        archive.cadence,
    )


def _model_counts(holdings: Sequence[ModelHoldings]) -> NumberTable:
    return NumberTable(
        "Forecasts and scores of each model, by initial time",
        ["Model", "First", "Last", "Forecasts", "Missing between", "Fully scored", "Partly", "Not"],
        [
            [
                one.model,
                format_time(one.times[0]),
                format_time(one.times[-1]),
                str(int(one.is_written.sum())),
                str(int((~one.is_written).sum())),
                str(int((one.codes == _SCORED).sum())),
                str(int((one.is_written & _is_partly(one)).sum())),
                str(int((one.is_written & (one.scored_leads == 0)).sum())),
            ]
            for one in holdings
        ],
        words=3,
    )


def _is_partly(one: ModelHoldings) -> npt.NDArray[np.bool_]:
    return np.asarray((one.scored_leads > 0) & (one.scored_leads < one.leads))


def _spans(runs: Sequence[Run], what: str) -> NumberTable:
    """Spans as text, newest first."""
    hidden = len(runs) - MAX_RUNS
    cut = f"; {counted(hidden, 'older one')} not listed" if hidden > 0 else ""
    return NumberTable(
        f"{what}, newest first{cut}",
        ["From", "Until", "Status", "Length"],
        [
            [
                format_time(run.start),
                format_time(run.end),
                STATUS_LABELS[run.status],
                _length(run.end - run.start),
            ]
            for run in reversed(runs[-MAX_RUNS:])
        ],
        words=3,
    )


def _gaps(coverage: Coverage, hours: LifeCycle | None) -> NumberTable:
    """Spans without a usable field, newest first, with their reasons where these are known."""
    what = "Spans without a usable field"
    if hours is None:
        return _spans(gap_runs(coverage), what)
    spans = [span for span in hours.spans() if not span.state.is_usable]
    hidden = len(spans) - MAX_RUNS
    cut = f"; {counted(hidden, 'older one')} not listed" if hidden > 0 else ""
    return NumberTable(
        f"{what}, newest first{cut}",
        ["From", "Until", "State", "Since", "Why", "Length"],
        [
            [
                format_time(span.start),
                format_time(span.end),
                STATE_LABELS[span.state],
                "" if np.isnat(span.since) else format_time(span.since),
                span.why[:WHY_LENGTH] + ("…" if len(span.why) > WHY_LENGTH else ""),
                _length(span.end - span.start),
            ]
            for span in reversed(spans[-MAX_RUNS:])
        ],
        words=5,
    )


def _length(duration: Duration) -> str:
    """``36 h``, ``12.5 days``."""
    length = in_hours(duration)
    return f"{length:g} h" if length < 72 else f"{round(length / 24, 1):g} days"
