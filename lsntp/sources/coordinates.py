"""What the coordinates of a netCDF dataset say: grid, times, versions, and what to refuse."""

import math
from collections.abc import Callable, Hashable, Mapping
from typing import Any

import numpy as np
import xarray as xr

from lsntp.errors import SourceDataError
from lsntp.names import EXPVER_STATUS, Status
from lsntp.sources.canonical import (
    ENSEMBLE_TYPES,
    MONTHLY_STREAMS,
    Statuses,
    is_long_mean,
    is_upper_level,
    status_of_expver,
)
from lsntp.sources.limits import MAX_CHUNK_BYTES
from lsntp.sources.native import MAX_CELLS, NativeGrid
from lsntp.sources.parts import refuse_monthly
from lsntp.times import Times

MAX_TIMES = 10_000_000
"""Eleven centuries of hours; an axis that claims more is damaged or hostile."""

EXPVER = "expver"

_TIME_NAMES = ("valid_time", "time")
_AXES = {
    "latitude": (("latitude", "lat", "nav_lat"), ("degrees_north", "degree_north", "degrees_n")),
    "longitude": (
        ("longitude", "lon", "lng", "long"),
        ("degrees_east", "degree_east", "degrees_e"),
    ),
}
_DAY = np.timedelta64(1, "D")
_HALF_SECOND = np.timedelta64(500, "ms")


def read_grid(
    dataset: xr.Dataset, variable: xr.DataArray, label: str
) -> tuple[NativeGrid, Hashable, Hashable]:
    """The axes of latitude and longitude, degrees, and the names of their dimensions.

    Raises:
        SourceDataError: if the variable is a point series, or an axis is absent or unusable.
    """
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
            f"({found}); it cannot fill a gridded domain, use files of whole fields."
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
            "cannot fill a gridded domain, use files of whole fields."
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


def read_times(
    dataset: xr.Dataset, variable: xr.DataArray, label: str
) -> tuple[Hashable | None, Times]:
    """The time dimension (None for a single field) and its valid times (n,), UTC.

    Raises:
        SourceDataError: if there is no time, too many, or one without usable units.
    """
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


def check_chunks(dataset: xr.Dataset, label: str) -> None:
    """Refuse chunks that unpack to more than any sound file has; reads none of them.

    Raises:
        SourceDataError: naming the variable.
    """
    for name, variable in dataset.variables.items():
        shape = variable.encoding.get("chunks") or variable.encoding.get("chunksizes") or ()
        itemsize = np.dtype(variable.encoding.get("dtype") or variable.dtype).itemsize
        if (size := math.prod(map(int, shape)) * itemsize) > MAX_CHUNK_BYTES:
            raise SourceDataError(
                f"Expected chunks of at most {MAX_CHUNK_BYTES / 2**20:g} MiB in {label}, found "
                f"{size / 2**20:g} MiB in {name} ({' x '.join(map(str, shape))}); store it in "
                "smaller chunks, of one day for instance."
            )


def check_dims(
    dataset: xr.Dataset,
    variable: xr.DataArray,
    dims: tuple[Hashable | None, Hashable, Hashable],
    label: str,
) -> None:
    """Refuse dimensions beyond time, latitude and longitude, unless they are of size one.

    Raises:
        SourceDataError: naming the dimensions, or the level where it is not near the ground.
    """
    wide = {
        dim: size
        for dim, size in variable.sizes.items()
        if dim not in dims and dim != EXPVER and size != 1
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
                f"{name} {vertical.values.item():g} {vertical.attrs.get('units')}; use files of "
                "2 m temperature."
            )


def refuse_forecasts(dataset: xr.Dataset, label: str) -> None:
    """Refuse a lead time other than zero.

    Raises:
        SourceDataError: naming the coordinate.
    """
    for name, coordinate in dataset.variables.items():
        is_step = name == "step" or coordinate.attrs.get("standard_name") == "forecast_period"
        if is_step and coordinate.size <= MAX_TIMES and np.any(np.asarray(coordinate.values) != 0):
            raise SourceDataError(
                f"Expected analyses in {label}, found forecasts ({name} is not zero); use files "
                "of analyses."
            )


def refuse_statistics(variable: xr.DataArray, times: Times, label: str) -> None:
    """Refuse monthly fields, means over a day or more, and statistics of an ensemble.

    Args:
        variable: with its attributes of GRIB and CF.
        times: of its fields (n,).
        label: the file, for messages.

    Raises:
        SourceDataError: saying what the fields are.
    """
    refuse_monthly(times, label)
    stream, kind, step_type = (
        variable.attrs.get(f"GRIB_{key}") for key in ("stream", "dataType", "stepType")
    )
    reasons = {
        f"monthly means (GRIB_stream {stream})": stream in MONTHLY_STREAMS,
        f"an ensemble member or statistic (GRIB_dataType {kind})": kind in ENSEMBLE_TYPES,
        f"fields over a time range (GRIB_stepType {step_type})": step_type
        not in (None, "instant", "unknown"),
    }
    if found := [reason for reason, holds in reasons.items() if holds]:
        raise SourceDataError(
            f"Expected analyses in {label}, found {found[0]}; use the hourly or 6-hourly product."
        )
    if is_long_mean(variable.attrs):
        steps = np.diff(np.unique(times))
        if not steps.size or steps.min() >= _DAY:
            raise SourceDataError(
                f"Expected analyses in {label}, found means over a day or more; use the hourly "
                "or 6-hourly product."
            )


def read_statuses(
    dataset: xr.Dataset, variable: xr.DataArray, count: int, label: str
) -> Statuses | None:
    """One status a time (count,); None where expver is a dimension of the fields.

    Raises:
        SourceDataError: if there are as many as neither, or one is unknown.
    """
    if EXPVER in variable.dims:
        if variable.sizes[EXPVER] > len(EXPVER_STATUS):
            raise SourceDataError(
                f"Expected one field for each of ERA5 and ERA5T in {label}, found "
                f"{variable.sizes[EXPVER]} values of expver; keep the versions apart."
            )
        return None
    if EXPVER not in dataset.variables:
        return np.full(count, Status.FINAL, np.int8)
    if dataset[EXPVER].size not in (1, count):
        raise SourceDataError(
            f"Expected one expver a time ({count}) in {label}, found {dataset[EXPVER].size}."
        )
    versions = np.atleast_1d(dataset[EXPVER].values)
    unique, inverse = np.unique(versions.astype(str), return_inverse=True)
    statuses = np.array([status_of_expver(expver, label) for expver in unique], np.int8)
    return np.broadcast_to(statuses[inverse], count)
