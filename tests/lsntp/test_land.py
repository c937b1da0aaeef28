"""Land by area, against places, the globe, and the mask of ERA5."""

import numpy as np
import pytest
import xarray as xr

from lsntp.config import load_domain
from lsntp.grid import Grid, regular_grid
from lsntp.land import land_fraction


@pytest.mark.parametrize(
    ("place", "latitude", "longitude", "expected"),
    [
        ("Sahara", 23, 10, 1.0),
        ("Pacific", 0, -150, 0.0),
        ("Arctic Ocean", 88, 10, 0.0),
        ("Antarctica", -85, -90, 1.0),
        ("Lake Superior", 47.75, -87, 0.0),
        ("Australia, not its mirror image in Japan", -25, 135, 1.0),
    ],
)
def test_places_known_to_be_land_or_water(place, latitude, longitude, expected):
    around = np.array([0.25, 0.0, -0.25])
    land = land_fraction(Grid(latitude + around, longitude - around))
    assert land[1, 1] == pytest.approx(expected, abs=0.02)


def test_the_land_of_the_globe_is_three_tenths_of_it():
    grid = regular_grid(north=85, south=-85, west=-175, east=175, spacing=10)
    land = (land_fraction(grid) * grid.area_weights).mean()
    assert land == pytest.approx(0.29, abs=0.01)


def test_land_agrees_with_the_mask_of_era5(shared_data):
    path = shared_data / "static" / "era5_landmask_0.25.nc"
    domain = load_domain("era5-uk")
    grid = domain.target_grid
    with xr.open_dataset(path) as data:
        name = next(name for name in data.data_vars if "land" in str(name))
        truth = (
            data[name]
            .squeeze()
            .sel(latitude=grid.latitude, longitude=grid.longitude % 360, method="nearest")
            .values
        )
    ours = land_fraction(grid)
    assert ((ours >= 0.5) == (truth >= 0.5)).mean() > 0.97
