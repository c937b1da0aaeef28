"""Everything the first page says, read from the archives and model versions of a domain."""

import numpy as np

from lsntp.archives.analysis import AnalysisArchive
from lsntp.archives.coverage import Coverage
from lsntp.archives.evaluation import EvaluationArchive
from lsntp.archives.forecast import ForecastArchive
from lsntp.config import Domain
from lsntp.errors import ArchiveNotFoundError, ModelError
from lsntp.evaluation.maps import error_maps, read_truth
from lsntp.evaluation.table import SkillTable
from lsntp.grid import Floats
from lsntp.names import CHAMPION, INIT_TIME, LEAD_TIME, Status
from lsntp.report.data import Case, ErrorMap, Links, ReportData
from lsntp.report.facts import facts_of
from lsntp.report.learned import learned_column, networks_with_a_graph
from lsntp.times import Instant
from lsntp.training.versions import ModelVersion, latest_version, open_version
from lsntp.workspace import Workspace


def collect(domain: Domain, table: SkillTable) -> ReportData:
    """The content of the first page about a comparison.

    Raises:
        ArchiveNotFoundError: if an archive behind the scores is gone.
    """
    workspace = Workspace.of(domain)
    analysis = AnalysisArchive.open(workspace.analysis)
    network = next((name for name in table.models if table.kinds[name] == "network"), None)
    shown = network or table.winner
    last = table.init_times[-1]
    read, example = _read_from(domain, shown, last)
    links, note = _links(domain, table)
    return ReportData(
        domain=domain,
        table=table,
        forecast_path=str(workspace.forecast(read)),
        example_init=example,
        cases=_cases(domain, analysis, table, shown),
        error_maps=tuple(
            _error_map(domain, model, table) for model in dict.fromkeys((table.winner, shown))
        ),
        links=links,
        links_note=note,
        coverage=Coverage(analysis.times, analysis.status, analysis.cadence),
        facts=facts_of(domain, analysis, table),
    )


def _read_from(domain: Domain, shown: str, last: Instant) -> tuple[str, Instant]:
    """The archive that users are to read, and an initial time it holds: the champion's if any."""
    try:
        written = ForecastArchive.open(Workspace.of(domain).forecast(CHAMPION)).written()
    except ArchiveNotFoundError:
        return shown, last
    return (CHAMPION, written[-1]) if written.size else (shown, last)


def _cases(
    domain: Domain, analysis: AnalysisArchive, table: SkillTable, shown: str
) -> tuple[Case, ...]:
    """The last forecast of the shown model and of the winner, and the shown one's worst."""
    last, worst = table.init_times[-1], _worst(domain, shown, table)
    wanted = {(model, last): f"{model}, the last forecast" for model in (shown, table.winner)}
    wanted.setdefault((shown, worst), f"{shown}, its worst forecast")
    return tuple(
        _case(domain, analysis, model, init_time, title)
        for (model, init_time), title in wanted.items()
    )


def _case(
    domain: Domain, analysis: AnalysisArchive, model: str, init_time: Instant, title: str
) -> Case:
    archive = ForecastArchive.open(Workspace.of(domain).forecast(model))
    start = np.array([init_time])
    return Case(
        title=title,
        model=model,
        init_time=init_time,
        lead_times=archive.lead_times,
        forecast=archive.read(start)[0].astype(np.float64),
        truth=read_truth(analysis, start, archive.lead_times)[0].astype(np.float64),
        is_preliminary=bool(archive.analysis_status_at(start)[0] == Status.PRELIMINARY),
    )


def _worst(domain: Domain, model: str, table: SkillTable) -> Instant:
    """The initial time of the largest mean absolute error over all leads."""
    with EvaluationArchive.open(Workspace.of(domain).evaluation).dataset() as stored:
        scores = stored.sel({"model": model, INIT_TIME: table.init_times})
        error = (scores["absolute_error_sum"] / scores["count"]).mean(LEAD_TIME).values
    return Instant(table.init_times[int(np.argmax(error))])


def _error_map(domain: Domain, model: str, table: SkillTable) -> ErrorMap:
    sums = error_maps(domain, model, table.init_times)

    def mean(name: str) -> Floats:
        return np.asarray((sums[name] / sums["map_count"]).mean(LEAD_TIME).values, np.float64)

    return ErrorMap(model, mae=mean("map_absolute_error_sum"), bias=mean("map_error_sum"))


def _links(domain: Domain, table: SkillTable) -> tuple[Links | None, str]:
    """The learned weights around the domain's place, or why there are none."""
    if domain.place is None:
        return None, "The domain file names no place whose learned correlations could be shown."
    try:
        version = _network_version(domain, table)
        if version is None:
            return None, "No network has been trained, so there are no learned correlations."
        return _learned(domain, version, domain.place), ""
    except ModelError as error:
        return None, f"There are no learned correlations to show: {error}"


def _network_version(domain: Domain, table: SkillTable) -> ModelVersion | None:
    """The newest version behind the best scores of a network with a graph, else of any network."""
    folder = Workspace.of(domain).models
    learners = networks_with_a_graph(domain) or list(domain.networks)
    best = next((name for name in table.models if name in learners), None)
    if best is not None:
        versions = [open_version(folder, version) for version in table.versions[best]]
        return max(versions, key=lambda version: version.provenance.created_at)
    found = [version for name in learners if (version := latest_version(folder, name))]
    return max(found, key=lambda version: version.provenance.created_at, default=None)


def _learned(domain: Domain, version: ModelVersion, place: tuple[float, float]) -> Links:
    cell = domain.target_grid.nearest_cell(*place)
    learned = learned_column(domain, version, cell)
    return Links(
        model=version.model,
        version=version.version,
        place=place,
        cell=learned.node,
        grid=learned.node_grid,
        weights=learned.weights,
    )
