"""The page about models: every version, where it comes from, and which forecasts now."""

from dataclasses import dataclass

import numpy as np

from lsntp.archives.forecast import ForecastArchive
from lsntp.config import Domain
from lsntp.errors import ArchiveNotFoundError, ModelError
from lsntp.evaluation.table import counted
from lsntp.names import CHAMPION, VERSION_PATTERN
from lsntp.report.html import MODELS, NumberTable, render_page
from lsntp.report.judgements import judgements
from lsntp.report.scores import fixed, skill_text
from lsntp.report.through_time import ThroughTime, trend_view
from lsntp.times import Instant, format_time, parse_time
from lsntp.training.champion import champion_of
from lsntp.training.versions import ModelVersion, list_versions
from lsntp.workspace import Workspace

MAX_VERSIONS = 50
"""Of one model in its table; older ones are counted."""
DIGEST_SHOWN = 12


@dataclass(frozen=True)
class Use:
    """A version and the initial times it forecast; ``first`` to ``last`` may have holes."""

    version: str
    first: Instant
    last: Instant
    count: int


@dataclass(frozen=True)
class ModelHistory:
    """One model: its versions, oldest first, and which of them made its forecasts, in order."""

    model: str
    versions: tuple[ModelVersion, ...]
    uses: tuple[Use, ...]

    @property
    def now(self) -> str | None:
        """The version that made the newest forecast."""
        return self.uses[-1].version if self.uses else None


@dataclass(frozen=True)
class VersionRow:
    """One version as text."""

    version: str
    badge: str
    made: str
    trained_on: str
    data: str
    code: str
    mae: str
    skill: str
    windows: str


@dataclass(frozen=True)
class ModelView:
    """One model's section."""

    model: str
    sentence: str
    rows: list[VersionRow]
    older: int


def collect_histories(domain: Domain) -> list[ModelHistory]:
    """The champion's archive and every model with a version or a forecast, networks first."""
    folder = Workspace.of(domain).models
    versions = list_versions(folder)
    gone = {version.model for version in versions} - set(domain.model_names)
    names = (CHAMPION, *domain.networks, *domain.guidance, *domain.baselines, *sorted(gone))
    histories = [
        ModelHistory(
            name,
            tuple(version for version in versions if version.model == name),
            _uses(domain, name),
        )
        for name in names
    ]
    return [history for history in histories if history.versions or history.uses]


def damaged_versions(domain: Domain) -> list[str]:
    """Folders that are named like a version and are no complete one."""
    folder = Workspace.of(domain).models
    whole = {version.version for version in list_versions(folder)}
    named = folder.iterdir() if folder.is_dir() else ()
    return sorted(
        path.name
        for path in named
        if VERSION_PATTERN.fullmatch(path.name) and path.name not in whole
    )


def render_models(
    domain: Domain, histories: list[ModelHistory], trends: ThroughTime | None, note: str
) -> str:
    """The page.

    Args:
        domain: whose models.
        histories: see :func:`collect_histories`.
        trends: skill through time, or None with the reason in ``note``.
        note: said when there is none.
    """
    changes = [
        use.first for history in histories if history.model != CHAMPION for use in history.uses[1:]
    ]
    return render_page(
        "models.html",
        MODELS,
        domain,
        models=[_view(history) for history in histories if history.model != CHAMPION],
        now=_now(histories),
        trend=trend_view(trends, changes) if trends else None,
        note=note,
        damaged=damaged_versions(domain),
        champion=_champion(domain),
        judged=judgements(domain),
    )


def _champion(domain: Domain) -> str:
    """Who is champion, since when and why, or why that cannot be told."""
    try:
        champion = champion_of(domain)
    except ModelError as error:
        return str(error)
    if champion is None:
        return f"No version is champion yet. Run lsntp train {domain.reference}."
    return (
        f"Champion since {champion.since:%Y-%m-%d %H:%M}Z is {champion.version}, "
        f"{champion.action} by {champion.by}. {champion.reason}"
    )


def _uses(domain: Domain, model: str) -> tuple[Use, ...]:
    try:
        archive = ForecastArchive.open(Workspace.of(domain).forecast(model))
    except ArchiveNotFoundError:
        return ()
    init_times = archive.written()
    made_by = np.array(archive.model_versions(init_times), object)
    uses = [
        Use(str(version), chosen[0], chosen[-1], chosen.size)
        for version in dict.fromkeys(made_by)
        for chosen in [init_times[made_by == version]]
    ]
    return tuple(sorted(uses, key=lambda use: use.last))


def _now(histories: list[ModelHistory]) -> NumberTable:
    return NumberTable(
        "The version behind the newest forecast of each model",
        ["Model", "Version", "Newest forecast from", "Forecasts by it", "Stored versions"],
        [
            [
                history.model,
                _short(history.now, history.model) if history.now else "none",
                format_time(history.uses[-1].last) if history.uses else "–",
                str(history.uses[-1].count) if history.uses else "0",
                "–" if history.model == CHAMPION else str(len(history.versions)),
            ]
            for history in histories
        ],
        words=3,
    )


def _short(version: str, model: str) -> str:
    """The digest that tells the versions of one model apart."""
    return version.removeprefix(f"{model}-")


def _view(history: ModelHistory) -> ModelView:
    newest = history.versions[::-1]
    return ModelView(
        history.model,
        _sentence(history),
        [_row(version, history) for version in newest[:MAX_VERSIONS]],
        max(0, len(newest) - MAX_VERSIONS),
    )


def _sentence(history: ModelHistory) -> str:
    stored = f"{counted(len(history.versions), 'version')} stored."
    if not history.uses:
        return f"{stored} None has made a forecast yet."
    if history.versions and history.versions[-1].version != history.now:
        return (
            f"{stored} The newest forecast was not made by the newest version, which has made none "
            "or earlier ones only."
        )
    return f"{stored} Forecasts by {counted(len(history.uses), 'version')}, now by the newest."


def _row(version: ModelVersion, history: ModelHistory) -> VersionRow:
    provenance, recipe = version.provenance, version.provenance.recipe
    mae, persistence, windows = _validation(version)
    commit = f" ({provenance.commit[:DIGEST_SHOWN]})" if provenance.commit else ""
    uses = {use.version: use for use in history.uses}
    badge = "forecasts now" if version.version == history.now else ""
    if not badge and version.version in uses:
        badge = f"until {format_time(uses[version.version].last)}"
    return VersionRow(
        version=_short(version.version, history.model),
        badge=badge,
        made=f"{provenance.created_at:%Y-%m-%d %H:%M}Z",
        trained_on=f"{_day(recipe.training_period[0])} to {_day(recipe.training_period[1])}",
        data=recipe.training_data[:DIGEST_SHOWN],
        code=f"{recipe.code_version}{commit}",
        mae=fixed(mae, 3),
        skill=skill_text(1 - mae / persistence) if persistence > 0 else "–",
        windows=windows,
    )


def _validation(version: ModelVersion) -> tuple[float, float, str]:
    """MAE of the version and of persistence, mean over leads, and on how many windows."""
    try:
        scores = version.scores
        mae, persistence = (np.mean(scores[key]) for key in ("mae_k", "persistence_mae_k"))
        return float(mae), float(persistence), str(scores["windows"])
    except (ModelError, KeyError, TypeError, ValueError):
        return float("nan"), float("nan"), "–"


def _day(text: str) -> str:
    """The date of a stored time, with the hour unless it is midnight."""
    day, _, hour = format_time(parse_time(text)).partition("T")
    return day if hour == "00:00Z" else f"{day} {hour}"
