"""Masks: boxes by cell centre, land by area."""

import numpy as np
import pytest
import xarray as xr

from lsntp.config import load_domain
from lsntp.config.region import RegionConfig
from lsntp.errors import EvaluationError
from lsntp.evaluation.regions import (
    cells_of,
    land_fraction,
    region_masks,
    region_shares,
)
from lsntp.grid import Grid, regular_grid


def test_a_box_takes_the_cells_whose_centre_it_holds():
    grid = regular_grid(north=52, south=50, west=0, east=3, spacing=1)
    box = RegionConfig(north=52, south=50.6, west=0.5, east=2)
    assert cells_of(box, grid).astype(int).tolist() == [[0, 1, 1, 0], [0, 1, 1, 0], [0, 0, 0, 0]]


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


def test_land_and_sea_share_the_grid_between_them():
    domain = load_domain("demo")
    masks = region_masks(domain)
    assert masks.names == ("all", "land", "sea")
    everything, land, sea = masks.inside
    assert (land ^ sea).all()
    assert everything.all()


def test_a_grid_of_land_alone_has_neither_land_nor_sea_as_regions():
    inland = load_domain(
        "demo",
        overrides={
            "grid.north": 50,
            "grid.south": 48,
            "grid.west": 9,
            "grid.east": 11,
            "place": None,
        },
    )
    assert region_masks(inland).names == ("all",)
    with pytest.raises(EvaluationError, match="found none in sea"):
        region_masks(inland, ["land", "sea"])


def test_the_land_of_a_box_is_what_both_hold():
    alps = {"north": 48, "south": 44, "west": 5, "east": 12, "surface": "land"}
    domain = load_domain("demo", overrides={"regions": {"alps": alps, "dry": "land"}})
    masks = region_masks(domain, ["land", "alps", "dry"])
    land, alpine, dry = masks.inside
    assert (dry == land).all()
    assert 0 < alpine.sum() < land.sum()
    assert not (alpine & ~land).any()


def test_shares_add_up_to_one_and_follow_the_weights():
    domain = load_domain("demo")
    masks = region_masks(domain)
    plain, area = region_shares(masks), region_shares(masks, domain.target_grid.area_weights)
    np.testing.assert_allclose(plain.sum(axis=(1, 2)), 1.0)
    np.testing.assert_allclose(area.sum(axis=(1, 2)), 1.0)
    assert (area[~masks.inside] == 0).all()
    assert area[0, -1, 0] > area[0, 0, 0]  # southern cells are larger
