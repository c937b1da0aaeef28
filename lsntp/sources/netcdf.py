"""netCDF-3, netCDF-4 and Zarr, in the old and the new layout of the Climate Data Store."""

import warnings
from collections.abc import Callable, Hashable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import xarray as xr
from scipy.io import netcdf_file

from lsntp.errors import LsntpError, SourceDataError, SourceUnavailableError
from lsntp.names import Status
from lsntp.sources.canonical import (
    Fields,
    Statuses,
    find_t2m,
    is_long_mean,
    is_upper_level,
    status_of_expver,
    to_kelvin,
)
from lsntp.sources.native import MAX_CELLS, Ints, NativeGrid, Window
from lsntp.sources.parts import refuse_monthly, runs, stamp
from lsntp.times import Times

Engine = Literal["netcdf4", "zarr"]

MAX_TIMES = 10_000_000
"""Eleven centuries of hours; an axis that claims more is damaged or hostile."""

_EXPVER = "expver"
_TIME_NAMES = ("valid_time", "time")
_AXES = {
    "latitude": (("latitude", "lat", "nav_lat"), ("degrees_north", "degree_north", "degrees_n")),
    "longitude": (
        ("longitude", "lon", "lng", "long"),
        ("degrees_east", "degree_east", "degrees_e"),
    ),
}
_LIBRARY_ERRORS = (
    OSError,
    ValueError,
    TypeError,
    LookupError,
    RuntimeError,
    ArithmeticError,
    MemoryError,
)
"""What netCDF4, xarray and zarr raise on damaged files."""

_DAY = np.timedelta64(1, "D")
_HALF_SECOND = np.timedelta64(500, "ms")
_CLASSIC_MAGIC = (b"CDF\x01", b"CDF\x02")
_TIME_GAP = 8  # steps that are cheaper to read and drop than to seek over


@dataclass(frozen=True, eq=False)
class NetcdfPart:
    """The 2 m temperature of one netCDF file or Zarr store; see :class:`~.parts.Part`.

    Attributes:
        variable: name of the temperature variable.
        dims: its (time, latitude, longitude) dimensions; time is None for a single field.
        statuses: of each time (n,), or None where only the values tell (expver dimension).
    """

    path: Path
    label: str
    engine: Engine
    variable: str
    dims: tuple[Hashable | None, Hashable, Hashable]
    grid: NativeGrid
    times: Times
    statuses: Statuses | None
    file_stamp: tuple[int, int]

    def read(self, positions: Ints, window: Window) -> tuple[Fields, Statuses]:
        """See :meth:`lsntp.sources.parts.Part.read`."""
        if stamp(self.path) != self.file_stamp:
            raise SourceUnavailableError(
                f"Expected {self.label} to stay as it was when it was opened, found it changed; "
                "wait until it is complete and run again."
            )
        with _opened(self.path, self.label, self.engine) as dataset:
            variable = dataset[self.variable]
            if self.statuses is not None:
                return self._load(variable, positions, window), self.statuses[positions]
            versions = {
                status_of_expver(expver, self.label): self._load(
                    variable.isel({_EXPVER: index}), positions, window
                )
                for index, expver in enumerate(np.atleast_1d(dataset[_EXPVER].values))
            }
        return coalesce_versions(versions)

    def _load(self, variable: xr.DataArray, positions: Ints, window: Window) -> Fields:
        """Kelvin (n, H, W), by few contiguous reads."""
        time, latitude, longitude = self.dims
        top, bottom = int(window.rows.min()), int(window.rows.max()) + 1
        lone = [dim for dim in variable.dims if dim not in self.dims]
        variable = variable.isel(dict.fromkeys(lone, 0)).isel({latitude: slice(top, bottom)})
        if time is None:
            variable, time = variable.expand_dims("time"), "time"
        variable = variable.transpose(time, latitude, longitude)
        blocks = []
        for steps in runs(positions, gap=_TIME_GAP):
            block = variable.isel({time: slice(steps[0], steps[-1] + 1)})
            strips = [
                block.isel({longitude: slice(run[0], run[-1] + 1)}).values
                for run in runs(window.columns)
            ]
            blocks.append(np.concatenate(strips, axis=-1)[steps - steps[0]])
        stored = np.concatenate(blocks)[:, window.rows - top]
        return to_kelvin(stored, variable.attrs.get("units"), f"{self.variable} of {self.label}")


def coalesce_versions(versions: Mapping[Status, Fields]) -> tuple[Fields, Statuses]:
    """Final values where there are any, else preliminary ones, and which of them a frame holds.

    Args:
        versions: fields (n, H, W) by status; NaN where the version has no value.

    Returns:
        The fields, and statuses (n,): preliminary as soon as one value is.
    """
    preliminary = versions.get(Status.PRELIMINARY)
    final = versions.get(Status.FINAL)
    if final is None or preliminary is None:
        ((status, fields),) = versions.items()
        return fields, np.full(len(fields), status, np.int8)
    takes_preliminary = np.isnan(final) & ~np.isnan(preliminary)
    is_preliminary = takes_preliminary.any(axis=(1, 2))
    statuses = np.where(is_preliminary, Status.PRELIMINARY, Status.FINAL).astype(np.int8)
    return np.where(takes_preliminary, preliminary, final), statuses


