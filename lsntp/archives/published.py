"""What all archives share: opening a published one, its axes, making or continuing it."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt
import xarray as xr
from zarr.abc.store import Store

from lsntp.archives import layout
from lsntp.archives.lease import DEFAULT_TIMEOUT_S, writer_lease
from lsntp.archives.staging import (
    ArraySpec,
    Staging,
    decoding,
    open_published,
    refuse_remains,
    storage_errors,
)
from lsntp.grid import Grid
from lsntp.names import LEAD_TIME
from lsntp.places import Place, place_of
from lsntp.times import Duration, Instant, LeadTimes, Times, format_duration_h


class PublishedArchive(ABC):
    """Fields on a grid along a regular, growing axis of times, at ``path``."""

    _seals: ClassVar[tuple[str, ...]] = ()
    """See :class:`~lsntp.archives.staging.Staging`."""

    def __init__(self, path: Place) -> None:
        group = open_published(path)
        self.path = path
        with decoding(str(path)):
            self.grid = layout.read_grid(group)
        self._axis = layout.Axis.of(group.attrs.asdict(), path)

    @classmethod
    def open(cls, path: Place | str) -> Self:
        """The published archive at ``path``, a folder or ``s3://bucket/prefix``.

        Raises:
            ArchiveNotFoundError: if there is none.
        """
        return cls(place_of(path) if isinstance(path, str) else path)

    @property
    def start(self) -> Instant:
        """The first time of the axis; it never changes."""
        return self._axis.start

    @property
    def cadence(self) -> Duration:
        """Time between two steps of the axis."""
        return self._axis.cadence

    @property
    def attrs(self) -> dict[str, Any]:
        """The archive's attributes."""
        return open_published(self.path).attrs.asdict()

    def dataset(self) -> xr.Dataset:
        """The archive as plain ``xr.open_zarr`` gives it: lazy, decoded."""
        return layout.open_dataset(self.path)

    @classmethod
    def _create(
        cls,
        path: Place,
        *,
        grid: Grid,
        start: Instant,
        cadence: Duration,
        attrs: Mapping[str, str],
        lead_times: LeadTimes | None = None,
    ) -> Self:
        """The archive at ``path``, made if it is not there; attributes are brought up to date."""
        axis = layout.Axis(start, cadence)
        with _writing(path) as store:
            staging = cls._staging(store)
            if staging.is_new:
                refuse_remains(path)
            else:
                layout.refuse(path, cls(path)._differences(grid, axis, lead_times))
            staging.attributes = layout.root_attrs(attrs, axis, staging.attributes)
            layout.stage_grid(staging, grid)
            if lead_times is not None:
                layout.stage_lead_times(staging, axis, lead_times)
            for spec in cls._specs(grid, axis, 0 if lead_times is None else lead_times.size):
                staging.create(spec)
            staging.commit()
        return cls(path)

    @staticmethod
    @abstractmethod
    def _specs(grid: Grid, axis: layout.Axis, leads: int) -> list[ArraySpec]:
        """The arrays of a new archive, coordinates of the grid and lead times apart."""

    @contextmanager
    def _writing(self, timeout_s: float) -> Iterator[Store]:
        """The archive's objects under the writer lease; storage errors carry their remedy."""
        with _writing(self.path, timeout_s) as store:
            yield store

    @classmethod
    def _staging(cls, store: Store) -> Staging:
        return Staging(store, seals=cls._seals)

    def _array(self, name: str) -> Any:
        return layout.array(open_published(self.path), name)

    def _whole(self, name: str) -> npt.NDArray[Any]:
        with decoding(str(self.path)):
            return np.asarray(self._array(name)[:])

    def _extent(self, dim: str) -> Times:
        """Every time of the published axis."""
        return self._axis.times(self._array(dim).shape[0])

    def _rows(self, name: str, times: Times, missing: float | str) -> npt.NDArray[Any]:
        slots = self._axis.slots(times)
        with decoding(str(self.path)):
            return layout.read_rows(self._array(name), slots, missing=missing)

    def _differences(
        self, grid: Grid, axis: layout.Axis, _lead_times: LeadTimes | None
    ) -> list[str]:
        """In what this archive is not the one that is wanted."""
        return layout.differences(self.grid, self._axis, grid, axis)


@contextmanager
def _writing(path: Place, timeout_s: float = DEFAULT_TIMEOUT_S) -> Iterator[Store]:
    with writer_lease(path, timeout_s=timeout_s) as lease, storage_errors(str(path)):
        yield lease.store()


class LeadTimeArchive(PublishedArchive):
    """An archive whose times are initial times, each with the same lead times (K,)."""

    @classmethod
    def create(
        cls,
        path: Place,
        *,
        grid: Grid,
        start: Instant,
        cadence: Duration,
        lead_times: LeadTimes,
        attrs: Mapping[str, str],
    ) -> Self:
        """The archive at ``path``, made if it is not there; attributes are brought up to date.

        Raises:
            ArchiveError: if the existing one has another grid, axis or lead times.
            ArchiveBusyError: if another writer is at work.
            StorageError: if the place is not writable.
        """
        leads = np.asarray(lead_times, "timedelta64[ns]")
        return cls._create(
            path, grid=grid, start=start, cadence=cadence, attrs=attrs, lead_times=leads
        )

    def __init__(self, path: Place) -> None:
        super().__init__(path)
        self.lead_times: LeadTimes = self._axis.clock.decode_durations(self._whole(LEAD_TIME))

    def _differences(
        self, grid: Grid, axis: layout.Axis, lead_times: LeadTimes | None
    ) -> list[str]:
        faults = super()._differences(grid, axis, lead_times)
        if lead_times is not None and not np.array_equal(self.lead_times, lead_times):
            faults.append(f"lead times {_in_words(lead_times)}, found {_in_words(self.lead_times)}")
        return faults


def _in_words(lead_times: LeadTimes) -> str:
    return ", ".join(format_duration_h(lead) for lead in lead_times)
