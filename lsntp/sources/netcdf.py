"""netCDF-3, netCDF-4 and Zarr, in the old and the new layout of the Climate Data Store."""

import warnings
from collections.abc import Hashable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import xarray as xr
from scipy.io import netcdf_file

from lsntp.errors import LsntpError, SourceDataError, SourceUnavailableError
from lsntp.grid import Fields
from lsntp.names import Status
from lsntp.sources.canonical import Statuses, find_t2m, status_of_expver, to_kelvin
from lsntp.sources.coordinates import (
    EXPVER,
    check_chunks,
    check_dims,
    read_grid,
    read_statuses,
    read_times,
    refuse_forecasts,
    refuse_statistics,
)
from lsntp.sources.native import Ints, NativeGrid, Window
from lsntp.sources.parts import runs, stamp
from lsntp.times import Times

Engine = Literal["netcdf4", "zarr"]

_LIBRARY_ERRORS = (
    OSError,
    ValueError,
    TypeError,
    LookupError,
    RuntimeError,
    ArithmeticError,
)
"""What netCDF4, xarray and zarr raise on damaged files."""

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
                    variable.isel({EXPVER: index}), positions, window
                )
                for index, expver in enumerate(np.atleast_1d(dataset[EXPVER].values))
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
        check_chunks(dataset, label)
        attrs = {str(name): variable.attrs for name, variable in dataset.data_vars.items()}
        name = find_t2m(attrs, label)
        variable = dataset[name]
        to_kelvin(np.empty(0), variable.attrs.get("units"), f"{name} of {label}")
        grid, latitude, longitude = read_grid(dataset, variable, label)
        time, times = read_times(dataset, variable, label)
        check_dims(dataset, variable, (time, latitude, longitude), label)
        refuse_forecasts(dataset, label)
        refuse_statistics(variable, times, label)
        statuses = read_statuses(dataset, variable, len(times), label)
    return NetcdfPart(
        path, label, engine, name, (time, latitude, longitude), grid, times, statuses, file_stamp
    )


@contextmanager
def _opened(path: Path, label: str, engine: Engine) -> Iterator[xr.Dataset]:
    """The decoded dataset, lazily; whatever the libraries find wrong becomes our error."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # notes on fill values and calendars of strangers
            with xr.open_dataset(
                path,
                engine=engine,
                cache=False,
                decode_timedelta=False,
                create_default_indexes=False,
                backend_kwargs={"consolidated": False} if engine == "zarr" else {},
            ) as dataset:
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
    try:
        # Opened here: where the header is wrong, the reader leaves a file of its own open.
        with path.open("rb") as file:
            if file.read(4) not in _CLASSIC_MAGIC:
                return
            file.seek(0)
            with netcdf_file(file, "r", mmap=True) as content:
                content.variables.clear()
    except (ValueError, TypeError, OSError, LookupError, MemoryError) as error:
        raise SourceDataError(
            f"Expected a whole netCDF-3 file in {label}, found one that is cut short or damaged "
            f"({error}); fetch it again."
        ) from error
