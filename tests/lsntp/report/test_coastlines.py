import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lsntp.config import load_domain
from lsntp.grid import regular_grid
from lsntp.report.coastlines import Box, box_of, clip, coastlines

UNIT = Box(west=0.0, east=1.0, south=0.0, north=1.0)
BRITAIN = Box(west=-10.0, east=2.0, south=49.5, north=59.0)


def nearest_km(lines, latitude, longitude):
    """Distance to the closest line, on a plane that is true at ``latitude``."""
    along = np.linspace(0.0, 1.0, 21)[:, None, None]
    points = np.concatenate(
        [(line[:-1] + along * np.diff(line, axis=0)).reshape(-1, 2) for line in lines]
    )
    east = (points[:, 0] - longitude) * np.cos(np.radians(latitude))
    return 111.2 * np.hypot(east, points[:, 1] - latitude).min()


@pytest.mark.parametrize(
    ("place", "latitude", "longitude"),
    [
        ("Land's End", 50.066, -5.715),
        ("North Foreland", 51.375, 1.445),
        ("Dunnet Head", 58.67, -3.375),
    ],
)
def test_known_capes_lie_on_the_coast(place, latitude, longitude):
    assert nearest_km(coastlines(BRITAIN), latitude, longitude) < 2.0


def test_a_cape_across_the_date_line_is_found_from_the_other_side():
    box = Box(west=-200.0, east=-160.0, south=60.0, north=75.0)  # Cape Dezhnev: 66.08 N 169.65 W
    assert nearest_km(coastlines(box), 66.08, -169.65) < 10.0
    assert np.concatenate(coastlines(box))[:, 0].min() < -185.0


def test_a_great_lake_has_a_shore():
    lines = coastlines(Box(west=-90.0, east=-84.0, south=40.0, north=47.0))
    assert nearest_km(lines, 41.88, -87.61) < 5.0  # Chicago, Lake Michigan


def test_no_line_closes_a_polygon_along_the_date_line_the_pole_or_antarctic_greenwich():
    globe = Box(west=-180.0, east=180.0, south=-90.0, north=90.0)
    for line in coastlines(globe):
        steps = np.abs(np.diff(line, axis=0))
        along_date_line = (np.abs(line[:-1, 0]) > 179.99) & (np.abs(line[1:, 0]) > 179.99)
        assert not np.any(along_date_line & (steps[:, 1] > 0.5))
        assert line[:, 1].min() > -89.0
        assert steps[:, 0].max() < 15.0


@settings(max_examples=25, deadline=None)
@given(
    west=st.floats(-180, 150),
    south=st.floats(-85, 60),
    width=st.floats(1, 60),
    height=st.floats(1, 25),
)
def test_every_point_lies_inside_the_box(west, south, width, height):
    box = Box(west, west + width, south, south + height)
    for line in coastlines(box, resolution="crude"):
        assert len(line) >= 2
        assert line[:, 0].min() >= box.west - 1e-9
        assert line[:, 0].max() <= box.east + 1e-9
        assert line[:, 1].min() >= box.south - 1e-9
        assert line[:, 1].max() <= box.north + 1e-9


def test_clipping_keeps_what_is_inside_and_cuts_at_the_edge():
    zigzag = np.array([[-1.0, 0.5], [0.5, 0.5], [0.5, 2.0]])
    (line,) = clip(zigzag, UNIT)
    np.testing.assert_allclose(line, [[0.0, 0.5], [0.5, 0.5], [0.5, 1.0]])


def test_a_segment_through_the_box_with_both_ends_outside_is_kept():
    (line,) = clip(np.array([[-1.0, -1.0], [2.0, 2.0]]), UNIT)
    np.testing.assert_allclose(line, [[0.0, 0.0], [1.0, 1.0]])


def test_a_line_that_leaves_and_returns_becomes_two():
    outing = np.array([[0.5, 0.2], [2.0, 0.2], [2.0, 0.8], [0.5, 0.8]])
    lines = clip(outing, UNIT)
    assert [line.tolist() for line in lines] == [[[0.5, 0.2], [1.0, 0.2]], [[1.0, 0.8], [0.5, 0.8]]]


def test_a_line_outside_or_parallel_to_an_edge_is_dropped():
    assert clip(np.array([[2.0, 0.0], [3.0, 1.0]]), UNIT) == []
    assert clip(np.array([[0.2, 1.5], [0.8, 1.5]]), UNIT) == []


def test_a_box_reaches_to_the_edges_of_the_outer_cells():
    grid = regular_grid(north=52.0, south=50.0, west=-2.0, east=0.0, spacing=0.5)
    box = box_of(grid)
    assert (box.west, box.east, box.south, box.north) == (-2.25, 0.25, 49.75, 52.25)


def test_the_aspect_shrinks_with_the_cosine_of_latitude():
    assert Box(0.0, 10.0, 55.0, 65.0).aspect == pytest.approx(0.5)


def test_smaller_boxes_get_finer_lines():
    def typical_step(box):
        steps = [np.hypot(*np.diff(line, axis=0).T) for line in coastlines(box)]
        return np.median(np.concatenate(steps))

    uk = box_of(load_domain("era5-uk").target_grid)
    china = box_of(load_domain("era5-hourly").target_grid)
    america = box_of(load_domain("ncep-north-america").target_grid)
    steps = [typical_step(box) for box in (uk, china, america)]
    assert all(finer < coarser for finer, coarser in itertools.pairwise(steps))
