"""What all archives share: chunk lengths, CF attributes, coordinates and their encoding."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Self

import numpy as np
import numpy.typing as npt
import xarray as xr
import zarr
from zarr.abc.store import Store

from lsntp.archives.staging import ArraySpec, Staging, as_slots
from lsntp.archives.stores import open_store
from lsntp.errors import ArchiveError
from lsntp.grid import Grid
from lsntp.names import (
    KELVIN,
    LATITUDE,
    LEAD_TIME,
    LONGITUDE,
    QUANTILE,
    T2M_STANDARD_NAME,
    Status,
)
from lsntp.places import Place
from lsntp.times import Duration, Instant, Times, format_duration_h, format_time, hours, parse_time

INDEX_CHUNK: Final = 2**17
"""Length of a chunk of a one-dimensional array: many small ones make opening slow."""
ROW_CHUNK: Final = 2**14
"""Length of a chunk of a narrow table such as digests or valid times."""
EPOCH: Final = np.datetime64(0, "ns")
CONVENTIONS: Final = "CF-1.11"
CALENDAR: Final = "proleptic_gregorian"

START: Final = "lsntp_start"
CADENCE_S: Final = "lsntp_cadence_s"
CONFIGURATION: Final = "lsntp_configuration"


def frames_per_chunk(cadence: Duration) -> int:
    """Fields in one chunk: a day of hourly ones, a month of those 6 h apart."""
    return 24 if cadence <= hours(3) else 120


class Clock:
    """How a regular axis of times is written: whole hours where they suffice, else seconds."""

    def __init__(self, start: Instant, cadence: Duration) -> None:
        hour = hours(1)
        is_hourly = (start - EPOCH) % hour == hours(0) and cadence % hour == hours(0)
        self.unit: str = "hours" if is_hourly else "seconds"
        self._tick = hour if is_hourly else np.timedelta64(10**9, "ns")

    @property
    def attrs(self) -> dict[str, str]:
        """CF attributes of a time variable."""
        return {
            "units": f"{self.unit} since 1970-01-01",
            "calendar": CALENDAR,
            "units_metadata": "leap_seconds: none",
        }

    def encode(self, times: Times) -> npt.NDArray[np.int64]:
        """Instants as stored."""
        return ((times - EPOCH) // self._tick).astype(np.int64)

    def encode_durations(self, durations: npt.NDArray[np.timedelta64]) -> npt.NDArray[np.int64]:
        """Durations as stored."""
        return (durations // self._tick).astype(np.int64)

    def decode_durations(self, stored: npt.NDArray[np.int64]) -> npt.NDArray[np.timedelta64]:
        """Stored durations as timedelta64[ns]."""
        return stored * self._tick


def unix_seconds(moment: Instant | None) -> int:
    """``moment``, or now, in whole seconds since 1970."""
    instant = np.datetime64("now", "s") if moment is None else moment
    return int((instant - EPOCH) // np.timedelta64(1, "s"))


UNIX_TIME_ATTRS: Final = {
    "units": "seconds since 1970-01-01",
    "calendar": CALENDAR,
    "units_metadata": "leap_seconds: none",
    "_FillValue": 0,
}
"""CF attributes of a time of writing; 0 means never and decodes to NaT."""


def root_attrs(
    attrs: Mapping[str, str], axis: "Axis", previous: Mapping[str, Any]
) -> dict[str, Any]:
    """Attributes of an archive: the caller's, what reopening it needs, and its first history."""
    merged = {"Conventions": CONVENTIONS, **attrs, **axis.attrs}
    if "history" in previous:
        merged["history"] = previous["history"]
    return merged


def field_attrs(long_name: str) -> dict[str, Any]:
    """CF attributes of a 2 m temperature field."""
    return {
        "standard_name": T2M_STANDARD_NAME,
        "long_name": long_name,
        "units": KELVIN,
        "units_metadata": "temperature: on_scale",
    }


def status_attrs(long_name: str) -> dict[str, Any]:
    """CF flag attributes of a variable that holds :class:`~lsntp.names.Status` codes."""
    return {
        "long_name": long_name,
        "flag_values": [int(status) for status in Status],
        "flag_meanings": " ".join(status.name.lower() for status in Status),
    }


def stage_grid(staging: Staging, grid: Grid) -> None:
    """Add the latitude and longitude coordinates."""
    axes = (
        (LATITUDE, grid.latitude, "degrees_north", "Y"),
        (LONGITUDE, grid.longitude, "degrees_east", "X"),
    )
    for name, values, units, axis in axes:
        attrs = {"standard_name": name, "long_name": name, "units": units, "axis": axis}
        spec = ArraySpec(name, (name,), values.shape, values.shape, "float64", 0.0, attrs)
        staging.create(spec, values)


def stage_lead_times(
    staging: Staging, axis: "Axis", lead_times: npt.NDArray[np.timedelta64]
) -> None:
    """Add the lead time coordinate (K,)."""
    attrs = {
        "standard_name": "forecast_period",
        "long_name": "time since the initial time",
        "units": axis.clock.unit,
        "dtype": "timedelta64[ns]",
    }
    shape = lead_times.shape
    spec = ArraySpec(LEAD_TIME, (LEAD_TIME,), shape, shape, "int64", 0, attrs)
    staging.create(spec, axis.clock.encode_durations(lead_times))


def read_grid(group: zarr.Group) -> Grid:
    """The grid of a published archive."""
    return Grid(np.asarray(array(group, LATITUDE)[:]), np.asarray(array(group, LONGITUDE)[:]))


