"""The training archive: normalised fields and their statistics, named by what they come from."""

import hashlib
import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
import zarr
from zarr.abc.store import Store

from lsntp.archives import layout
from lsntp.archives.lease import writer_lease
from lsntp.archives.s3_store import S3Store
from lsntp.archives.staging import ROOT_KEY, open_published, storage_errors
from lsntp.config import Domain, Scaling
from lsntp.dask_cluster import on_cluster
from lsntp.errors import (
    ArchiveBusyError,
    ArchiveError,
    ArchiveNotFoundError,
    DomainError,
    LsntpError,
)
from lsntp.grid import Fields, Grid
from lsntp.names import LATITUDE, LONGITUDE, TIME
from lsntp.places import Place, S3Path
from lsntp.times import Period, Times, format_duration_h
from lsntp.training_data.blocks import FieldArchive, usable_at
from lsntp.training_data.climatology import Climatology
from lsntp.training_data.normalised import CLIMATOLOGY, HOUR_OF_DAY, X, complete, write_normalised
from lsntp.training_data.scaling import Scaler
from lsntp.training_data.splits import effective_periods, make_split
from lsntp.training_data.statistics import Statistics

LAYOUT_VERSION = 2
"""Part of the digest: raise it when statistics or layout change."""
DIGEST_CHARACTERS = 16


@dataclass(frozen=True, eq=False)
class TrainingArchive:
    """Normalised training and validation fields on disk, never changed once written.

    Attributes:
        path: the Zarr; plain ``xr.open_zarr`` reads ``x(time, channel, latitude, longitude)``.
        digest: of everything the content depends on.
        scaling: kind of normalisation of ``x``.
        statistics: of the training period, with its climatology.
        times: the regular axis (n,), from the start of training to the end of validation.
        grid: the domain's grid.
    """

    path: Place
    digest: str
    scaling: Scaling
    statistics: Statistics
    times: Times
    grid: Grid

    @property
    def scaler(self) -> Scaler:
        """What normalised ``x``."""
        return Scaler(self.scaling, self.statistics)

    @property
    def chunk_frames(self) -> int:
        """Frames that are stored, and decoded, together."""
        return layout.frames_per_chunk(self.times[1] - self.times[0])

    def open_fields(self) -> zarr.Array[Any]:
        """``x`` as it is stored (n, channel, H, W); what :meth:`read` takes."""
        return layout.array(open_published(self.path), X)

    def read(self, first: int, last: int, x: zarr.Array[Any] | None = None) -> Fields:
        """Normalised fields (last - first, H, W) float32 of a run of positions on ``times``.

        Args:
            first: position.
            last: position behind the run.
            x: :meth:`open_fields`, to open the archive once for many reads.

        Raises:
            ArchiveError: if a chunk is damaged.
        """
        stored = self.open_fields() if x is None else x
        try:
            return np.asarray(stored[first:last, 0], np.float32)
        except (ValueError, RuntimeError) as error:
            raise ArchiveError(
                f"Expected whole chunks in the training archive {self.path}, found damage: "
                f"{error} Remove the folder and run `lsntp prepare` again."
            ) from error


def build_training_archive(
    domain: Domain, analysis: FieldArchive, folder: Place, scaling: Scaling
) -> TrainingArchive:
    """The training archive of what ``analysis`` holds now; built only when that changed.

    It covers training and validation, so that new test hours ask for no new training.
    Written aside, then renamed: ``<folder>/<digest>.zarr`` is complete or absent, and
    archives of other digests stay as they are. In a bucket its root metadata is put last, see
    :func:`is_complete`.

    Args:
        domain: the configuration; its grid and cadence must be those of ``analysis``.
        analysis: fields (H, W), K, by time.
        folder: of the domain's training archives.
        scaling: kind of normalisation.

    Raises:
        TrainingDataError: if the data are too short or too sparse to train on.
        DomainError: if the analysis archive has another grid or cadence than the domain.
        ArchiveBusyError: if another process is building in ``folder``.
        StorageError: if the folder cannot be written; nothing stored changed.
        ClusterError: if no Dask scheduler answers at ``dask.cluster``.
    """
    _check_fits(domain, analysis)
    make_split(domain, analysis)
    times = covered_times(domain, analysis)
    digest = input_digest(domain, analysis, times, scaling)
    path = folder / f"{digest}.zarr"
    if is_complete(path):
        return open_training_archive(path)
    with storage_errors(str(path)), writer_lease(folder):
        folder.mkdir(parents=True, exist_ok=True)
        if not isinstance(folder, S3Path):
            _sweep(folder)
        if is_complete(path):  # another process built it while this one waited
            return open_training_archive(path)
        if isinstance(path, S3Path):
            _write(domain, analysis, times, AnewStore(path), scaling=scaling, digest=digest)
            return open_training_archive(path)
        aside = path.with_name(f"{path.name}.partial-{os.getpid()}")
        try:
            _write(domain, analysis, times, aside, scaling=scaling, digest=digest)
            aside.rename(path)
        finally:
            _sweep(path.parent)
    return open_training_archive(path)


class AnewStore(S3Store):
    """Writes over what a killed build left of the same archive, without deleting it first.

    All of it is written anew: an archive's name tells its content.
    """

    async def delete(self, key: str) -> None:
        """Nothing."""

    async def delete_dir(self, prefix: str) -> None:
        """Nothing."""


