"""Small files with known contents."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import eccodes
import numpy as np
import pytest
import xarray as xr

LATITUDE = np.array([52.0, 51.0, 50.0, 49.0])
LONGITUDE = np.array([-2.0, -1.0, 0.0, 1.0, 2.0])


def grib_message(
    values: np.ndarray,
    *,
    edition: int = 1,
    date: int = 20200101,
    hour: int = 0,
    west: float = -2.0,
    **keys: Any,
) -> bytes:
    """One message of 2 m temperature: 52..49 N in steps of 1 degree, eastwards from ``west``."""
    handle = eccodes.codes_grib_new_from_samples(f"regular_ll_sfc_grib{edition}")
    rows, columns = values.shape
    settings = {
        "Ni": columns,
        "Nj": rows,
        "latitudeOfFirstGridPointInDegrees": 52.0,
        "latitudeOfLastGridPointInDegrees": 52.0 - (rows - 1),
        "longitudeOfFirstGridPointInDegrees": west % 360,
        "longitudeOfLastGridPointInDegrees": (west + columns - 1) % 360,
        "iDirectionIncrementInDegrees": 1.0,
        "jDirectionIncrementInDegrees": 1.0,
        "paramId": 167,
        "dataDate": date,
        "dataTime": hour * 100,
        **keys,
    }
    for key, value in settings.items():
        eccodes.codes_set(handle, key, value)
    if np.isnan(values).any():
        eccodes.codes_set(handle, "bitmapPresent", 1)
        eccodes.codes_set(handle, "missingValue", 1e20)
    eccodes.codes_set(handle, "bitsPerValue", 24)
    eccodes.codes_set_values(handle, np.nan_to_num(values, nan=1e20).ravel())
    content: bytes = eccodes.codes_get_message(handle)
    eccodes.codes_release(handle)
    return content


@pytest.fixture(scope="session")
def make_message() -> Callable[..., bytes]:
    return grib_message


@pytest.fixture
def make_fields() -> Callable[..., np.ndarray]:
    """Fields (n, 4, 5) in kelvin, every value different."""

    def make(count: int = 1) -> np.ndarray:
        return 270.0 + 0.125 * np.arange(count * 20, dtype=np.float64).reshape(count, 4, 5)

    return make


@pytest.fixture
def make_dataset(make_fields: Callable[..., np.ndarray]) -> Callable[..., xr.Dataset]:
    """The new layout of the Climate Data Store, on 52..49 N, -2..2 E."""

    def make(hours: Sequence[int] = (0, 1, 2), **attrs: Any) -> xr.Dataset:
        times = np.datetime64("2020-01-01T00", "ns") + np.array(hours) * np.timedelta64(1, "h")
        dims = ("valid_time", "latitude", "longitude")
        fields = make_fields(len(times)).astype(np.float32)
        return xr.Dataset(
            {"t2m": (dims, fields, {"units": "K", "long_name": "2 metre temperature", **attrs})},
            coords={
                "valid_time": times,
                "latitude": ("latitude", LATITUDE, {"units": "degrees_north"}),
                "longitude": ("longitude", LONGITUDE, {"units": "degrees_east"}),
                "number": 0,
            },
        )

    return make


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """Writes bytes or a dataset to a file."""

    def to_file(content: bytes | xr.Dataset, name: str = "data.nc", **options: Any) -> Path:
        path = tmp_path / name
        if isinstance(content, bytes):
            path.write_bytes(content)
        else:
            content.to_netcdf(path, engine="netcdf4", **options)
        return path

    return to_file
