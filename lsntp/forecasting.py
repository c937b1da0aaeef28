"""Rolling forecasts: one from every initial time with a complete history and none yet."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

import lsntp
from lsntp.archives.analysis import AnalysisArchive
from lsntp.archives.forecast import ForecastArchive
from lsntp.archives.layout import CONFIGURATION
from lsntp.archives.superseded import superseded
from lsntp.config import Domain
from lsntp.errors import ArchiveNotFoundError, ModelError
from lsntp.grid import Fields
from lsntp.models.base import Forecaster
from lsntp.names import Status
from lsntp.progress import track
from lsntp.times import Period, Times, format_time
from lsntp.training.history import is_complete, open_analysis, read_fields, status_of
from lsntp.training.loading import load_forecaster
from lsntp.training.versions import ModelVersion, latest_version
from lsntp.workspace import Workspace

BATCH = 64
"""Initial times forecast and published together."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class ForecastReport:
    """What forecasting did for one model.

    Attributes:
        written: initial times whose forecasts are new.
        already: how many of the asked ones had a forecast.
        older: how many of those were made by another version; a forecast stays as it was made.
        incomplete: how many could not be forecast for want of a usable analysis.
        superseded: how many of those that stay were made from preliminary analyses that are
            final now; see :mod:`lsntp.archives.superseded`.
    """

    model: str
    version: str
    written: Times
    already: int
    older: int
    incomplete: int
    superseded: int = 0


def forecast(
    domain: Domain,
    *,
    models: Sequence[str] | None = None,
    period: Period | None = None,
    latest: bool = False,
    redo_superseded: bool = False,
) -> list[ForecastReport]:
    """Write every missing forecast of the newest version of each model; a rerun writes nothing.

    A forecast that is there stays as it was made, also when its inputs become final, unless
    ``redo_superseded``: then it is withdrawn and made again. Killed between the two, the next
    run makes it.

    Args:
        domain: what to forecast for.
        models: names; None for every model of the domain that has a version.
        period: initial times to forecast from; None for all of the analysis archive.
        latest: only from the newest initial time whose history is complete.
        redo_superseded: make those again whose preliminary inputs are final now.

    Raises:
        ModelError: if a model has no version, does not fit the domain, or gives values that
            are not finite; these are never published.
        ArchiveError: if there is no analysis archive, or an archive has another grid.
        ArchiveBusyError: if another process is writing the same forecasts.
        StorageError: if the storage refuses.
    """
    versions = _versions(domain, models)
    analysis = open_analysis(domain)
    times = analysis.times
    asked = times[period.contains(times)] if period else times
    return [
        _forecast(domain, analysis, version, asked, latest=latest, redo_superseded=redo_superseded)
        for version in versions
    ]


def _versions(domain: Domain, models: Sequence[str] | None) -> list[ModelVersion]:
    """The newest version of each model."""
    folder = Workspace.of(domain).models
    names = domain.model_names if models is None else models
    found = {name: latest_version(folder, name) for name in names}
    versions = [version for version in found.values() if version]
    missing = ", ".join(name for name, version in found.items() if not version)
    if missing and (models is not None or not versions):
        raise ModelError(
            f"Expected a trained version of {missing} in {folder}, found none; run `lsntp train`."
        )
    if missing:
        _log.warning("No version yet of %s; `lsntp train` makes them.", missing)
    return versions


