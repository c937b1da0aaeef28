"""What an operator does about a quarantined field: look at it, release it, discard it."""

from dataclasses import dataclass

import numpy as np
import xarray as xr

from lsntp.archives.analysis import AnalysisArchive
from lsntp.archives.quarantine import DIGEST_LENGTH, Quarantine, QuarantineEntry, Release
from lsntp.config import Domain
from lsntp.errors import ArchiveError, ArchiveNotFoundError, DomainError
from lsntp.grid import Grid
from lsntp.names import (
    DIGEST_BYTE,
    FIELD_DIMS,
    LATITUDE,
    LONGITUDE,
    SOURCE_DIGEST,
    STATUS,
    T2M,
    TIME,
    Status,
)
from lsntp.regrid import regrid
from lsntp.times import Duration, Instant, Times, format_time, hours
from lsntp.workspace import Workspace

NEIGHBOUR_WITHIN = hours(24)


@dataclass(frozen=True)
class Difference:
    """A rejected field less a stored one, on the domain's grid.

    Attributes:
        time: of the stored field.
        mean_k: mean of the difference.
        largest_k: the difference of the cell where it is largest, with its sign.
        latitude: where that is, degrees north.
        longitude: degrees east.
        unchanged: share of cells with the same value, 0 to 1.
        correlation: of the two fields; NaN where one of them does not vary.
    """

    time: Instant
    mean_k: float
    largest_k: float
    latitude: float
    longitude: float
    unchanged: float
    correlation: float


@dataclass(frozen=True)
class Inspection:
    """A quarantined field in numbers.

    Attributes:
        entry: reasons, limits, path.
        minimum_k: coldest cell, NaN aside; NaN if there is none.
        mean_k: plain mean of the cells, NaN aside.
        maximum_k: hottest cell.
        without_number: cells that hold NaN or infinity.
        grid: the field's own cells.
        stored: what the analysis archive knows about its hour.
        differences: from the stored fields next to its hour, and from one of the hour itself.
    """

    entry: QuarantineEntry
    minimum_k: float
    mean_k: float
    maximum_k: float
    without_number: int
    grid: Grid
    stored: Status
    differences: tuple[Difference, ...]


@dataclass(frozen=True)
class ReleaseReport:
    """What a release did.

    Attributes:
        entry: the entry, with its record.
        was_stored: whether the archive held the field already: nothing but a missing record was
            written then.
        replaced: whether a preliminary field had to give way.
    """

    entry: QuarantineEntry
    was_stored: bool
    replaced: bool


def inspect(domain: Domain, name: str) -> Inspection:
    """How a quarantined field looks, by itself and beside what is stored.

    Args:
        domain: the resolved configuration.
        name: of the entry, or enough of its beginning, or its time.

    Raises:
        ArchiveNotFoundError: if there is no such entry.
        ArchiveError: if there are several, or it cannot be read.
    """
    entry = _quarantine(domain).find(name)
    field = entry.field()
    values = field.to_numpy().astype(np.float64)
    finite = values[np.isfinite(values)]
    archive = _archive(domain)
    stored = Status.MISSING
    differences: tuple[Difference, ...] = ()
    if archive is not None:
        stored = Status(int(archive.status_at(np.array([entry.rejection.time]))[0]))
        differences = _differences(field, archive, entry.rejection.time)
    return Inspection(
        entry=entry,
        minimum_k=float(finite.min()) if finite.size else np.nan,
        mean_k=float(finite.mean()) if finite.size else np.nan,
        maximum_k=float(finite.max()) if finite.size else np.nan,
        without_number=values.size - finite.size,
        grid=_grid_of(field),
        stored=stored,
        differences=differences,
    )


def release(domain: Domain, name: str, *, by: str, why: str, now: Instant) -> ReleaseReport:
    """Store a quarantined field although it failed: an operator vouches for it.

    It is regridded and published like any other, with the status it came with, and its entry
    tells who released it, when and why. Twice is the same as once. A killed release is completed
    by the next one. A later ingest does not reject the field again.

    Args:
        domain: the resolved configuration.
        name: of the entry, or enough of its beginning, or its time.
        by: who vouches.
        why: their reason.
        now: the time recorded.

    Raises:
        ArchiveNotFoundError: if there is no such entry, or no analysis archive.
        ArchiveError: if the hour is final already, the field holds cells without a number, or the
            archive is for another grid, start or cadence; nothing is changed.
        ArchiveBusyError: if another writer is at work.
        DomainError: if the field does not cover the domain, or its time is off the axis.
        StorageError: if the storage refuses a write; run it again.
    """
    if not by.strip() or not why.strip():
        raise DomainError("Expected who releases the field and why, found an empty text.")
    quarantine = _quarantine(domain)
    entry = quarantine.find(name)
    archive = AnalysisArchive.open(Workspace.of(domain).analysis)
    archive.require(grid=domain.target_grid, start=domain.start, cadence=domain.cadence)
    status = _stored_status(archive, entry)
    if _holds(archive, entry):
        quarantine.record_release(entry, Release(now, by, why))
        return ReleaseReport(quarantine.find(entry.name), was_stored=True, replaced=False)
    if status == Status.FINAL:
        raise _is_final(entry, archive)

    # The record comes first: an ingest in between must not reject the field it finds stored.
    frames = _frames(entry, domain)
    quarantine.record_release(entry, Release(now, by, why))
    report = archive.publish(frames, now=now)
    if not _holds(archive, entry):
        raise _is_final(entry, archive)
    return ReleaseReport(
        quarantine.find(entry.name), was_stored=False, replaced=bool(report.replaced.size)
    )


