"""What a domain has so far, and the command that makes what it has not."""

from dataclasses import dataclass, replace

from lsntp.archives.analysis import AnalysisArchive
from lsntp.archives.coverage import Coverage
from lsntp.archives.evaluation import EvaluationArchive
from lsntp.archives.forecast import ForecastArchive
from lsntp.config import Domain
from lsntp.errors import ArchiveNotFoundError, ModelError, TrainingDataError
from lsntp.evaluation.table import counted
from lsntp.report.html import INDEX, render_page
from lsntp.times import format_time
from lsntp.training.champion import champion_of, one_line
from lsntp.training.versions import list_versions
from lsntp.training_data.splits import make_split
from lsntp.workspace import Workspace


@dataclass(frozen=True)
class Step:
    """One step from source to scores: what there is, and the command that makes more of it."""

    name: str
    found: str
    command: str
    is_done: bool


def steps_of(domain: Domain) -> list[Step]:
    """The steps in order, each with what it has left on disk.

    Raises:
        ArchiveError: if an archive is damaged.
    """
    return [
        _analyses(domain),
        _step("Models", _models(domain), "train", domain),
        _step("Forecasts", _forecasts(domain), "forecast", domain),
        _step("Scores", _scores(domain), "evaluate", domain),
    ]


def render_steps(domain: Domain, steps: list[Step], reason: str) -> str:
    """The first page before there is a score: what is there, and what to run next.

    Args:
        domain: whose report.
        steps: see :func:`steps_of`.
        reason: why there is no comparison yet.
    """
    following = next((step for step in steps if not step.is_done), steps[-1])
    return render_page("steps.html", INDEX, domain, steps=steps, following=following, reason=reason)


def _step(name: str, found: str, verb: str, domain: Domain) -> Step:
    return Step(name, found or "none yet", f"lsntp {verb} {domain.reference}", is_done=bool(found))


def _analyses(domain: Domain) -> Step:
    """Done when there is what the configured split trains on: a first ingest is the newest only."""
    name = "Analyses"
    try:
        archive = AnalysisArchive.open(Workspace.of(domain).analysis)
    except ArchiveNotFoundError:
        return _step(name, "", "ingest", domain)
    held = Coverage(archive.times, archive.status, archive.cadence)
    if not held.usable.size:
        return _step(name, "", "ingest", domain)
    found = (
        f"{counted(held.usable.size, 'usable field')}, the last of {format_time(held.usable[-1])}"
    )
    if domain.retrain.window == "fixed" and not list_versions(Workspace.of(domain).models):
        try:
            make_split(domain, archive)
        except TrainingDataError:
            short = f"{found}; too few in the training and validation blocks"
            return replace(_step(name, short, "backfill", domain), is_done=False)
    return _step(name, found, "ingest", domain)


def _models(domain: Domain) -> str:
    versions = list_versions(Workspace.of(domain).models)
    models = {version.model for version in versions}
    if not versions:
        return ""
    try:
        champion = champion_of(domain)
        chosen = f"champion {champion.version}" if champion else "no champion yet"
    except ModelError as error:
        chosen = f"champion unknown: {one_line(error)}"
    return f"{counted(len(versions), 'version')} of {counted(len(models), 'model')}, {chosen}"


def _forecasts(domain: Domain) -> str:
    written = []
    for model in domain.model_names:
        try:
            written.append(ForecastArchive.open(Workspace.of(domain).forecast(model)).written())
        except ArchiveNotFoundError:
            continue
    written = [times for times in written if times.size]
    if not written:
        return ""
    newest = max(times[-1] for times in written)
    return f"of {counted(len(written), 'model')}, the last from {format_time(newest)}"


def _scores(domain: Domain) -> str:
    try:
        archive = EvaluationArchive.open(Workspace.of(domain).evaluation)
    except ArchiveNotFoundError:
        return ""
    models = set(archive.models) & set(domain.model_names)
    return f"of {counted(len(models), 'model')}" if models else ""