def _forecast(
    domain: Domain,
    analysis: AnalysisArchive,
    version: ModelVersion,
    asked: Times,
    *,
    latest: bool,
    redo_superseded: bool,
) -> ForecastReport:
    forecaster = load_forecaster(version, domain)
    status = status_of(analysis, asked, forecaster.offsets)
    ready = is_complete(status)
    if latest and ready.any():
        newest = int(np.flatnonzero(ready)[-1])
        asked, status, ready = asked[newest:], status[newest:], ready[newest:]
    stale = np.intersect1d(_superseded(domain, analysis, version), asked[ready])
    if redo_superseded and stale.size:
        ForecastArchive.open(Workspace.of(domain).forecast(version.model)).withdraw(stale)
        stale = stale[:0]
    written, made_by = _written(domain, version)
    missing = np.flatnonzero(ready & ~np.isin(asked, written))
    older = np.isin(asked[ready], written[made_by != version.version]).sum()
    if missing.size:
        _write(domain, version, forecaster, analysis, asked[missing], _worst(status[missing]))
    return ForecastReport(
        model=version.model,
        version=version.version,
        written=asked[missing],
        already=int(ready.sum()) - missing.size,
        older=int(older),
        incomplete=int((~ready).sum()),
        superseded=stale.size,
    )


def _write(
    domain: Domain,
    version: ModelVersion,
    forecaster: Forecaster,
    analysis: AnalysisArchive,
    init_times: Times,
    analysis_status: npt.NDArray[np.int8],
) -> None:
    """Forecast and publish batch by batch; the archive is made with the first good forecast."""
    archive = None
    starts = range(0, init_times.size, BATCH)
    for batch in track([slice(i, i + BATCH) for i in starts], f"forecast {version.model}"):
        prediction = _predict(forecaster, analysis, init_times[batch], version)
        archive = archive or _create(domain, version)
        archive.publish(
            init_times[batch],
            prediction,
            model_version=version.version,
            analysis_status=analysis_status[batch],
        )


def _predict(
    forecaster: Forecaster, analysis: AnalysisArchive, init_times: Times, version: ModelVersion
) -> Fields:
    """Forecasts (n, K, H, W), K, all finite."""
    history = read_fields(analysis, init_times, forecaster.offsets)
    prediction = forecaster.forecast(history, init_times)
    broken = init_times[~np.isfinite(prediction).all(axis=(1, 2, 3))]
    if broken.size:
        raise ModelError(
            f"Expected finite forecasts from {version.version}, found NaN or infinity from "
            f"{', '.join(map(format_time, broken))}; none of this batch was published. Train "
            "the model again, or remove the version to return to the one before."
        )
    return prediction


def _worst(status: npt.NDArray[np.int8]) -> npt.NDArray[np.int8]:
    """PRELIMINARY (n,) where any input is, else FINAL."""
    preliminary = (status == Status.PRELIMINARY).any(axis=1)
    return np.where(preliminary, Status.PRELIMINARY, Status.FINAL).astype(np.int8)


def _written(domain: Domain, version: ModelVersion) -> tuple[Times, npt.NDArray[np.str_]]:
    """The initial times that have a forecast of the model already, and the versions it is by."""
    try:
        archive = ForecastArchive.open(Workspace.of(domain).forecast(version.model))
    except ArchiveNotFoundError:
        return np.array([], "datetime64[ns]"), np.array([], str)
    written = archive.written()
    return written, np.array(archive.model_versions(written), str)


def _superseded(domain: Domain, analysis: AnalysisArchive, version: ModelVersion) -> Times:
    try:
        archive = ForecastArchive.open(Workspace.of(domain).forecast(version.model))
    except ArchiveNotFoundError:
        return np.array([], "datetime64[ns]")
    return superseded(domain, archive, analysis)


def _create(domain: Domain, version: ModelVersion) -> ForecastArchive:
    label = "synthetic " if domain.is_synthetic else ""
    return ForecastArchive.create(
        Workspace.of(domain).forecast(version.model),
        grid=domain.target_grid,
        start=domain.start,
        cadence=domain.cadence,
        lead_times=domain.lead_times,
        attrs={
            "title": f"{label}2 m temperature forecasts of {version.model}, {domain.domain}",
            "source": f"lsntp {lsntp.__version__}, {version.kind} {version.model}",
            "model": version.model,
            "synthetic": str(domain.is_synthetic).lower(),
            CONFIGURATION: domain.to_yaml(),
        },
    )
