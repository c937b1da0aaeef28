import base64
import io

import numpy as np
import pytest
from matplotlib.image import imread

from lsntp.grid import Grid, gaussian_grid, regular_grid
from lsntp.report.coastlines import Box
from lsntp.report.maps import Canvas, Scale, field_image, meridian, parallel, png_uri, signed

GRID = regular_grid(north=52.0, south=50.0, west=-2.0, east=1.0, spacing=1.0)
GREY = Scale("gray", 0.0, 1.0, "K", (0.0, 1.0))


def pixels(uri):
    assert uri.startswith("data:image/png;base64,")
    return imread(io.BytesIO(base64.b64decode(uri.partition(",")[2])), format="png")


def test_a_picture_has_one_pixel_a_cell_with_north_on_top():
    field = np.zeros(GRID.shape)
    field[0, :] = 1.0
    picture = pixels(field_image(field, GRID, GREY))
    assert picture.shape == (3, 4, 4)
    assert picture[0, :, 0].min() == 1.0
    assert picture[1:, :, 0].max() == 0.0


def test_missing_cells_are_transparent():
    field = np.zeros(GRID.shape)
    field[1, 2] = np.nan
    alpha = pixels(field_image(field, GRID, GREY))[..., 3]
    assert alpha[1, 2] == 0.0
    assert (alpha == 0.0).sum() == 1


def test_rows_of_unequal_height_are_drawn_in_proportion():
    grid = Grid(np.array([30.0, 20.0, 15.0]), np.array([0.0, 1.0]))  # edges 35, 25, 17.5, 12.5
    field = np.array([[0.0, 0.0], [1.0, 1.0], [0.0, 0.0]])
    rows = pixels(field_image(field, grid, GREY))[:, 0, 0]
    assert (rows == 1.0).mean() == pytest.approx(7.5 / 22.5, abs=1 / len(rows))


def test_gaussian_rows_are_all_drawn():
    grid = gaussian_grid(
        latitudes=94, longitudes=192, north=54.3, south=16.1, west=73.1, east=136.9
    )
    field = np.repeat(np.linspace(0, 1, grid.shape[0])[:, None], grid.shape[1], axis=1)
    rows = pixels(field_image(field, grid, GREY))[:, 0, 0]
    assert np.unique(rows).size == grid.shape[0]


def test_large_grids_are_sampled():
    grid = regular_grid(north=60.0, south=0.0, west=-90.0, east=90.0, spacing=0.1)
    assert pixels(field_image(np.zeros(grid.shape), grid, GREY)).shape[:2] == (400, 400)


def test_a_diverging_scale_is_centred_on_zero():
    scale = Scale.diverging(np.array([-3.0, 0.5, np.nan]), colormap="PuOr_r", unit="K")
    assert scale.low == -scale.high
    assert scale.high >= 2.9
    white = scale.rgba(np.array([0.0]))[0, :3]
    assert white.min() > 235


def test_a_spanning_scale_holds_every_value_tightly():
    scale = Scale.spanning(np.array([1.23, np.nan, 8.91]), colormap="YlOrBr", unit="K")
    assert scale.low <= 1.23 < scale.low + 1
    assert scale.high - 1 < 8.91 <= scale.high


@pytest.mark.parametrize("values", [[np.nan, np.nan], [4.0, 4.0], [0.0]])
def test_a_scale_has_a_width_whatever_the_values(values):
    scale = Scale.spanning(np.array(values), colormap="YlOrBr", unit="K")
    assert scale.high > scale.low
    assert Scale.diverging(np.array(values), colormap="PuOr_r", unit="K").high > 0


def test_ticks_stand_where_their_values_are():
    ticks = {tick.label: tick.percent for tick in Scale("gray", -2.0, 2.0, "K").ticks}
    assert ticks["\N{MINUS SIGN}2"] == pytest.approx(0.0)
    assert ticks["0"] == pytest.approx(50.0)
    assert ticks["2"] == pytest.approx(100.0)


def test_corners_of_the_box_are_corners_of_the_drawing():
    canvas = Canvas(Box(-10.0, 0.0, 55.0, 65.0))  # aspect 0.5 at 60 N: 1000 wide, 2000 high
    assert canvas.position(65.0, -10.0) == pytest.approx((0.0, 0.0))
    assert canvas.position(55.0, 0.0) == pytest.approx((1000.0, 2000.0))


def test_a_ring_is_at_its_distance_all_around():
    canvas = Canvas(Box(-30.0, 30.0, 30.0, 70.0))
    path = canvas.ring(50.0, 5.0, 700.0)
    points = [point.split(",") for part in path.split("M")[1:] for point in part.split()]
    x, y = np.array(points, float).T
    longitude = canvas.box.west + x / 1000 * 60
    latitude = canvas.box.north - y / canvas.height * 40
    distance = [
        Grid([lat], [lon]).distance_km(50.0, 5.0)[0, 0]
        for lat, lon in zip(latitude, longitude, strict=True)
    ]
    np.testing.assert_allclose(distance, 700.0, atol=1.0)
    assert len(points) > 100


def test_labels_name_the_hemisphere():
    assert [meridian(v) for v in (-5.0, 0.0, 200.0)] == ["5° W", "0°", "160° W"]
    assert [parallel(v) for v in (-5.5, 0.0, 57.0)] == ["5.5° S", "0°", "57° N"]
    assert signed(-0.0) == "0"
    assert signed(-1.5) == "\N{MINUS SIGN}1.5"


def test_the_same_pixels_give_the_same_bytes():
    picture = np.full((2, 3, 4), 7, np.uint8)
    assert png_uri(picture) == png_uri(picture.copy())