def open_netcdf(path: Path, label: str, engine: Engine = "netcdf4") -> NetcdfPart:
    """The 2 m temperature analyses of a netCDF file or Zarr store; reads coordinates only.

    Raises:
        SourceDataError: if the file is damaged, holds no 2 m temperature on a grid with
            times, or holds forecasts, ensembles or means.
    """
    file_stamp = stamp(path)
    if engine == "netcdf4":
        _check_length(path, label)
    with _opened(path, label, engine) as dataset:
        attrs = {str(name): variable.attrs for name, variable in dataset.data_vars.items()}
        name = find_t2m(attrs, label)
        variable = dataset[name]
        to_kelvin(np.empty(0), variable.attrs.get("units"), f"{name} of {label}")
        grid, latitude, longitude = _read_grid(dataset, variable, label)
        time, times = _read_times(dataset, variable, label)
        _check_dims(dataset, variable, (time, latitude, longitude), label)
        _refuse_forecasts(dataset, label)
        _refuse_means(variable, times, label)
        statuses = _read_statuses(dataset, variable, len(times), label)
    return NetcdfPart(
        path, label, engine, name, (time, latitude, longitude), grid, times, statuses, file_stamp
    )


@contextmanager
def _opened(path: Path, label: str, engine: Engine) -> Iterator[xr.Dataset]:
    """The decoded dataset, lazily; whatever the libraries find wrong becomes our error."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # notes on fill values and calendars of strangers
            dataset = xr.open_dataset(
                path,
                engine=engine,
                cache=False,
                decode_timedelta=False,
                create_default_indexes=False,
                backend_kwargs={"consolidated": False} if engine == "zarr" else {},
            )
        with dataset:
            yield dataset
    except _LIBRARY_ERRORS as error:
        if isinstance(error, LsntpError):
            raise
        raise SourceDataError(
            f"Expected a readable {'Zarr store' if engine == 'zarr' else 'netCDF file'} in "
            f"{label}, found one that cannot be decoded ({error}); fetch it again."
        ) from error


def _check_length(path: Path, label: str) -> None:
    """Refuse a netCDF-3 file that ends early: the netCDF library reads zeros there."""
    with path.open("rb") as file:
        if file.read(4) not in _CLASSIC_MAGIC:
            return
    try:
        with netcdf_file(path, "r", mmap=True) as file:
            file.variables.clear()
    except (ValueError, TypeError, OSError, LookupError, MemoryError) as error:
        raise SourceDataError(
            f"Expected a whole netCDF-3 file in {label}, found one that is cut short or damaged "
            f"({error}); fetch it again."
        ) from error


def _read_grid(
    dataset: xr.Dataset, variable: xr.DataArray, label: str
) -> tuple[NativeGrid, Hashable, Hashable]:
    """The axes and the names of their dimensions."""
    axes = {
        name: axis
        for name, spellings in _AXES.items()
        if (axis := _find_axis(dataset, set(variable.dims), name, *spellings)) is not None
    }
    absent = [name for name in _AXES if name not in axes]
    found = ", ".join(f"{dim}: {size}" for dim, size in variable.sizes.items()) or "none"
    if absent and not (set(variable.dims) - _time_dims(dataset)):
        raise SourceDataError(
            f"Expected a field over an area in {label}, found a point series {variable.name} "
            f"({found}); it cannot fill a gridded domain."
        )
    if absent:
        raise SourceDataError(
            f"Expected coordinates of {' and '.join(absent)} in {label}, found none for "
            f"{variable.name} with dimensions {found}; add them to the file."
        )
    latitude, longitude = axes["latitude"], axes["longitude"]
    if max(latitude.ndim, longitude.ndim) > 1:
        raise SourceDataError(
            f"Expected one-dimensional latitude and longitude in {label}, found a curvilinear "
            "grid; regrid the file to a rectilinear grid first."
        )
    if latitude.size * longitude.size > MAX_CELLS:
        raise SourceDataError(
            f"Expected a grid of at most {MAX_CELLS} cells in {label}, found {latitude.size} x "
            f"{longitude.size}."
        )
    if min(latitude.ndim, longitude.ndim) == 0:
        raise SourceDataError(
            f"Expected a field over an area in {label}, found a single place; a point series "
            "cannot fill a gridded domain."
        )
    grid = NativeGrid(np.asarray(latitude.values, float), np.asarray(longitude.values, float))
    grid.check(label)
    return grid, latitude.dims[0], longitude.dims[0]


def _find_axis(
    dataset: xr.Dataset,
    dims: set[Hashable],
    name: str,
    names: tuple[str, ...],
    units: tuple[str, ...],
) -> xr.DataArray | None:
    """The coordinate along ``dims`` that is ``name`` by standard name, units or its own name."""
    candidates = {
        str(key): variable.attrs
        for key, variable in dataset.variables.items()
        if set(variable.dims) <= dims
    }
    tests: tuple[Callable[[str, Mapping[str, Any]], bool], ...] = (
        lambda _key, attrs: attrs.get("standard_name") == name,
        lambda _key, attrs: str(attrs.get("units", "")).lower() in units,
        lambda key, _attrs: key.lower() in names,
    )
    for test in tests:
        for key, attrs in candidates.items():
            if test(key, attrs):
                return dataset[key]
    return None


def _time_dims(dataset: xr.Dataset) -> set[Hashable]:
    return {dim for name in _TIME_NAMES if name in dataset.variables for dim in dataset[name].dims}


def _read_times(
    dataset: xr.Dataset, variable: xr.DataArray, label: str
) -> tuple[Hashable | None, Times]:
    """The time dimension (None for a single field) and its valid times (n,)."""
    axis = next(
        (
            dataset[name]
            for name in (*_TIME_NAMES, *variable.dims)
            if name in dataset.variables
            and (name in _TIME_NAMES or dataset[name].attrs.get("standard_name") == "time")
            and dataset[name].ndim <= 1
            and set(dataset[name].dims) <= set(variable.dims)
        ),
        None,
    )
    if axis is None:
        raise SourceDataError(
            f"Expected a time coordinate ({' or '.join(_TIME_NAMES)}) for {variable.name} in "
            f"{label}, found dimensions {', '.join(map(str, variable.dims))}."
        )
    if not np.issubdtype(axis.dtype, np.datetime64):
        raise SourceDataError(
            f"Expected times with units such as 'hours since 1900-01-01' and the standard "
            f"calendar in {axis.name} of {label}, found {axis.dtype} without a usable one; set "
            "the units and calendar attributes."
        )
    if axis.size > MAX_TIMES:
        raise SourceDataError(f"Expected at most {MAX_TIMES} times in {label}, found {axis.size}.")
    times = np.atleast_1d(axis.values).astype("datetime64[ns]")
    if np.isnat(times).any():
        raise SourceDataError(f"Expected a time for every field in {label}, found missing ones.")
    # Hours kept as fractions of a day are off by some nanoseconds.
    times = (times + _HALF_SECOND).astype("datetime64[s]").astype("datetime64[ns]")
    return (axis.dims[0] if axis.ndim else None), times


def _check_dims(
    dataset: xr.Dataset,
    variable: xr.DataArray,
    dims: tuple[Hashable | None, Hashable, Hashable],
    label: str,
) -> None:
    """Refuse dimensions beyond time, latitude and longitude, unless they are of size one."""
    wide = {
        dim: size
        for dim, size in variable.sizes.items()
        if dim not in dims and dim != _EXPVER and size != 1
    }
    if wide or not set(dims) - {None} <= set(variable.dims):
        raise SourceDataError(
            f"Expected {variable.name}(time, latitude, longitude) in {label}, found dimensions "
            f"{dict(variable.sizes)}; select one level and one member first."
        )
    for name in {*map(str, variable.dims), *map(str, variable.coords)}:
        if name not in dataset.variables or name in dims or dataset[name].size != 1:
            continue
        vertical = dataset[name]
        if np.issubdtype(vertical.dtype, np.number) and is_upper_level(
            vertical.attrs.get("units"), float(vertical.values.item())
        ):
            raise SourceDataError(
                f"Expected temperature near the ground in {label}, found {variable.name} at "
                f"{name} {vertical.values.item():g} {vertical.attrs.get('units')}."
            )


def _refuse_forecasts(dataset: xr.Dataset, label: str) -> None:
    for name, coordinate in dataset.variables.items():
        is_step = name == "step" or coordinate.attrs.get("standard_name") == "forecast_period"
        if is_step and coordinate.size <= MAX_TIMES and np.any(np.asarray(coordinate.values) != 0):
            raise SourceDataError(
                f"Expected analyses in {label}, found forecasts ({name} is not zero); use files "
                "of analyses."
            )


def _refuse_means(variable: xr.DataArray, times: Times, label: str) -> None:
    refuse_monthly(times, label)
    if is_long_mean(variable.attrs):
        steps = np.diff(np.unique(times))
        if not steps.size or steps.min() >= _DAY:
            raise SourceDataError(
                f"Expected analyses in {label}, found means over a day or more; use the hourly "
                "or 6-hourly product."
            )


def _read_statuses(
    dataset: xr.Dataset, variable: xr.DataArray, count: int, label: str
) -> Statuses | None:
    """One status a time; None where expver is a dimension of the fields."""
    if _EXPVER in variable.dims:
        return None
    if _EXPVER not in dataset.variables:
        return np.full(count, Status.FINAL, np.int8)
    versions = np.atleast_1d(dataset[_EXPVER].values)
    if versions.size not in (1, count):
        raise SourceDataError(
            f"Expected one expver a time ({count}) in {label}, found {versions.size}."
        )
    unique, inverse = np.unique(versions.astype(str), return_inverse=True)
    statuses = np.array([status_of_expver(expver, label) for expver in unique], np.int8)
    return np.broadcast_to(statuses[inverse], count)
