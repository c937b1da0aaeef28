"""What the stand-in of the Climate Data Store serves: real GRIB messages, and netCDF of them."""

import functools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import eccodes
import netCDF4
import numpy as np


def times_of(inputs: dict[str, Any]) -> list[np.datetime64]:
    return [
        np.datetime64(f"{year}-{month}-{day}T{time}", "ns")
        for year in inputs["year"]
        for month in inputs["month"]
        for day in inputs["day"]
        for time in inputs["time"]
    ]


@functools.cache
def messages_of(path: Path) -> list[tuple[np.datetime64, bytes]]:
    return list(_read_messages(path))


def _read_messages(path: Path) -> Iterator[tuple[np.datetime64, bytes]]:
    with path.open("rb") as file:
        while (message := eccodes.codes_grib_new_from_file(file)) is not None:
            date, time = (eccodes.codes_get(message, key, str) for key in ("dataDate", "dataTime"))
            stamp = f"{date[:4]}-{date[4:6]}-{date[6:]}T{time[:2]}:{time[2:]}"
            yield np.datetime64(stamp, "ns"), eccodes.codes_get_message(message)
            eccodes.codes_release(message)


def made(
    template: bytes, time: np.datetime64, area: list[float], fields: Callable[..., np.ndarray]
) -> bytes:
    """A message of other values over another box at another time."""
    north, west, south, east = area
    latitude = np.arange(north, south - 0.01, -0.25)
    longitude = np.arange(west, east + 0.01, 0.25)
    stamp = np.datetime_as_string(time, "m")
    message = eccodes.codes_new_from_message(template)
    for key, value in {
        "Ni": longitude.size,
        "Nj": latitude.size,
        "latitudeOfFirstGridPointInDegrees": north,
        "latitudeOfLastGridPointInDegrees": south,
        "longitudeOfFirstGridPointInDegrees": west,
        "longitudeOfLastGridPointInDegrees": east,
        "dataDate": int(stamp[:10].replace("-", "")),
        "dataTime": int(stamp[11:].replace(":", "")),
    }.items():
        eccodes.codes_set(message, key, value)
    eccodes.codes_set_values(message, fields(time, latitude, longitude).ravel())
    content: bytes = eccodes.codes_get_message(message)
    eccodes.codes_release(message)
    return content


def finalised(content: bytes) -> bytes:
    message = eccodes.codes_new_from_message(content)
    eccodes.codes_set(message, "expver", "0001")
    final: bytes = eccodes.codes_get_message(message)
    eccodes.codes_release(message)
    return final


def to_netcdf(messages: list[bytes]) -> bytes:
    """The store's netCDF of today: valid_time, latitude north to south, expver as text."""
    dataset = netCDF4.Dataset("memory", "w", memory=1024)
    dataset.createDimension("valid_time", len(messages))
    for index, content in enumerate(messages):
        message = eccodes.codes_new_from_message(content)
        rows, columns = (eccodes.codes_get(message, key) for key in ("Nj", "Ni"))
        if index == 0:
            latitude = eccodes.codes_get_array(message, "latitudes").reshape(rows, columns)[:, 0]
            longitude = eccodes.codes_get_array(message, "longitudes").reshape(rows, columns)[0]
            for name, axis in (
                ("latitude", latitude),
                ("longitude", (longitude + 180) % 360 - 180),
            ):
                dataset.createDimension(name, axis.size)
                variable = dataset.createVariable(name, "f8", (name,))
                variable.units = f"degrees_{'north' if name == 'latitude' else 'east'}"
                variable[:] = axis
            valid_time = dataset.createVariable("valid_time", "i8", ("valid_time",))
            valid_time.units, valid_time.calendar = (
                "seconds since 1970-01-01",
                "proleptic_gregorian",
            )
            dataset.createVariable("number", "i8", ())[...] = 0
            expver = dataset.createVariable("expver", str, ("valid_time",))
            t2m = dataset.createVariable(
                "t2m", "f4", ("valid_time", "latitude", "longitude"), fill_value=np.nan
            )
            t2m.units, t2m.GRIB_paramId, t2m.GRIB_shortName = "K", np.int64(167), "2t"
        date, time = (eccodes.codes_get(message, key, str) for key in ("dataDate", "dataTime"))
        stamp = np.datetime64(f"{date[:4]}-{date[4:6]}-{date[6:]}T{time[:2]}:{time[2:]}", "s")
        valid_time[index] = stamp.astype(np.int64)
        expver[index] = eccodes.codes_get(message, "expver", str)
        t2m[index] = eccodes.codes_get_values(message).reshape(rows, columns)
        eccodes.codes_release(message)
    return bytes(dataset.close())
