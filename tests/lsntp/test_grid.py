"""Grids: order, edges, areas, distances."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lsntp.errors import DomainError
from lsntp.grid import Grid, gaussian_grid, regular_grid


def test_edges_are_midpoints_and_poles_are_clipped() -> None:
    grid = regular_grid(north=90, south=88, west=0, east=4, spacing=2)
    np.testing.assert_allclose(grid.latitude_edges, [90, 89, 87])
    np.testing.assert_allclose(grid.longitude_edges, [-1, 1, 3, 5])


def test_area_weights_follow_the_sine_of_latitude() -> None:
    # Bands 60..30 and 30..0: sines 0.8660, 0.5, 0: areas 0.3660 : 0.5.
    grid = Grid(np.array([45.0, 15.0]), np.array([0.0, 10.0]))
    ratio = grid.area_weights[0, 0] / grid.area_weights[1, 0]
    assert ratio == pytest.approx((np.sqrt(3) / 2 - 0.5) / 0.5)
    assert grid.area_weights.mean() == pytest.approx(1.0)


def test_a_whole_sphere_has_the_area_of_a_sphere() -> None:
    grid = regular_grid(north=90, south=-90, west=-180, east=170, spacing=10)
    bands = -np.diff(np.sin(np.radians(grid.latitude_edges)))
    assert bands.sum() == pytest.approx(2.0)
    assert grid.is_global_in_longitude


def test_the_t62_latitudes_are_the_published_ones() -> None:
    # First rows of the NCEP T62 Gaussian grid: 88.542, 86.653, 84.753 degrees north.
    grid = gaussian_grid(latitudes=94, longitudes=192, north=90, south=-90, west=-180, east=180)
    np.testing.assert_allclose(grid.latitude[:3], [88.542, 86.653, 84.753], atol=1e-3)
    assert grid.shape == (94, 192)


def test_the_ncep_box_has_the_papers_21_by_35_cells() -> None:
    box = {"north": 54.3, "south": 16.1, "west": 73.1, "east": 136.9}
    assert gaussian_grid(latitudes=94, longitudes=192, **box).shape == (21, 35)


def test_a_quarter_of_the_equator_is_a_quarter_of_the_circumference() -> None:
    grid = Grid(np.array([0.0]), np.array([90.0]))
    assert grid.distance_km(0.0, 0.0)[0, 0] == pytest.approx(np.pi / 2 * 6371.0)


def test_a_single_place_is_a_cell_of_one_degree_in_the_order_of_its_axes() -> None:
    grid = Grid(np.array([50.4]), np.array([-4.2]))
    np.testing.assert_allclose(grid.latitude_edges, [50.9, 49.9])
    np.testing.assert_allclose(grid.longitude_edges, [-4.7, -3.7])
    assert grid.contains(50.0, -4.0)
    assert not grid.contains(49.8, -4.0)
    np.testing.assert_array_equal(grid.area_weights, [[1.0]])


@pytest.mark.parametrize(("latitude", "edges"), [(90.0, [90, 89.5]), (-89.8, [-89.3, -90])])
def test_a_single_row_at_a_pole_ends_there(latitude: float, edges: list[float]) -> None:
    grid = Grid(np.array([latitude]), np.array([0.0, 10.0]))
    np.testing.assert_allclose(grid.latitude_edges, edges)


def test_the_extent_is_the_side_of_a_square_as_large() -> None:
    # Edges 55..45 N and 0..40 E: 10 x 40 degrees, as a square of 20.
    grid = regular_grid(north=52.5, south=47.5, west=2.5, east=37.5, spacing=5)
    assert grid.extent_deg == pytest.approx(20)


@pytest.mark.parametrize(
    ("latitude", "longitude"),
    [([10.0, 20.0], [0.0, 1.0]), ([20.0, 10.0], [1.0, 0.0]), ([95.0, 10.0], [0.0, 1.0])],
    ids=["south to north", "east to west", "beyond the pole"],
)
def test_axes_out_of_order_or_range_are_refused(
    latitude: list[float], longitude: list[float]
) -> None:
    with pytest.raises(DomainError, match="Expected l"):
        Grid(np.array(latitude), np.array(longitude))


def test_a_box_that_is_no_whole_number_of_steps_is_refused() -> None:
    with pytest.raises(DomainError, match="whole number"):
        regular_grid(north=10, south=0, west=0, east=10, spacing=3)


@given(st.floats(-85, 85), st.floats(-179, 179))
def test_the_nearest_cell_is_the_closest_one(latitude: float, longitude: float) -> None:
    grid = regular_grid(north=90, south=-90, west=-180, east=175, spacing=5)
    row, column = grid.nearest_cell(latitude, longitude)
    assert abs(grid.latitude[row] - latitude) <= 2.5 + 1e-9
    turn = (grid.longitude[column] - longitude + 180) % 360 - 180
    assert abs(turn) <= 2.5 + 1e-9


def test_rounding_noise_does_not_change_identity() -> None:
    exact = regular_grid(north=58, south=50, west=-10, east=2, spacing=0.25)
    noisy = Grid(exact.latitude + 1e-5, exact.longitude - 1e-5)
    assert exact.matches(noisy)
    assert exact.digest == noisy.digest


def test_a_place_is_inside_when_a_cell_covers_it_in_any_longitude_convention():
    grid = regular_grid(north=60, south=50, west=-10, east=10, spacing=2)
    assert grid.contains(61, -11)
    assert grid.contains(49, 349.5)
    assert not grid.contains(61.1, 0)
    assert not grid.contains(55, 11.1)
    assert not grid.contains(55, -170)
