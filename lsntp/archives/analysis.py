"""The analysis archive: one true field per hour, with its status and where it came from."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt
import xarray as xr
from zarr.abc.store import Store

from lsntp.archives import layout
from lsntp.archives.lease import DEFAULT_TIMEOUT_S
from lsntp.archives.published import PublishedArchive
from lsntp.archives.staging import ArraySpec, Staging
from lsntp.errors import ArchiveError
from lsntp.grid import Grid
from lsntp.names import (
    DIGEST_BYTE,
    DIGEST_BYTES,
    FIELD_DIMS,
    INGESTED_AT,
    LATITUDE,
    LONGITUDE,
    SOURCE_DIGEST,
    STATUS,
    T2M,
    TIME,
    Status,
)
from lsntp.places import Place
from lsntp.times import Duration, Instant, Times

_USABLE = [int(status) for status in Status if status.is_usable]


@dataclass(frozen=True)
class PublishReport:
    """What a publish did with each of its hours.

    Attributes:
        written: hours that held no field before.
        replaced: preliminary hours that hold another field, or the final one, now.
        unchanged: hours that already held this field, or a final one when this is preliminary.
        conflicts: final hours for which another final field came; the stored one is kept.
        largest_change_k: largest absolute change of a cell over ``replaced``; 0 without any.
    """

    written: Times
    replaced: Times
    unchanged: Times
    conflicts: Times
    largest_change_k: float


class AnalysisArchive(PublishedArchive):
    """``t2m(time, latitude, longitude)`` on a regular time axis, from ``start`` on, without holes.

    A missing or quarantined hour is NaN with its status. The extent never shrinks and a final
    hour never changes. Writing takes the archive's writer lease; reading needs none.
    """

    _seals = (SOURCE_DIGEST, STATUS)
    """A digest never vouches for a field that is not there yet, nor a status for a digest."""

    @classmethod
    def create(
        cls,
        path: Place,
        *,
        grid: Grid,
        start: Instant,
        cadence: Duration,
        attrs: Mapping[str, str],
    ) -> Self:
        """The archive at ``path``, made if it is not there; attributes are brought up to date.

        Raises:
            ArchiveError: if the existing one has another grid, start or cadence.
            ArchiveBusyError: if another writer is at work.
            StorageError: if the place is not writable.
        """
        return cls._create(path, grid=grid, start=start, cadence=cadence, attrs=attrs)

    @staticmethod
    def _specs(grid: Grid, axis: layout.Axis, _leads: int) -> list[ArraySpec]:
        return _arrays(grid, axis)

    @property
    def times(self) -> Times:
        """Every hour of the extent, whatever its status."""
        return self._extent(TIME)

    @property
    def status(self) -> npt.NDArray[np.int8]:
        """The status (n,) of every hour of the extent."""
        return self._whole(STATUS)

    def read(self, times: Times) -> npt.NDArray[np.float32]:
        """Fields (n, H, W) in kelvin; NaN for hours that are missing or outside the extent."""
        return self._rows(T2M, times, np.nan)

    def status_at(self, times: Times) -> npt.NDArray[np.int8]:
        """Status (n,); MISSING outside the extent."""
        return self._rows(STATUS, times, int(Status.MISSING))

    def digests_at(self, times: Times) -> npt.NDArray[np.uint8]:
        """SHA-256 (n, 32) of each hour's source field; zeros where there is none."""
        return self._rows(SOURCE_DIGEST, times, 0)

    def ingested_at(self, times: Times) -> Times:
        """When each hour was last written or marked (n,), to the second; NaT where never."""
        seconds = self._rows(INGESTED_AT, times, 0)
        moments = layout.EPOCH + seconds.astype("timedelta64[s]")
        return np.where(seconds == 0, np.datetime64("NaT", "ns"), moments)

    def publish(
        self,
        frames: xr.Dataset,
        *,
        now: Instant | None = None,
        timeout_s: float = DEFAULT_TIMEOUT_S,
    ) -> PublishReport:
        """Write fields by their time; writing the same twice is the same as once.

        Args:
            frames: ``t2m(time, latitude, longitude)`` float32 kelvin on the archive's grid without
                NaN, ``status(time)`` preliminary or final, ``source_digest(time, digest_byte)``;
                times unique, in any order.
            now: the time to record as ``ingested_at``.
            timeout_s: how long to wait for another writer.

        Raises:
            ArchiveError: if a field, its time, grid or status does not fit; nothing is changed.
            ArchiveBusyError: if another writer is at work.
            StorageError: if the storage refuses; repeat the publish once it is cured.
        """
        frames = self._checked(frames)
        slots = self._axis.writable_slots(frames[TIME].values)
        incoming = _Incoming(
            slots,
            np.ascontiguousarray(frames[T2M].values),
            frames[STATUS].values.astype(np.int8),
            np.ascontiguousarray(frames[SOURCE_DIGEST].values),
        )
        with self._writing(timeout_s) as store:
            return self._publish(store, incoming, layout.unix_seconds(now))

    def mark(
        self,
        times: Times,
        status: Status,
        *,
        now: Instant | None = None,
        timeout_s: float = DEFAULT_TIMEOUT_S,
    ) -> int:
        """Record why missing hours are missing; returns how many hours changed.

        Hours that hold a field or a reason already are left as they are; but a hole becomes
        QUARANTINED, for its field came and was rejected.

        Raises:
            ArchiveError: if ``status`` is not QUARANTINED or UPSTREAM_HOLE, or a time does not fit.
            ArchiveBusyError: if another writer is at work.
            StorageError: if the storage refuses.
        """
        if status not in (Status.QUARANTINED, Status.UPSTREAM_HOLE):
            raise ArchiveError(
                f"Expected QUARANTINED or UPSTREAM_HOLE as a reason, found {status.name}; "
                "fields are written by publish."
            )
        slots = np.unique(self._axis.writable_slots(np.asarray(times)))
        with self._writing(timeout_s) as store:
            staging = self._staging(store)
            slots = slots[np.isin(staging.rows(STATUS, slots), markable_as(status))]
            if slots.size:
                self._extend(staging, int(slots[-1]) + 1)
                self._blank(staging, slots)
                staging.write_rows(INGESTED_AT, slots, layout.unix_seconds(now))
                staging.write_rows(STATUS, slots, int(status))
                staging.commit()
        return int(slots.size)

    def _publish(self, store: Store, incoming: "_Incoming", now_s: int) -> PublishReport:
        staging = self._staging(store)
        status = staging.rows(STATUS, incoming.slots)
        digest = staging.rows(SOURCE_DIGEST, incoming.slots)
        same_field = (digest == incoming.digest).all(axis=1)
        raises_status = (status == Status.PRELIMINARY) & (incoming.status == Status.FINAL)
        is_usable = np.isin(status, _USABLE)
        is_replaced = (status == Status.PRELIMINARY) & (~same_field | raises_status)
        is_conflict = (status == Status.FINAL) & (incoming.status == Status.FINAL) & ~same_field
        is_written = ~is_usable | is_replaced

        largest_change_k = 0.0
        if is_replaced.any():
            largest_change_k = self._lower(store, incoming.only(is_replaced))
            staging = self._staging(store)
        if is_written.any():
            self._stage(staging, incoming.only(is_written), now_s)
            staging.commit()

        times = self.start + incoming.slots * self.cadence
        return PublishReport(
            written=times[~is_usable],
            replaced=times[is_replaced],
            unchanged=times[is_usable & ~is_replaced & ~is_conflict],
            conflicts=times[is_conflict],
            largest_change_k=largest_change_k,
        )

    def _lower(self, store: Store, replaced: "_Incoming") -> float:
        """Withdraw the digests of hours about to be replaced; returns their largest change, K.

        A writer killed between a field and its digest would otherwise leave a digest that
        vouches for a field that is no longer there.
        """
        staging = self._staging(store)
        staging.write_rows(SOURCE_DIGEST, replaced.slots, 0)
        change = np.abs(replaced.t2m - staging.rows(T2M, replaced.slots))
        staging.commit()
        return float(np.nanmax(change, initial=0.0))

    def _stage(self, staging: Staging, incoming: "_Incoming", now_s: int) -> None:
        self._extend(staging, int(incoming.slots[-1]) + 1)
        staging.write_rows(T2M, incoming.slots, incoming.t2m)
        staging.write_rows(SOURCE_DIGEST, incoming.slots, incoming.digest)
        staging.write_rows(INGESTED_AT, incoming.slots, now_s)
        staging.write_rows(STATUS, incoming.slots, incoming.status)

    def _extend(self, staging: Staging, size: int) -> None:
        old = staging.size(TIME)
        if size > old:
            staging.grow(TIME, size)
            times = self._axis.times(size)[old:]
            staging.write_rows(TIME, np.arange(old, size), self._axis.clock.encode(times))

    def _blank(self, staging: Staging, slots: npt.NDArray[np.int64]) -> None:
        """Make sure that hours without a field are NaN, even behind a killed writer."""
        if not np.isnan(staging.rows(T2M, slots)).all():
            staging.write_rows(T2M, slots, np.nan)
        if staging.rows(SOURCE_DIGEST, slots).any():
            staging.write_rows(SOURCE_DIGEST, slots, 0)

    def require(self, *, grid: Grid, start: Instant, cadence: Duration) -> None:
        """Refuse to continue an archive that was made for something else.

        Raises:
            ArchiveError: if grid, start or cadence differ; names every difference.
        """
        layout.refuse(self.path, self._differences(grid, layout.Axis(start, cadence), None))

    def _checked(self, frames: xr.Dataset) -> xr.Dataset:
        """Frames in order of time; refuses those that must not be stored, naming every fault."""
        needed = {TIME, LATITUDE, LONGITUDE, T2M, STATUS, SOURCE_DIGEST}
        if absent := sorted(needed - set(map(str, frames.variables))):
            raise ArchiveError(
                f"Expected frames with {', '.join(sorted(needed))} for {self.path}, found none of "
                f"{', '.join(absent)}. Nothing was written."
            )
        frames = frames.sortby(TIME).compute()
        t2m, status = frames[T2M], frames[STATUS].values
        times = frames[TIME].values
        faults = []
        if t2m.dims != FIELD_DIMS or t2m.dtype != np.float32:
            faults.append(f"t2m{FIELD_DIMS} float32, found t2m{t2m.dims} {t2m.dtype}")
        elif not self.grid.matches(Grid(frames[LATITUDE].values, frames[LONGITUDE].values)):
            faults.append(f"fields on the archive's grid ({self.grid}), found another grid")
        if times.size == 0 or (times[1:] == times[:-1]).any():
            faults.append("at least one field and each time once, found none or a time twice")
        if not np.isin(status, _USABLE).all():
            faults.append("status preliminary or final, found another; use mark for those")
        if frames[SOURCE_DIGEST].shape != (times.size, DIGEST_BYTES):
            faults.append(f"{DIGEST_BYTES} digest bytes a time, found another shape")
        finite = np.isfinite(t2m.values).all(axis=(1, 2)) if t2m.ndim == 3 else np.array([True])
        if not finite.all():
            faults.append(f"finite values, found NaN or infinity at {times[~finite][0]}")
        if faults:
            raise ArchiveError(
                f"Expected for {self.path}: {'; '.join(faults)}. Nothing was written; assess and "
                "regrid the frames before publishing them."
            )
        return frames