def _write(
    domain: Domain,
    analysis: FieldArchive,
    times: Times,
    target: Path | Store,
    *,
    scaling: Scaling,
    digest: str,
) -> None:
    """Write an archive, and complete it if the fields did not change meanwhile."""
    with on_cluster(domain.dask):
        write_normalised(domain, analysis, times, target, scaling=scaling, digest=digest)
    if input_digest(domain, analysis, times, scaling) != digest:
        raise ArchiveBusyError(
            f"Expected the fields of {domain.domain} to stay as they are while training "
            "data are made of them, found that a publish changed some; run it again."
        )
    complete(target)


def is_complete(path: Place) -> bool:
    """Whether a training archive is there, as a whole: its metadata is consolidated last."""
    if not isinstance(path, S3Path):
        return (path / ROOT_KEY).is_file()
    try:
        return json.loads((path / ROOT_KEY).read_bytes()).get("consolidated_metadata") is not None
    except FileNotFoundError:
        return False


def open_training_archive(path: Place) -> TrainingArchive:
    """The training archive at ``path``.

    Raises:
        ArchiveNotFoundError: if there is none.
        ArchiveError: if it is damaged.
    """
    if (isinstance(path, S3Path) and not is_complete(path)) or not path.exists():
        raise ArchiveNotFoundError(
            f"Expected a training archive at {path}, found nothing; run `lsntp prepare`."
        )
    try:
        source = layout.as_xarray_opens(path)
        with xr.open_zarr(source, chunks=None, consolidated=True) as dataset:
            archive = _from_dataset(dataset, path)
        fault = "" if _is_whole(archive) else "coordinates or climatology are missing"
    except LsntpError:
        raise
    except (KeyError, TypeError, ValueError, OSError) as error:
        fault = str(error)
    if fault:
        raise ArchiveError(
            f"Expected a complete training archive at {path}, found it damaged ({fault}); "
            "remove the folder and run `lsntp prepare` again."
        )
    return archive


def _from_dataset(dataset: xr.Dataset, path: Place) -> TrainingArchive:
    climatology = Climatology(dataset[CLIMATOLOGY].to_numpy(), dataset[HOUR_OF_DAY].to_numpy())
    content = json.loads(dataset.attrs["statistics"])
    return TrainingArchive(
        path=path,
        digest=dataset.attrs["digest"],
        scaling=dataset.attrs["scaling"],
        statistics=Statistics.from_dict(content, climatology),
        times=dataset[TIME].to_numpy().astype("datetime64[ns]"),
        grid=Grid(dataset[LATITUDE].to_numpy(), dataset[LONGITUDE].to_numpy()),
    )


def _is_whole(archive: TrainingArchive) -> bool:
    """Whether no chunk was lost: a lost one reads as zero times or NaN coefficients."""
    steps = np.diff(archive.times)
    is_regular = bool(np.all(steps == steps[0]) and steps[0] > np.timedelta64(0, "ns"))
    return is_regular and bool(np.isfinite(archive.statistics.climatology.coefficients).all())


def covered_times(domain: Domain, analysis: FieldArchive) -> Times:
    """(n,), from the start of training to the end of validation, as far as the archive reaches."""
    split = domain.split
    period = Period(split.train.period.start, split.validation.period.end)
    times = period.steps(domain.cadence, domain.start)
    return times[: np.searchsorted(times, analysis.times[-1], side="right")]


def input_digest(domain: Domain, analysis: FieldArchive, times: Times, scaling: Scaling) -> str:
    """A digest of the fields at ``times`` and of every setting the training archive depends on.

    Args:
        domain: the configuration.
        analysis: fields by time; their status and the digests of their sources count.
        times: of the training archive (n,).
        scaling: kind of normalisation.

    Returns:
        The first 16 hexadecimal digits of a SHA-256.
    """
    settings = {
        "layout": LAYOUT_VERSION,
        "grid": analysis.grid.digest,
        "cadence_h": domain.cadence_h,
        "first": str(times[0]),
        "scaling": scaling,
        "periods": [str(period) for period in list(effective_periods(domain).values())[:2]],
        "history": domain.history,
        "horizon": domain.horizon,
    }
    digests = analysis.digests_at(times) * usable_at(analysis, times)[:, None]
    content = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
    content.update(analysis.status_at(times).astype(np.int8).tobytes())
    content.update(digests.astype(np.uint8).tobytes())
    return content.hexdigest()[:DIGEST_CHARACTERS]


def _check_fits(domain: Domain, analysis: FieldArchive) -> None:
    grid = domain.target_grid
    if not analysis.grid.matches(grid) or analysis.cadence != domain.cadence:
        raise DomainError(
            f"Expected an analysis archive of {grid}, every {format_duration_h(domain.cadence)}, "
            f"for domain {domain.domain}, found {analysis.grid}, every "
            f"{format_duration_h(analysis.cadence)}; use the domain file it was made with."
        )


def _sweep(folder: Path) -> None:
    """Remove what this or a killed build left; under the lease nobody else is writing."""
    for leftover in folder.glob("*.zarr.partial-*"):
        shutil.rmtree(leftover, ignore_errors=True)
