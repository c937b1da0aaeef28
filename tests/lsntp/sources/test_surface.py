"""Fields of the ground out of GRIB, netCDF and Zarr."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from lsntp.errors import SourceDataError
from lsntp.sources.surface import read_surface

HEIGHTS = np.arange(20, dtype=np.float64).reshape(4, 5)


@pytest.mark.parametrize("edition", [1, 2])
def test_messages_are_chosen_by_their_headers_and_keep_their_gaps(
    make_message: Callable[..., bytes], write: Callable[..., Path], edition: int
) -> None:
    height = HEIGHTS.copy()
    height[3, 4] = np.nan
    content = make_message(HEIGHTS + 280, edition=edition) + make_message(
        9.80665 * height, edition=edition, paramId=129
    )
    (field,) = read_surface(write(content, "z.grib"), lambda names: names["paramId"] == 129)
    assert field.names["name"] == "z"
    assert field.names["level_type"] == "surface"
    assert field.values / 9.80665 == pytest.approx(height, abs=1e-4, nan_ok=True)
    assert list(field.grid.latitude) == [52, 51, 50, 49]
    assert field.grid.longitude % 360 == pytest.approx([358, 359, 0, 1, 2])


def test_a_zarr_store_is_read_as_a_netcdf_file_is(tmp_path: Path) -> None:
    dataset = xr.Dataset(
        {"orog": (("latitude", "longitude"), HEIGHTS, {"units": "m"})},
        {"latitude": [52.0, 51, 50, 49], "longitude": [-2.0, -1, 0, 1, 2]},
    )
    dataset.to_zarr(tmp_path / "orog.zarr", zarr_format=2, consolidated=True)
    (field,) = read_surface(tmp_path / "orog.zarr", lambda names: names["name"] == "orog")
    assert field.values.tolist() == HEIGHTS.tolist()


def test_half_a_message_is_damage(
    make_message: Callable[..., bytes], write: Callable[..., Path]
) -> None:
    content = make_message(HEIGHTS, paramId=129)
    with pytest.raises(SourceDataError, match="whole GRIB messages"):
        list(read_surface(write(content[:-30], "z.grib"), lambda _: True))


def test_rotated_grids_are_refused(
    make_message: Callable[..., bytes], write: Callable[..., Path]
) -> None:
    content = make_message(HEIGHTS, edition=2, paramId=129, gridType="rotated_ll")
    with pytest.raises(SourceDataError, match="found rotated_ll"):
        list(read_surface(write(content, "z.grib"), lambda _: True))
