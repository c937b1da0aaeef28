"""Rolling forecasts: one from every initial time with a complete history and none yet.

Every model has its own archive; that of ``champion`` holds what users are to read: each forecast
by the version that was champion when it was made.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

import lsntp
from lsntp.archives.analysis import AnalysisArchive
from lsntp.archives.forecast import ForecastArchive
from lsntp.archives.layout import CONFIGURATION
from lsntp.config import Domain
from lsntp.errors import ArchiveNotFoundError, ModelError
from lsntp.grid import Fields
from lsntp.models.base import Forecaster
from lsntp.names import CHAMPION, Status
from lsntp.progress import track
from lsntp.times import Period, Times, format_time
from lsntp.training.champion import open_champion
from lsntp.training.history import is_complete, open_analysis, read_fields, status_of
from lsntp.training.loading import load_forecaster
from lsntp.training.versions import ModelVersion, latest_version
from lsntp.workspace import Workspace

BATCH = 64
"""Initial times forecast and published together."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class ForecastReport:
    """What forecasting did for one model, or for the champion.

    Attributes:
        model: a model's name, or ``champion``.
        version: what made the new ones.
        written: initial times whose forecasts are new.
        already: how many of the asked ones had a forecast.
        older: how many of those were made by another version; a forecast stays as it was made.
        incomplete: how many could not be forecast for want of a usable analysis.
    """

    model: str
    version: str
    written: Times
    already: int
    older: int
    incomplete: int


def forecast(
    domain: Domain,
    *,
    models: Sequence[str] | None = None,
    period: Period | None = None,
    latest: bool = False,
) -> list[ForecastReport]:
    """Write every missing forecast of the newest version of each model, and of the champion.

    Who is champion is read once, at the start: a promotion meanwhile concerns the next run. A
    rerun writes nothing. With a moving training window (``retrain``) a version forecasts only
    from where its own training and validation end.

    Args:
        domain: what to forecast for.
        models: names, ``champion`` among them; None for every model of the domain that has a
            version and, if there is one, the champion.
        period: initial times to forecast from; None for all of the analysis archive.
        latest: only from the newest initial time whose history is complete.

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
        _forecast(domain, analysis, name, version, asked, latest=latest)
        for name, version in versions.items()
    ]


def _versions(domain: Domain, models: Sequence[str] | None) -> dict[str, ModelVersion]:
    """The champion first, so that no other model is in its way, and the newest of each model."""
    folder = Workspace.of(domain).models
    names = (CHAMPION, *domain.model_names) if models is None else models
    found = {
        name: open_champion(domain) if name == CHAMPION else latest_version(folder, name)
        for name in names
    }
    versions = {name: version for name, version in found.items() if version}
    missing = [name for name, version in found.items() if not version]
    if missing and (models is not None or not versions):
        raise ModelError(
            f"Expected a trained version of {', '.join(missing)} in {folder}, found none; run "
            "`lsntp train`."
        )
    if missing:
        _log.warning("No version yet of %s; `lsntp train` makes them.", ", ".join(missing))
    return versions


def _forecast(
    domain: Domain,
    analysis: AnalysisArchive,
    name: str,
    version: ModelVersion,
    asked: Times,
    *,
    latest: bool,
) -> ForecastReport:
    forecaster = load_forecaster(version, domain)
    if domain.retrain.is_moving:
        asked = asked[asked + domain.lead_times[0] >= version.seen.end]
    status = status_of(analysis, asked, forecaster.offsets)
    ready = is_complete(status)
    if latest and ready.any():
        newest = int(np.flatnonzero(ready)[-1])
        asked, status, ready = asked[newest:], status[newest:], ready[newest:]
    written, made_by = _written(domain, name)
    missing = np.flatnonzero(ready & ~np.isin(asked, written))
    older = np.isin(asked[ready], written[made_by != version.version]).sum()
    if missing.size:
        due, worst = asked[missing], _worst(status[missing])
        _write(domain, name, version, forecaster, analysis, due, worst)
    return ForecastReport(
        model=name,
        version=version.version,
        written=asked[missing],
        already=int(ready.sum()) - missing.size,
        older=int(older),
        incomplete=int((~ready).sum()),
    )


def _write(
    domain: Domain,
    name: str,
    version: ModelVersion,
    forecaster: Forecaster,
    analysis: AnalysisArchive,
    init_times: Times,
    analysis_status: npt.NDArray[np.int8],
) -> None:
    """Forecast and publish batch by batch; the archive is made with the first good forecast."""
    archive = None
    starts = range(0, init_times.size, BATCH)
    for batch in track([slice(i, i + BATCH) for i in starts], f"forecast {name}"):
        prediction = _predict(forecaster, analysis, init_times[batch], version)
        archive = archive or _create(domain, name, version)
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


def _written(domain: Domain, name: str) -> tuple[Times, npt.NDArray[np.str_]]:
    """The initial times that have a forecast of the model already, and the versions it is by."""
    try:
        archive = ForecastArchive.open(Workspace.of(domain).forecast(name))
    except ArchiveNotFoundError:
        return np.array([], "datetime64[ns]"), np.array([], str)
    written = archive.written()
    return written, np.array(archive.model_versions(written), str)


def _create(domain: Domain, name: str, version: ModelVersion) -> ForecastArchive:
    label = "synthetic " if domain.is_synthetic else ""
    what = "the champion of each time" if name == CHAMPION else f"{version.kind} {name}"
    return ForecastArchive.create(
        Workspace.of(domain).forecast(name),
        grid=domain.target_grid,
        start=domain.start,
        cadence=domain.cadence,
        lead_times=domain.lead_times,
        attrs={
            "title": f"{label}2 m temperature forecasts of {name}, {domain.domain}",
            "source": f"lsntp {lsntp.__version__}, {what}",
            "model": name,
            "synthetic": str(domain.is_synthetic).lower(),
            CONFIGURATION: domain.to_yaml(),
        },
    )
