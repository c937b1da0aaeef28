"""Masks: boxes by cell centre, land by area."""

import numpy as np
import pytest

from lsntp.config import load_domain
from lsntp.config.region import RegionConfig
from lsntp.errors import EvaluationError
from lsntp.evaluation.regions import (
    cells_of,
    region_masks,
    region_shares,
)
from lsntp.grid import regular_grid


def test_a_box_takes_the_cells_whose_centre_it_holds():
    grid = regular_grid(north=52, south=50, west=0, east=3, spacing=1)
    box = RegionConfig(north=52, south=50.6, west=0.5, east=2)
    assert cells_of(box, grid).astype(int).tolist() == [[0, 1, 1, 0], [0, 1, 1, 0], [0, 0, 0, 0]]


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