def markable_as(status: Status) -> list[Status]:
    """The status of hours that may be marked so."""
    if status == Status.QUARANTINED:
        return [Status.MISSING, Status.UPSTREAM_HOLE]
    return [Status.MISSING]


@dataclass(frozen=True)
class _Incoming:
    """Frames ready to store, ascending in time."""

    slots: npt.NDArray[np.int64]
    t2m: npt.NDArray[np.float32]
    status: npt.NDArray[np.int8]
    digest: npt.NDArray[np.uint8]

    def only(self, chosen: npt.NDArray[np.bool_]) -> "_Incoming":
        if chosen.all():
            return self
        return _Incoming(
            self.slots[chosen], self.t2m[chosen], self.status[chosen], self.digest[chosen]
        )


def _arrays(grid: Grid, axis: layout.Axis) -> list[ArraySpec]:
    height, width = grid.shape
    frames = layout.frames_per_chunk(axis.cadence)
    index = (layout.INDEX_CHUNK,)
    time_attrs = {"standard_name": "time", "long_name": "valid time", "axis": "T"}
    t2m_attrs = layout.field_attrs("2 m air temperature") | {
        "ancillary_variables": f"{STATUS} {SOURCE_DIGEST} {INGESTED_AT}"
    }
    digest_attrs = {"long_name": "SHA-256 of the source field this hour was made from"}
    ingested_attrs = layout.UNIX_TIME_ATTRS | {"long_name": "when this hour was last written"}
    status_attrs = layout.status_attrs("status of this hour")
    return [
        ArraySpec(TIME, (TIME,), (0,), index, "int64", 0, time_attrs | axis.clock.attrs),
        ArraySpec(
            T2M,
            FIELD_DIMS,
            (0, height, width),
            (frames, height, width),
            "float32",
            np.nan,
            t2m_attrs,
        ),
        ArraySpec(
            SOURCE_DIGEST,
            (TIME, DIGEST_BYTE),
            (0, DIGEST_BYTES),
            (layout.ROW_CHUNK, DIGEST_BYTES),
            "uint8",
            0,
            digest_attrs,
        ),
        ArraySpec(INGESTED_AT, (TIME,), (0,), index, "int64", 0, ingested_attrs),
        ArraySpec(STATUS, (TIME,), (0,), index, "int8", 0, status_attrs),
    ]
