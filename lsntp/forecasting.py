"""Rolling forecasts: one from every initial time with a complete history and none yet.

Every model has its own archive; that of ``champion`` holds what users are to read: each forecast
by the version that was champion when it was made. A version named whole is a model like any other,
with an archive of its own, so that two versions can be scored from the same initial times.
"""

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from lsntp.archives.analysis import AnalysisArchive
from lsntp.archives.forecast import ForecastArchive
from lsntp.archives.superseded import superseded
from lsntp.config import Domain
from lsntp.errors import ArchiveNotFoundError, LsntpError, ModelError, TrainingDataError
from lsntp.grid import Fields
from lsntp.guidance import CORRECTED, RAW, correct_guidance, fetch_guidance
from lsntp.models.base import Forecaster, QuantileForecaster
from lsntp.names import CHAMPION, VERSION_PATTERN, Status
from lsntp.progress import track
from lsntp.publication import ForecastReport, create_forecasts, written_forecasts
from lsntp.times import Instant, Period, Times, format_time, parse_time, utc_now
from lsntp.training.champion import open_champion
from lsntp.training.decisions import decisions_of
from lsntp.training.history import is_complete, open_analysis, read_fields, status_of
from lsntp.training.loading import load_forecaster
from lsntp.training.versions import ModelVersion, latest_version, open_version
from lsntp.workspace import Workspace

BATCH = 64
"""Initial times forecast and published together."""

_log = logging.getLogger(__name__)


def forecast(
    domain: Domain,
    *,
    models: Sequence[str] | None = None,
    period: Period | None = None,
    latest: bool = False,
    redo_superseded: bool = False,
    clock: Callable[[], Instant] = utc_now,
) -> list[ForecastReport]:
    """:func:`forecast_models`, then :func:`forecast_guidance`.

    Forecasts of the domain's own source come last: where it cannot be reached, ours are made.
    """
    reports: list[ForecastReport] = []
    failures = _Failures(is_all=models is None)
    with failures.of("the domain's models"):
        reports += forecast_models(
            domain, models=models, period=period, latest=latest, redo_superseded=redo_superseded
        )
    with failures.of("its source"):
        reports += forecast_guidance(
            domain, models=models, period=period, latest=latest, clock=clock
        )
    failures.raise_if_any()
    names = _asked_names(domain, models)
    return sorted(reports, key=lambda report: names.index(report.model))


def forecast_models(
    domain: Domain,
    *,
    models: Sequence[str] | None = None,
    period: Period | None = None,
    latest: bool = False,
    redo_superseded: bool = False,
) -> list[ForecastReport]:
    """Write every missing forecast of the newest version of each model, and of the champion.

    Who is champion is read once, at the start: a promotion meanwhile concerns the next run. A
    rerun writes nothing. With a moving training window (``retrain``) a version forecasts only
    from where its own training and validation end. The source is not asked for anything.

    A forecast that is there stays as it was made, also when its inputs become final, unless
    ``redo_superseded``: then it is made again, withdrawn, and the new one published, batch by
    batch. Killed between the last two, the next run makes it.

    Without ``models`` one that fails is in nobody's way: the others are forecast, and what
    failed is raised at the end.

    Args:
        domain: what to forecast for.
        models: names, ``champion`` and whole names of versions among them, those of the
            source's own forecasts passed over; None for every model of the domain that has a
            version and, if there is one, the champion.
        period: initial times to forecast from; None for all of the analysis archive.
        latest: only from the newest initial time whose history is complete.
        redo_superseded: make those again whose preliminary inputs are final now.

    Raises:
        ModelError: if a model has no version, is damaged, does not fit the domain, or gives
            values that are not finite; these are never published. Without ``models`` also if
            several failed for reasons of different kinds; it names them all.
        ArchiveError: if there is no analysis archive, or an archive has another grid.
        ArchiveBusyError: if another process is writing the same forecasts.
        StorageError: if the storage refuses.
    """
    names = _asked_names(domain, models)
    failures = _Failures(is_all=models is None)
    versions = _versions(domain, names, failures)
    analysis = open_analysis(domain)
    asked = _asked_times(analysis, period)
    reports = []
    for name, version in versions.items():
        with failures.of(name):
            reports.append(
                _forecast(
                    domain,
                    analysis,
                    name,
                    version,
                    asked,
                    latest=latest,
                    redo_superseded=redo_superseded,
                )
            )
    failures.raise_if_any()
    return reports


def forecast_by(
    domain: Domain, name: str, version: str, period: Period, *, redo_superseded: bool = False
) -> ForecastReport:
    """Write the missing forecasts of one archive by a version that is named.

    Args:
        domain: what to forecast for.
        name: of the archive.
        version: its whole name.
        period: initial times to forecast from.
        redo_superseded: make those again whose preliminary inputs are final now.

    Raises:
        ModelError: if there is no such version, or it does not fit the domain.
        ArchiveError: if there is no analysis archive, or an archive has another grid.
        ArchiveBusyError: if another process is writing the same forecasts.
        StorageError: if the storage refuses.
    """
    analysis = open_analysis(domain)
    return _forecast(
        domain,
        analysis,
        name,
        open_version(Workspace.of(domain).models, version),
        _asked_times(analysis, period),
        latest=False,
        redo_superseded=redo_superseded,
    )


