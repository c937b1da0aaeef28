"""Fields of the ground out of GRIB, netCDF and Zarr."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

from lsntp.errors import SourceDataError
from lsntp.sources.decoding import open_surface
from lsntp.sources.surface import kind_of, read_surface

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
    path = write(content, "z.grib")
    (field,) = read_surface(path, "z.grib")
    assert (field.kind, field.name, field.units) == ("orography", "z", "m**2 s**-2")
    assert field.values / 9.80665 == pytest.approx(height, abs=1e-4, nan_ok=True)
    assert list(field.grid.latitude) == [52, 51, 50, 49]
    assert field.grid.longitude % 360 == pytest.approx([358, 359, 0, 1, 2])


def test_a_zarr_store_is_read_as_a_netcdf_file_is(tmp_path: Path) -> None:
    dataset = xr.Dataset(
        {"orog": (("latitude", "longitude"), HEIGHTS, {"units": "m"})},
        {"latitude": [52.0, 51, 50, 49], "longitude": [-2.0, -1, 0, 1, 2]},
    )
    dataset.to_zarr(tmp_path / "orog.zarr", zarr_format=2, consolidated=True)
    (field,) = read_surface(tmp_path / "orog.zarr", "orog.zarr")
    assert field.values.tolist() == HEIGHTS.tolist()


def test_half_a_message_is_damage(
    make_message: Callable[..., bytes], write: Callable[..., Path]
) -> None:
    content = make_message(HEIGHTS, paramId=129)
    with pytest.raises(SourceDataError, match="whole GRIB messages"):
        read_surface(write(content[:-30], "z.grib"), "z.grib")


def test_rotated_grids_are_refused(
    make_message: Callable[..., bytes], write: Callable[..., Path]
) -> None:
    content = make_message(HEIGHTS, edition=2, paramId=129, gridType="rotated_ll")
    with pytest.raises(SourceDataError, match="found rotated_ll"):
        read_surface(write(content, "z.grib"), "z.grib")


def names(name: str = "x", **more: Any) -> dict[str, Any]:
    blank = {"units": None, "standard_name": None, "paramId": None, "level_type": "surface"}
    return {"name": name, **blank, **more}


@pytest.mark.parametrize(
    ("found", "kind"),
    [
        (names("z"), "orography"),
        (names("HGT_surface"), "orography"),
        (names("z", paramId=129), "orography"),
        (names("anything", paramId=172), "land_fraction"),
        (names("anything", standard_name="land_area_fraction"), "land_fraction"),
        (names("z", paramId=129, level_type="isobaricInhPa"), None),
        (names("lsm", paramId=167), None),  # the number decides
        (names("t2m"), None),
    ],
)
def test_metadata_decide_the_kind(found: dict[str, Any], kind: str | None) -> None:
    assert kind_of(found) == kind


def test_the_decoder_hands_on_what_it_reads(
    make_message: Callable[..., bytes], write: Callable[..., Path]
) -> None:
    path = write(make_message(HEIGHTS, paramId=129) + make_message(HEIGHTS / 20, paramId=172), "g")
    direct, through = read_surface(path, str(path)), open_surface(path)
    assert [field.kind for field in through] == ["orography", "land_fraction"]
    for one, other in zip(direct, through, strict=True):
        assert (one.name, one.units, one.label) == (other.name, other.units, other.label)
        assert np.array_equal(one.values, other.values)
        assert one.grid.key == other.grid.key
