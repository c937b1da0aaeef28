import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lsntp.errors import DomainError, SourceDataError
from lsntp.grid import Grid, regular_grid
from lsntp.sources.native import NativeGrid

GLOBE = NativeGrid(90.0 - 2.5 * np.arange(73), 2.5 * np.arange(144))


def place(latitude: np.ndarray, longitude: np.ndarray) -> np.ndarray:
    """A field whose value tells the place, the same for 350 and -10 degrees east."""
    turn = np.radians(longitude)
    return np.add.outer(1000.0 * latitude, 100.0 * np.cos(turn) + 10.0 * np.sin(turn))


@given(
    start=st.integers(-2, 0),
    first=st.integers(0, 143),
    is_descending=st.booleans(),
    is_wrapped=st.booleans(),
    is_northward=st.booleans(),
    west=st.integers(-36, 20),
    width=st.integers(1, 15),
)
def test_values_stay_with_their_places_in_any_longitude_convention(
    start: int,
    first: int,
    is_descending: bool,
    is_wrapped: bool,
    is_northward: bool,
    west: int,
    width: int,
) -> None:
    latitude = 90.0 - 2.5 * np.arange(73)
    longitude = start * 360.0 + 2.5 * (first + np.arange(144))
    longitude = longitude[::-1] if is_descending else longitude
    longitude = longitude % 360.0 if is_wrapped else longitude  # 357.5, 0, 2.5 where it goes on
    latitude = latitude[::-1] if is_northward else latitude
    area = (
        regular_grid(
            north=50.0, south=40.0, west=5.0 * west, east=5.0 * (west + width), spacing=5.0
        )
        if west + width <= 36
        else GRID
    )
    native = NativeGrid(latitude, longitude)
    native.check("a")
    window = native.window(area, "a")
    found = place(latitude, longitude)[np.ix_(window.rows, window.columns)]
    np.testing.assert_allclose(
        found, place(window.grid.latitude, window.grid.longitude), rtol=0, atol=1e-6
    )
    assert window.grid.latitude_edges[0] >= area.latitude_edges[0]
    assert window.grid.latitude_edges[-1] <= area.latitude_edges[-1]


GRID = regular_grid(north=50.0, south=40.0, west=-10.0, east=10.0, spacing=5.0)


def test_a_box_across_greenwich_may_go_on_from_359_to_0() -> None:
    native = NativeGrid(np.arange(60.0, 39.0, -1.0), np.arange(-20.0, 21.0) % 360.0)
    native.check("a")
    window = native.window(GRID, "a")
    np.testing.assert_array_equal(window.columns, np.arange(window.columns[0], 41)[:27])
    np.testing.assert_array_equal(window.grid.longitude, np.arange(-13.0, 14.0))


def test_the_window_has_one_native_cell_of_margin() -> None:
    # Area cells reach 52.5..37.5 N and -12.5..12.5 E; native cells of 2.5 degrees have centres
    # on multiples of 2.5, so those at 52.5 and 37.5 overlap by half and 55, 35 are the margin.
    window = GLOBE.window(GRID, "a")
    assert (window.grid.latitude[0], window.grid.latitude[-1]) == (55.0, 35.0)
    assert (window.grid.longitude[0], window.grid.longitude[-1]) == (-15.0, 15.0)
    assert window.columns.tolist() == [138, 139, 140, 141, 142, 143, 0, 1, 2, 3, 4, 5, 6]


def test_a_source_without_margin_is_used_as_it_is() -> None:
    native = NativeGrid(np.arange(50.0, 39.0, -1.0), np.arange(-10.0, 11.0))
    window = native.window(regular_grid(north=50, south=40, west=-10, east=10, spacing=1.0), "a")
    assert window.grid.shape == (11, 21)


def test_beside_the_date_line_the_whole_circle_is_kept() -> None:
    area = regular_grid(north=50, south=40, west=-180, east=-150, spacing=5.0)
    window = GLOBE.window(area, "a")
    assert window.grid.longitude[0] == -180.0
    assert window.grid.is_global_in_longitude


