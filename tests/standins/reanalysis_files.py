"""Yearly files as the archive of NCEP/NCAR Reanalysis 1 has them, cut from a real one.

Values, packing and attributes are those of the real excerpt of ``air.sig995`` over North America
(2013-01 to 2014-04); only the span of time, the storage and, where a test asks for it, the grid
are changed.
"""

import tempfile
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np

EXCERPT = Path("ncep/air.sig995.namerica.2013-01_2014-04.nc")


def yearly_file(
    excerpt: Path,
    year: int,
    *,
    count: int | None = None,
    data_model: str = "NETCDF4",
    level: bool = False,
    unpacked: bool = False,
    changes: dict[int, float] | None = None,
    blank: tuple[int, ...] = (),
    skip: int = 0,
    axes: tuple[np.ndarray, np.ndarray] | None = None,
) -> bytes:
    """The content of one yearly file.

    Args:
        excerpt: the real file.
        year: which year of it.
        count: only so many times.
        data_model: of netCDF.
        level: whether the variable has an axis of the one level.
        unpacked: single precision instead of packed integers.
        changes: kelvin added to whole fields, by position.
        blank: positions of fields that hold the fill value only.
        skip: times left out at the start.
        axes: another grid (latitude, longitude 0..360), onto which values are interpolated
            bilinearly inside the excerpt and held at its edges outside.
    """
    with netCDF4.Dataset(excerpt) as source:
        source.set_auto_maskandscale(False)
        moments = netCDF4.num2date(source["time"][:], source["time"].units, source["time"].calendar)
        steps = np.flatnonzero([moment.year == year for moment in moments])[skip:count]
        packed = source["air"][steps]
        attrs = {name: source["air"].getncattr(name) for name in source["air"].ncattrs()}
        latitude, longitude = source["lat"][:], source["lon"][:]
        hours = source["time"][steps]
        titles = {name: source.getncattr(name) for name in source.ncattrs()}
    fill, scale = attrs.pop("_FillValue"), attrs["scale_factor"]
    if axes is not None:
        packed = _interpolated(packed, latitude, longitude, axes)
        latitude, longitude = axes
    for position, kelvin in (changes or {}).items():
        packed[position] += np.int16(round(kelvin / scale))
    packed[list(blank)] = fill
    values: Any = packed
    if unpacked:
        values = np.where(packed == fill, np.float32(-9.96921e36), packed * np.float32(scale))
        fill = np.float32(-9.96921e36)
        attrs = {k: v for k, v in attrs.items() if k not in ("scale_factor", "add_offset")}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "year.nc"
        with netCDF4.Dataset(path, "w", format=data_model) as target:
            target.setncatts(titles)
            target.createDimension("time", None)
            axis_of = {"lat": (latitude, "degrees_north"), "lon": (longitude, "degrees_east")}
            if level:
                axis_of = {"level": (np.array([0.995], np.float32), "sigma_level"), **axis_of}
            for name, (axis, units) in axis_of.items():
                target.createDimension(name, len(axis))
                target.createVariable(name, "f4", (name,))[:] = axis
                target[name].units = units
            time = target.createVariable("time", "f8", ("time",))
            time.units, time.standard_name = "hours since 1800-01-01 00:00:0.0", "time"
            dims = ("time", *axis_of)
            air = target.createVariable("air", values.dtype, dims, fill_value=fill)
            air.set_auto_maskandscale(False)
            air.setncatts(attrs)
            air[:] = values[:, None] if level else values
            time[:] = hours
        return path.read_bytes()


def _interpolated(
    packed: np.ndarray,
    latitude: np.ndarray,
    longitude: np.ndarray,
    axes: tuple[np.ndarray, np.ndarray],
) -> np.ndarray:
    """Bilinear on the real grid (latitude falls), its outermost values beyond it."""
    rows = np.interp(-axes[0], -latitude, np.arange(latitude.size))
    columns = np.interp(axes[1], longitude, np.arange(longitude.size))
    top, left = np.floor(rows).astype(int), np.floor(columns).astype(int)
    bottom = np.minimum(top + 1, latitude.size - 1)
    right = np.minimum(left + 1, longitude.size - 1)
    down, across = (rows - top)[:, None], columns - left
    upper = packed[:, top][:, :, left] * (1 - across) + packed[:, top][:, :, right] * across
    lower = packed[:, bottom][:, :, left] * (1 - across) + packed[:, bottom][:, :, right] * across
    return np.round(upper * (1 - down) + lower * down).astype(np.int16)
