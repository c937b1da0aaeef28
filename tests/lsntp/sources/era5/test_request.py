"""Requests ask for exactly the wanted times, over exactly the cells a domain needs."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lsntp.config import load_domain
from lsntp.grid import Grid, regular_grid
from lsntp.sources.era5.request import Product, asked_box, requests_for
from lsntp.times import hours

PRODUCT = Product(dataset="d", data_format="grib", area=(52.0, -1.0, 51.0, 0.0))
START = np.datetime64("2019-12-30T00", "ns")


def test_a_whole_month_is_one_request_in_the_words_of_the_store():
    (request,) = requests_for(
        np.datetime64("2019-02-01", "ns") + np.arange(28 * 24) * hours(1), PRODUCT
    )
    assert request.body == {
        "product_type": ["reanalysis"],
        "variable": ["2m_temperature"],
        "year": ["2019"],
        "month": ["02"],
        "day": [f"{day:02d}" for day in range(1, 29)],
        "time": [f"{hour:02d}:00" for hour in range(24)],
        "area": [52.0, -1.0, 51.0, 0.0],
        "data_format": "grib",
        "download_format": "unarchived",
    }


def test_days_that_want_other_hours_are_asked_apart_so_that_nothing_else_is_asked():
    # 22, 23 h of 30 December; all of the 31st; 0 h of 1 January.
    times = START + np.arange(22, 49) * hours(1)
    found = [(r.year, r.month, r.days, r.hours) for r in requests_for(times, PRODUCT)]
    assert found == [
        (2019, 12, (30,), (22, 23)),
        (2019, 12, (31,), tuple(range(24))),
        (2020, 1, (1,), (0,)),
    ]


@given(st.sets(st.integers(0, 100 * 24 - 1), min_size=1, max_size=60))
@settings(max_examples=50, deadline=None)
def test_requests_and_their_halves_ask_for_every_time_once(offsets):
    times = START + np.array(sorted(offsets)) * hours(1)
    requests = requests_for(times, PRODUCT)
    for _ in range(3):
        asked = np.sort(np.concatenate([request.times for request in requests]))
        np.testing.assert_array_equal(asked, times)
        requests = [half for r in requests for half in (r.halves() or (r,))]


def test_a_request_is_halved_by_days_then_by_hours_down_to_one_time():
    (request,) = requests_for(START + np.arange(48) * hours(1), PRODUCT)
    first, second = request.halves()
    assert (first.days, second.days) == ((30,), (31,))
    assert [half.hours for half in first.halves()] == [tuple(range(12)), tuple(range(12, 24))]
    (single,) = requests_for(START[None], PRODUCT)
    assert single.halves() is None


def test_two_hours_a_month_apart_are_no_monthly_means():
    times = np.array(["2019-03-01T00", "2019-03-30T00"], "datetime64[ns]")
    assert [request.days for request in requests_for(times, PRODUCT)] == [(1,), (30,)]


def test_keys_tell_requests_apart_and_only_requests():
    times = START + np.arange(24) * hours(1)
    (one,), (same,) = (requests_for(times, PRODUCT) for _ in range(2))
    assert one.key == same.key
    (fewer,) = requests_for(times[:23], PRODUCT)
    (packed,) = requests_for(times, PRODUCT.model_copy(update={"data_format": "netcdf"}))
    (wider,) = requests_for(times, PRODUCT.model_copy(update={"area": (52.0, -1.0, 51.0, 0.25)}))
    (other,) = requests_for(times, PRODUCT.model_copy(update={"dataset": "e"}))
    assert len({r.key for r in (one, fewer, packed, wider, other)}) == 5


@pytest.mark.parametrize(
    ("grid", "box"),
    [
        # Centres 54..16 N at 0.5 degrees: edges 54.25..15.75, in the cells 54.25 and 15.75;
        # one more is 54.5 and 15.5.
        (load_domain("era5-hourly").target_grid, (54.5, 72.5, 15.5, 135.5)),
        # Edges 51.875 and 51.125 are those of native cells, so 51.75 and 51.25 are the outermost.
        (
            regular_grid(north=51.75, south=51.25, west=-0.75, east=-0.25, spacing=0.25),
            (52.0, -1.0, 51.0, 0.0),
        ),
        # At the poles and around the circle there is no more to ask for.
        (
            regular_grid(north=90, south=-90, west=-180, east=179, spacing=1),
            (90.0, -180.0, -90.0, 179.75),
        ),
        (
            regular_grid(north=1, south=0, west=178, east=180, spacing=1),
            (1.75, 177.25, -0.75, 180.0),
        ),
        (Grid(np.array([40.1, 38.2]), np.array([1.875, 3.75])), (41.25, 0.75, 37.0, 5.0)),
    ],
)
def test_the_box_holds_every_cell_that_overlaps_the_domain_and_one_more(grid, box):
    assert asked_box(grid) == box


def test_the_cells_of_a_product_run_north_to_south_and_west_to_east():
    latitude, longitude = PRODUCT.cells
    assert latitude.tolist() == [52.0, 51.75, 51.5, 51.25, 51.0]
    assert longitude.tolist() == [-1.0, -0.75, -0.5, -0.25, 0.0]