def test_a_repeated_cyclic_longitude_is_used_once() -> None:
    native = NativeGrid(90.0 - 2.5 * np.arange(73), 2.5 * np.arange(145))
    window = native.window(regular_grid(north=80, south=-80, west=-175, east=175, spacing=5.0), "a")
    assert window.grid.shape[1] == 144


def test_a_regional_source_across_the_date_line_serves_either_side() -> None:
    native = NativeGrid(np.arange(60.0, 29.0, -1.0), np.arange(160.0, 201.0))
    west = native.window(regular_grid(north=50, south=40, west=165, east=175, spacing=1.0), "a")
    east = native.window(regular_grid(north=50, south=40, west=-175, east=-165, spacing=1.0), "a")
    assert (west.columns[0], west.columns[-1]) == (4, 16)
    assert (east.columns[0], east.columns[-1]) == (24, 36)
    assert (east.grid.longitude[0], east.grid.longitude[-1]) == (-176.0, -164.0)


@pytest.mark.parametrize(
    "box",
    [
        {"north": 60, "south": 40, "west": -10, "east": 10},
        {"north": 50, "south": 40, "west": -20, "east": 10},
        {"north": 50, "south": 40, "west": 120, "east": 140},
        {"north": 20, "south": 10, "west": -10, "east": 10},
    ],
)
def test_an_area_outside_the_data_is_refused_naming_both_boxes(box: dict[str, float]) -> None:
    native = NativeGrid(np.arange(50.0, 39.0, -1.0), np.arange(-10.0, 11.0))
    with pytest.raises(DomainError, match=r"cover the domain .*found 50\.\.40 N, -10\.\.10 E in a"):
        native.window(regular_grid(**box, spacing=1.0), "a")


def test_a_hole_in_the_longitudes_inside_the_area_is_refused() -> None:
    longitude = np.concatenate([np.arange(-10.0, -2.0), np.arange(3.0, 11.0)])
    with pytest.raises(DomainError, match="cover the domain"):
        NativeGrid(np.arange(50.0, 39.0, -1.0), longitude).window(GRID, "a")


@pytest.mark.parametrize(
    ("latitude", "longitude", "match"),
    [
        ([50.0], [1.0, 2.0], "single latitude"),
        ([50.0, 49.0], [1.0], "single longitude"),
        ([50.0, 51.0, 50.5], [1.0, 2.0], "latitude to rise or fall"),
        ([50.0, np.nan], [1.0, 2.0], "latitude to rise or fall"),
        ([95.0, 50.0], [1.0, 2.0], "within -90..90"),
        ([50.0, 49.0], [0.0, 2.0, 1.0], "longitude to rise or fall"),
        ([50.0, 49.0], [358.0, 0.0, 359.0], "longitude to rise or fall"),
        ([50.0, 49.0], [0.0, np.inf], "longitude to rise or fall"),
        ([50.0, 49.0], [1e5, 2e5], "longitude in degrees"),
    ],
)
def test_axes_that_are_no_grid_are_refused(
    latitude: list[float], longitude: list[float], match: str
) -> None:
    with pytest.raises(SourceDataError, match=match):
        NativeGrid(np.array(latitude), np.array(longitude)).check("a")


def test_a_gaussian_grid_is_cropped_by_its_own_cells() -> None:
    nodes, _ = np.polynomial.legendre.leggauss(94)
    native = NativeGrid(np.degrees(np.arcsin(nodes))[::-1], 1.875 * np.arange(192))
    rows = native.latitude[(native.latitude < 54.3) & (native.latitude > 16.1)]
    area = Grid(rows, 73.125 + 1.875 * np.arange(35))
    window = native.window(area, "a")
    first = int(np.flatnonzero(window.grid.latitude == area.latitude[0])[0])
    np.testing.assert_array_equal(window.grid.latitude[first : first + 21], area.latitude)
    assert first >= 1
    assert window.grid.latitude[-1] < area.latitude[-1]
    assert window.grid.shape[1] == 35 + 2