def forecast_rivals(domain: Domain, models: Sequence[str]) -> list[ForecastReport]:
    """Write what the newest comparison of each model's versions with a champion was about.

    Candidate and champion forecast, each in an archive of its own name, from the initial times of
    that comparison; what started from preliminary analyses that are final now is made again, so
    that neither has worse ones than the other. :func:`lsntp.evaluation.scoring.evaluate` then
    scores them side by side. A rerun writes nothing. A version that is gone or damaged since is
    left out, and said.

    Args:
        domain: whose versions.
        models: whose candidates.

    Returns:
        One each candidate and champion.

    Raises:
        ArchiveError: if there is no analysis archive, or an archive has another grid.
        ArchiveBusyError: if another process is writing the same forecasts.
        StorageError: if the storage refuses.
    """
    newest: dict[str, tuple[str, str, tuple[str, str]]] = {}
    for decision in decisions_of(domain):
        model = decision.candidate.rpartition("-")[0]
        is_compared = decision.rule == "against the champion"
        if is_compared and decision.champion and decision.window and model in models:
            newest[model] = (decision.candidate, decision.champion, decision.window)
    reports = []
    for candidate, champion, window in newest.values():
        first, last = map(parse_time, window)
        period = Period(first, last + domain.cadence)
        for version in (candidate, champion):
            try:
                report = forecast_by(domain, version, version, period, redo_superseded=True)
                reports.append(report)
            except ModelError as error:
                _log.warning("No forecasts of %s to compare: %s", version, error)
    return reports


def forecast_guidance(
    domain: Domain,
    *,
    models: Sequence[str] | None = None,
    period: Period | None = None,
    latest: bool = False,
    limit: int | None = None,
    clock: Callable[[], Instant] = utc_now,
) -> list[ForecastReport]:
    """Fetch every missing forecast of the domain's own source, and correct it for its bias.

    Args:
        domain: what to forecast for.
        models: names, those of our models passed over; None for all.
        period: initial times to forecast from; None for all of the analysis archive.
        latest: only from the newest initial time.
        limit: fetch from so many initial times at most, the newest; None for all.
        clock: what time it is.

    Raises:
        TrainingDataError: if a named bias correction has too little to be fitted on.
        SourceDataError: if the source's own forecasts cannot be used.
        SourceUnavailableError: if the source's own forecasts cannot be reached.
        CredentialsError: if the source refuses us.
        ArchiveError: if there is no analysis archive, or an archive has another grid.
        ArchiveBusyError: if another process is writing the same forecasts.
        StorageError: if the storage refuses.
    """
    names = [name for name in _asked_names(domain, models) if name in domain.guidance]
    reports: list[ForecastReport] = []
    if not names:
        return reports
    analysis = open_analysis(domain)
    asked = _asked_times(analysis, period)
    if RAW in names:
        reports.append(fetch_guidance(domain, asked, latest=latest, limit=limit, clock=clock))
    if CORRECTED in names:
        try:
            reports.append(correct_guidance(domain, analysis, asked, latest=latest))
        except TrainingDataError as error:
            if models is not None:
                raise
            _log.warning("No forecasts of %s: %s", CORRECTED, error)
    return reports


def _asked_names(domain: Domain, models: Sequence[str] | None) -> tuple[str, ...]:
    return (CHAMPION, *domain.model_names) if models is None else tuple(models)


def _asked_times(analysis: AnalysisArchive, period: Period | None) -> Times:
    times = analysis.times
    return times[period.contains(times)] if period else times


@dataclass(frozen=True)
class _Failures:
    """What went wrong with which model; where not all are asked for, the first ends the run."""

    is_all: bool
    by_model: dict[str, LsntpError] = field(default_factory=dict)

    @contextmanager
    def of(self, name: str) -> Iterator[None]:
        """Keep an error of this model until the others had their turn."""
        try:
            yield
        except LsntpError as error:
            if not self.is_all:
                raise
            _log.info("No forecasts of %s: %s", name, error)
            self.by_model[name] = error

    def raise_if_any(self) -> None:
        """One error for all: of their kind, if it is one and the same, else ``ModelError``."""
        errors = list(self.by_model.values())
        if not errors:
            return
        if len(errors) == 1:
            raise errors[0]
        kinds = {type(error) for error in errors}
        kind = kinds.pop() if len(kinds) == 1 else ModelError
        said = "; ".join(f"of {name}: {error}" for name, error in self.by_model.items())
        raise kind(
            f"Expected forecasts of every model, found none of {', '.join(self.by_model)}; the "
            f"others are written. What is wrong {said}"
        ) from errors[0]