def discard(domain: Domain, name: str) -> QuarantineEntry:
    """Remove an entry from the quarantine; the next ingest fetches and judges its hour anew.

    Args:
        domain: the resolved configuration.
        name: of the entry, or enough of its beginning, or its time.

    Returns:
        The entry that was.

    Raises:
        ArchiveNotFoundError: if there is no such entry.
        ArchiveError: if its field was released and is stored: the entry is its only record.
        ArchiveBusyError: if another process keeps writing.
        StorageError: if the storage refuses.
    """
    quarantine = _quarantine(domain)
    entry = quarantine.find(name)
    archive = _archive(domain)
    if entry.release is not None and archive is not None and _holds(archive, entry):
        raise ArchiveError(
            f"Expected an entry that was not released, found {entry.name} released by "
            f"{entry.release.by} on {format_time(entry.release.at)}; its field is stored in "
            f"{archive.path} and the entry is the only record of why. Leave it."
        )
    quarantine.discard(entry)
    return entry


def _quarantine(domain: Domain) -> Quarantine:
    return Quarantine(Workspace.of(domain).quarantine)


def _archive(domain: Domain) -> AnalysisArchive | None:
    try:
        return AnalysisArchive.open(Workspace.of(domain).analysis)
    except ArchiveNotFoundError:
        return None


def _stored_status(archive: AnalysisArchive, entry: QuarantineEntry) -> Status:
    return Status(int(archive.status_at(np.array([entry.rejection.time]))[0]))


def _holds(archive: AnalysisArchive, entry: QuarantineEntry) -> bool:
    """Whether the archive holds the field of the entry, at least as final as it came."""
    digest = archive.digests_at(np.array([entry.rejection.time]))[0].tobytes().hex()
    status = _stored_status(archive, entry)
    return digest == entry.digest and status.is_usable and status >= entry.status


def _is_final(entry: QuarantineEntry, archive: AnalysisArchive) -> ArchiveError:
    return ArchiveError(
        f"Expected {format_time(entry.rejection.time)} not to be final, found another final field "
        f"of that time in {archive.path}; a final hour never changes, so "
        f"{entry.digest[:DIGEST_LENGTH]} stays in quarantine."
    )


def _frames(entry: QuarantineEntry, domain: Domain) -> xr.Dataset:
    """The field of an entry, ready to publish."""
    field = entry.field().transpose(*FIELD_DIMS)
    if not np.isfinite(field.to_numpy()).all():
        count = int((~np.isfinite(field.to_numpy())).sum())
        raise ArchiveError(
            f"Expected a number in every cell of a field to be released, found {count} without "
            f"one in {entry.path}; the archive holds whole fields only. Discard the entry and "
            "mend the source."
        )
    digest = np.frombuffer(bytes.fromhex(entry.digest), np.uint8)
    return xr.Dataset(
        {
            T2M: regrid(field, domain.target_grid).compute(),
            STATUS: ((TIME,), np.array([entry.status], np.int8)),
            SOURCE_DIGEST: ((TIME, DIGEST_BYTE), digest[None, :]),
        }
    )


def _differences(
    field: xr.DataArray, archive: AnalysisArchive, time: Instant
) -> tuple[Difference, ...]:
    """From the stored field before, that of the hour itself, and the one after, if there are."""
    times = _neighbours(archive, time, archive.cadence)
    if not times.size:
        return ()
    try:
        own = regrid(field.transpose(*FIELD_DIMS), archive.grid).to_numpy()[0].astype(np.float64)
    except DomainError:  # its cells do not cover the domain
        return ()
    stored = archive.read(times).astype(np.float64)
    return tuple(
        _difference(moment, own, other, archive.grid)
        for moment, other in zip(times, stored, strict=True)
    )


def _neighbours(archive: AnalysisArchive, time: Instant, cadence: Duration) -> Times:
    """Times (at most 3) of the stored fields nearest to ``time``, within a day."""
    count = int(NEIGHBOUR_WITHIN // cadence)
    around = time + np.arange(-count, count + 1) * cadence
    usable = [Status(int(code)).is_usable for code in archive.status_at(around)]
    times = around[np.array(usable, np.bool_)]
    before, after = times[times < time], times[times > time]
    return np.concatenate([before[-1:], times[times == time], after[:1]])


def _difference(
    time: Instant,
    own: np.ndarray[tuple[int, ...], np.dtype[np.float64]],
    other: np.ndarray[tuple[int, ...], np.dtype[np.float64]],
    grid: Grid,
) -> Difference:
    difference = own - other
    known = np.isfinite(difference)
    if not known.any():
        return Difference(time, np.nan, np.nan, np.nan, np.nan, 0.0, np.nan)
    worst = int(np.where(known, np.abs(difference), -1.0).argmax())
    row, column = np.unravel_index(worst, difference.shape)
    a, b = own[known] - own[known].mean(), other[known] - other[known].mean()
    scale = float(np.sqrt((a @ a) * (b @ b)))
    return Difference(
        time=time,
        mean_k=float(difference[known].mean()),
        largest_k=float(difference[row, column]),
        latitude=float(grid.latitude[row]),
        longitude=float(grid.longitude[column]),
        unchanged=float((difference == 0).mean()),
        correlation=float(a @ b) / scale if scale else np.nan,
    )


def _grid_of(field: xr.DataArray) -> Grid:
    return Grid(field[LATITUDE].to_numpy(), field[LONGITUDE].to_numpy())
