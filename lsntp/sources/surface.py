"""Fields of the ground, which do not change with time: height or geopotential, land and sea."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import eccodes
import numpy as np
import xarray as xr

from lsntp.errors import LsntpError, SourceDataError
from lsntp.grid import Floats
from lsntp.names import LAND_FRACTION, OROGRAPHY
from lsntp.sources.coordinates import read_grid
from lsntp.sources.framing import MAGIC, damaged, frame_messages
from lsntp.sources.native import MAX_CELLS, NativeGrid

Names = Mapping[str, Any]
"""What the metadata say of a field: name, units, standard_name, paramId, level_type."""

_PARAMETERS = {129: OROGRAPHY, 228002: OROGRAPHY, 172: LAND_FRACTION}
"""GRIB: geopotential, orography, land-sea mask."""
_NAMES = {
    **dict.fromkeys(("z", "geopotential", "orog", "orography", "hgt", "hgt_surface"), OROGRAPHY),
    **dict.fromkeys(("topo", "elevation", "surface_altitude"), OROGRAPHY),
    **dict.fromkeys(("lsm", "land", "land_sea_mask", "lsmask", "land_fraction"), LAND_FRACTION),
    **dict.fromkeys(("land_surface", "sftlf"), LAND_FRACTION),
}
_STANDARD_NAMES = {
    "surface_altitude": OROGRAPHY,
    "surface_geopotential": OROGRAPHY,
    "land_binary_mask": LAND_FRACTION,
    "land_area_fraction": LAND_FRACTION,
}
_LIBRARY_ERRORS = (OSError, ValueError, TypeError, LookupError, RuntimeError, MemoryError)
_GRID_TYPES = ("regular_ll", "regular_gg")
_MISSING = 1e30


@dataclass(frozen=True, eq=False)
class SurfaceField:
    """One field on the grid of its file.

    Attributes:
        kind: ``orography`` or ``land_fraction``; what it is measured in, its units tell.
        name: as the file has it.
        units: likewise, in lower case; empty where it has none.
        values: (H, W) in the file's own order and units; NaN where there is none.
        grid: the axes of ``values``.
        label: the file, for messages.
    """

    kind: str
    name: str
    units: str
    values: Floats
    grid: NativeGrid
    label: str


def kind_of(names: Names) -> str | None:
    """``orography``, ``land_fraction``, or None for any other field."""
    if names["level_type"] != "surface":
        return None
    if names["paramId"]:
        return _PARAMETERS.get(int(names["paramId"]))
    return _STANDARD_NAMES.get(str(names["standard_name"]), _NAMES.get(names["name"].lower()))


def read_surface(path: Path, label: str) -> list[SurfaceField]:
    """Height or geopotential, and land, of a GRIB, netCDF or Zarr; of several times the first.

    To be called in the decoder; see :func:`lsntp.sources.decoding.open_surface`.

    Raises:
        SourceDataError: if the file is damaged or no such format, or a field lies on no
            regular grid or changes with time.
    """
    try:
        is_grib = path.is_file() and _head(path).startswith(MAGIC)
        return list(_grib_fields(path, label) if is_grib else _netcdf_fields(path, label))
    except LsntpError:
        raise
    except _LIBRARY_ERRORS as error:
        raise SourceDataError(
            f"Expected a readable GRIB, netCDF or Zarr of static fields at {label}, found one "
            f"that cannot be decoded ({error}); correct static.paths or fetch it again."
        ) from error


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(len(MAGIC))


def _netcdf_fields(path: Path, label: str) -> Iterator[SurfaceField]:
    engine = "zarr" if path.is_dir() else "netcdf4"
    options = {"consolidated": False} if engine == "zarr" else {}
    # Times of such files may be of the year 1 or none at all, and nobody needs them.
    with xr.open_dataset(
        path, engine=engine, decode_times=False, cache=False, backend_kwargs=options
    ) as dataset:
        for name, variable in dataset.data_vars.items():
            names = {
                "name": str(name),
                "units": variable.attrs.get("units"),
                "standard_name": variable.attrs.get("standard_name"),
                "paramId": variable.attrs.get("GRIB_paramId"),
                "level_type": variable.attrs.get("GRIB_typeOfLevel", "surface"),
            }
            if (kind := kind_of(names)) is None:
                continue
            grid, latitude, longitude = read_grid(dataset, variable, label)
            others = [dim for dim in variable.dims if dim not in (latitude, longitude)]
            first, last = (
                variable.isel(dict.fromkeys(others, place)).transpose(latitude, longitude).values
                for place in (0, -1)
            )
            if not np.array_equal(first, last, equal_nan=True):
                raise SourceDataError(
                    f"Expected {name} in {label} to be the same at all times, found it changing; "
                    "use a file of the invariant field."
                )
            yield _field(kind, names, first.astype(np.float64), grid, label)


def _grib_fields(path: Path, label: str) -> Iterator[SurfaceField]:
    frames = list(frame_messages(path, label))
    with path.open("rb") as file:
        for frame in frames:
            file.seek(frame.offset)
            message = eccodes.codes_new_from_message(file.read(frame.length))
            try:
                names = {
                    "name": eccodes.codes_get(message, "shortName", str),
                    "units": eccodes.codes_get(message, "units", str),
                    "standard_name": None,
                    "paramId": eccodes.codes_get(message, "paramId", int),
                    "level_type": eccodes.codes_get(message, "typeOfLevel", str),
                }
                if (kind := kind_of(names)) is not None:
                    yield _field(kind, names, *_decoded(message, label), label)
            except eccodes.CodesInternalError as error:
                raise damaged(label, f"a message that cannot be decoded ({error})") from error
            finally:
                eccodes.codes_release(message)


def _field(kind: str, names: Names, values: Floats, grid: NativeGrid, label: str) -> SurfaceField:
    units = str(names["units"] or "").strip().lower()
    return SurfaceField(kind, names["name"], units, values, grid, label)


def _decoded(message: int, label: str) -> tuple[Floats, NativeGrid]:
    """Values and axes of a message, in the order in which they are stored."""
    kind = eccodes.codes_get(message, "gridType", str)
    rows, columns = (eccodes.codes_get(message, key, int) for key in ("Nj", "Ni"))
    if kind not in _GRID_TYPES or eccodes.codes_get(message, "jPointsAreConsecutive", int):
        raise SourceDataError(
            f"Expected a regular latitude/longitude or Gaussian grid in {label}, found {kind}; "
            "regrid the file first."
        )
    if not 0 < rows * columns == eccodes.codes_get_size(message, "values") <= MAX_CELLS:
        raise damaged(label, f"a grid of {rows} x {columns} cells that does not fit its data")
    eccodes.codes_set(message, "missingValue", _MISSING)
    values, latitude, longitude = (
        eccodes.codes_get_array(message, key).reshape(rows, columns)
        for key in ("values", "latitudes", "longitudes")
    )
    grid = NativeGrid(latitude[:, 0].copy(), longitude[0].copy())
    grid.check(label)
    return np.where(values == _MISSING, np.nan, values), grid