def _versions(domain: Domain, names: Sequence[str], failures: _Failures) -> dict[str, ModelVersion]:
    """The champion, and the newest version of each model that is trained, in the order of names."""
    folder = Workspace.of(domain).models
    versions, missing = {}, []
    for name in names:
        if name in domain.guidance:
            continue
        with failures.of(name):
            found = _version(domain, name)
            if found is None:
                missing.append(name)
            else:
                versions[name] = found
    if missing and not (failures.is_all and (versions or domain.guidance)):
        failures.raise_if_any()
        raise ModelError(
            f"Expected a trained version of {', '.join(missing)} in {folder}, found none; run "
            "`lsntp train`."
        )
    if missing:
        _log.warning("No version yet of %s; `lsntp train` makes them.", ", ".join(missing))
    return versions


def _version(domain: Domain, name: str) -> ModelVersion | None:
    """The champion, a version by its whole name, or the newest of a model; None where none is."""
    folder = Workspace.of(domain).models
    if name == CHAMPION:
        return open_champion(domain)
    if VERSION_PATTERN.fullmatch(name):
        return open_version(folder, name)
    return latest_version(folder, name)


def _forecast(
    domain: Domain,
    analysis: AnalysisArchive,
    name: str,
    version: ModelVersion,
    asked: Times,
    *,
    latest: bool,
    redo_superseded: bool,
) -> ForecastReport:
    forecaster = load_forecaster(version, domain)
    if domain.retrain.is_moving:
        asked = asked[asked + domain.lead_times[0] >= version.seen.end]
    status = status_of(analysis, asked, forecaster.offsets)
    ready = is_complete(status)
    if latest and ready.any():
        newest = int(np.flatnonzero(ready)[-1])
        asked, status, ready = asked[newest:], status[newest:], ready[newest:]
    stale = np.intersect1d(_superseded(domain, analysis, name), asked[ready])
    redone = stale if redo_superseded else stale[:0]
    written, made_by = written_forecasts(domain, name)
    stays = ~np.isin(written, redone)
    written, made_by = written[stays], made_by[stays]
    missing = np.flatnonzero(ready & ~np.isin(asked, written))
    older = np.isin(asked[ready], written[made_by != version.version]).sum()
    if missing.size:
        due, worst = asked[missing], _worst(status[missing])
        _write(domain, name, version, forecaster, analysis, due, worst, redone)
    return ForecastReport(
        model=name,
        version=version.version,
        written=asked[missing],
        already=int(ready.sum()) - missing.size,
        older=int(older),
        incomplete=int((~ready).sum()),
        superseded=stale.size - redone.size,
    )


def _write(
    domain: Domain,
    name: str,
    version: ModelVersion,
    forecaster: Forecaster,
    analysis: AnalysisArchive,
    init_times: Times,
    analysis_status: npt.NDArray[np.int8],
    redone: Times,
) -> None:
    """Forecast and publish batch by batch; the archive is made with the first good forecast.

    What is ``redone`` is withdrawn only when its successor is there to be published.
    """
    archive = None
    starts = range(0, init_times.size, BATCH)
    for batch in track([slice(i, i + BATCH) for i in starts], f"forecast {name}"):
        t2m, quantiles = _predict(forecaster, analysis, init_times[batch], version)
        archive = archive or create_forecasts(domain, name, _described(name, version))
        if (replaced := np.intersect1d(init_times[batch], redone)).size:
            archive.withdraw(replaced)
        archive.publish(
            init_times[batch],
            t2m,
            model_version=version.version,
            analysis_status=analysis_status[batch],
            quantiles=quantiles,
        )


def _predict(
    forecaster: Forecaster, analysis: AnalysisArchive, init_times: Times, version: ModelVersion
) -> tuple[Fields, Fields | None]:
    """Forecasts (n, K, H, W), K, all finite, and their quantiles (n, Q, K, H, W) where known."""
    history = read_fields(analysis, init_times, forecaster.offsets)
    if isinstance(forecaster, QuantileForecaster):
        prediction, quantiles = forecaster.forecast_with_quantiles(history, init_times)
    else:
        prediction, quantiles = forecaster.forecast(history, init_times), None
    broken = init_times[~np.isfinite(prediction).all(axis=(1, 2, 3))]
    if broken.size:
        raise ModelError(
            f"Expected finite forecasts from {version.version}, found NaN or infinity from "
            f"{', '.join(map(format_time, broken))}; none of this batch was published. Train "
            "the model again, or remove the version to return to the one before."
        )
    return prediction, quantiles


def _worst(status: npt.NDArray[np.int8]) -> npt.NDArray[np.int8]:
    """PRELIMINARY (n,) where any input is, else FINAL."""
    preliminary = (status == Status.PRELIMINARY).any(axis=1)
    return np.where(preliminary, Status.PRELIMINARY, Status.FINAL).astype(np.int8)


def _described(name: str, version: ModelVersion) -> str:
    return "the champion of each time" if name == CHAMPION else f"{version.kind} {name}"


def _superseded(domain: Domain, analysis: AnalysisArchive, name: str) -> Times:
    try:
        archive = ForecastArchive.open(Workspace.of(domain).forecast(name))
    except ArchiveNotFoundError:
        return np.array([], "datetime64[ns]")
    return superseded(domain, archive, analysis)