def array(group: zarr.Group, name: str) -> zarr.Array[Any]:
    """One array of a published archive.

    Raises:
        ArchiveError: if it is not there.
    """
    member = group.get(name)
    if not isinstance(member, zarr.Array):
        raise ArchiveError(
            f"Expected an array {name} in {group.store}, found none; this is not an archive of "
            "this kind, or it was damaged: `lsntp repair` makes it whole."
        )
    return member


class Axis:
    """The regular, growing time axis of an archive: ``start + k * cadence``."""

    def __init__(self, start: Instant, cadence: Duration) -> None:
        self.start = start
        self.cadence = cadence
        self.clock = Clock(start, cadence)

    @classmethod
    def of(cls, attributes: Mapping[str, Any], path: Place) -> Self:
        """The axis that an archive's attributes declare."""
        try:
            start = parse_time(str(attributes[START]))
            return cls(start, np.timedelta64(int(attributes[CADENCE_S]) * 10**9, "ns"))
        except KeyError as error:
            raise ArchiveError(
                f"Expected attribute {error} in {path}, found none; it was not written by lsntp."
            ) from error

    @property
    def attrs(self) -> dict[str, str | int]:
        """What :meth:`of` reads back."""
        return {
            START: f"{np.datetime_as_string(self.start, unit='s')}Z",
            CADENCE_S: int(self.cadence / np.timedelta64(1, "s")),
        }

    def times(self, size: int) -> Times:
        """The first ``size`` instants."""
        return self.start + np.arange(size) * self.cadence

    def slots(self, times: Times) -> npt.NDArray[np.int64]:
        """Positions of instants; negative ones lie before the start.

        Raises:
            ArchiveError: if an instant lies between two steps.
        """
        offset = np.asarray(times, "datetime64[ns]") - self.start
        slots = offset // self.cadence
        off_axis = offset != slots * self.cadence
        if off_axis.any():
            raise ArchiveError(
                f"Expected times on the axis {self}, found "
                f"{np.asarray(times)[off_axis][0]}; choose times of that axis."
            )
        return np.asarray(slots, np.int64)

    def writable_slots(self, times: Times) -> npt.NDArray[np.int64]:
        """Positions of instants that may be written.

        Raises:
            ArchiveError: if one lies between two steps or before the start.
        """
        slots = self.slots(times)
        if slots.size and slots.min() < 0:
            raise ArchiveError(
                f"Expected times from {format_time(self.start)} on, the start of this archive, "
                f"found {format_time(np.min(times))}; an archive's start never changes. For "
                "earlier data create a domain with a new name and an earlier archive.start."
            )
        return slots

    def __str__(self) -> str:
        return f"{format_time(self.start)} + k * {format_duration_h(self.cadence)}"


def differences(grid: Grid, axis: Axis, wanted_grid: Grid, wanted_axis: Axis) -> list[str]:
    """In what an existing archive's grid and axis differ from those wanted."""
    faults = []
    if not grid.matches(wanted_grid):
        faults.append(f"grid {wanted_grid}, found {grid}")
    if axis.start != wanted_axis.start:
        faults.append(
            f"start {format_time(wanted_axis.start)}, found {format_time(axis.start)} (a start "
            "never changes: a domain with another archive.start needs a new name)"
        )
    if axis.cadence != wanted_axis.cadence:
        wanted, found = format_duration_h(wanted_axis.cadence), format_duration_h(axis.cadence)
        faults.append(f"cadence {wanted}, found {found}")
    return faults


def refuse(path: Place, faults: list[str]) -> None:
    """Raise an error that names all faults of an existing archive, if there are any."""
    if faults:
        raise ArchiveError(
            f"Expected in {path}: {'; '.join(faults)}. Correct the domain file, or give the "
            "domain a new name."
        )


def read_rows(
    source: zarr.Array[Any], slots: npt.NDArray[np.int64], *, missing: float | str
) -> npt.NDArray[Any]:
    """Rows along the first axis in the asked order; ``missing`` outside the extent.

    Neighbouring rows are read together, so a year comes in one slice and a few scattered
    rows cost their own chunks only.
    """
    inside = (slots >= 0) & (slots < source.shape[0])
    wanted = np.unique(slots[inside])
    runs = np.split(wanted, np.flatnonzero(np.diff(wanted) > source.chunks[0]) + 1)
    if len(runs) == 1 and np.array_equal(slots, wanted) and isinstance(as_slots(slots), slice):
        return np.asarray(source[as_slots(slots)])
    dtype = np.asarray(source[:0]).dtype
    rows = np.full((slots.size, *source.shape[1:]), missing, dtype)
    for run in runs if wanted.size else []:
        first, last = int(run[0]), int(run[-1])
        block = np.asarray(source[first : last + 1])
        chosen = (slots >= first) & (slots <= last)
        rows[chosen] = block[slots[chosen] - first]
    return rows


def as_xarray_opens(path: Place) -> Path | Store:
    """What to give to xarray; through our own store a bucket is read without cached listings."""
    return path if isinstance(path, Path) else open_store(path, read_only=True)


def open_dataset(path: Place) -> xr.Dataset:
    """The archive as ``xr.open_zarr(path)`` gives it, ready for CF-correct netCDF export.

    JSON metadata knows neither the type of flag values nor that coordinates take no fill value.
    """
    dataset: xr.Dataset = xr.open_zarr(as_xarray_opens(path))
    for variable in dataset.variables.values():
        if "flag_values" in variable.attrs:
            flags = np.asarray(variable.attrs["flag_values"], variable.dtype)
            variable.attrs["flag_values"] = flags
    for name in {LATITUDE, LONGITUDE, QUANTILE} & dataset.variables.keys():
        dataset[name].encoding["_FillValue"] = None
    return dataset
