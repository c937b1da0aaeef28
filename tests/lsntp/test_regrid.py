import json
import tracemalloc
from pathlib import Path

import dask.array as da
import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

from lsntp.errors import DomainError
from lsntp.grid import Grid, gaussian_grid, regular_grid
from lsntp.regrid import conservative_weights, regrid

GOLDEN = json.loads((Path(__file__).parent / "golden" / "remapcon.json").read_text())
"""Made by CDO 2.1.1: golden/make_remapcon.py holds the fields and the command."""

GLOBE = regular_grid(north=90, south=-90, west=-180, east=175, spacing=5)
UK = regular_grid(north=58, south=50, west=-10, east=2, spacing=0.25)
UK_HALF = regular_grid(north=58, south=50, west=-10, east=2, spacing=0.5)


def frames(grid: Grid, values) -> xr.DataArray:
    values = np.asarray(values, np.float32).reshape(-1, *grid.shape)
    times = np.datetime64("2019-03-01", "ns") + np.arange(len(values)) * np.timedelta64(1, "h")
    return xr.DataArray(
        values,
        {"time": times, "latitude": grid.latitude, "longitude": grid.longitude},
        ("time", "latitude", "longitude"),
        name="t2m",
        attrs={"units": "K"},
    )


def noise(grid: Grid, count: int = 1, seed: int = 0) -> xr.DataArray:
    return frames(grid, np.random.default_rng(seed).normal(285, 8, (count, *grid.shape)))


def wrapped(longitude):
    """Longitudes within -180..180, and the order that sorts them; 180 itself stays."""
    longitude = np.asarray(longitude)
    turned = np.where(longitude > 180, longitude - 360, longitude)
    order = np.argsort(turned)
    return turned[order], order


@pytest.mark.parametrize("case", GOLDEN)
def test_conservative_agrees_with_cdo_remapcon_to_1e_4_kelvin(case):
    golden = GOLDEN[case]
    longitude, order = wrapped(golden["source_longitude"])
    source = Grid(golden["source_latitude"], longitude)
    target_longitude, target_order = wrapped(golden["target_longitude"])
    target = Grid(golden["target_latitude"], target_longitude)

    result = regrid(frames(source, np.array(golden["source"])[:, order]), target)

    expected = np.array(golden["expected"])[:, target_order]
    np.testing.assert_allclose(result[0], expected, atol=1e-4, rtol=0)


@pytest.mark.parametrize(
    ("source", "target"),
    [
        (UK, UK_HALF),
        (GLOBE, regular_grid(north=90, south=-90, west=-180, east=177, spacing=3)),
        (
            GLOBE,
            gaussian_grid(latitudes=94, longitudes=192, north=90, south=-90, west=-180, east=180),
        ),
    ],
    ids=["domain edge", "globe", "T62"],
)
def test_a_constant_field_stays_constant(source, target):
    result = regrid(frames(source, np.full(source.shape, 287.65)), target)
    np.testing.assert_allclose(result, 287.65, rtol=1e-6)


def test_half_resolution_averages_nine_cells_by_their_share():
    # A 2 degree cell centred at 0 N 0 E over 1 degree cells: all of the middle row and column,
    # half of the outer ones. By hand, per row: (2/2 + 6 + 2/2) / 2 = 4 in the middle, 1 outside.
    source = regular_grid(north=3, south=-3, west=-3, east=3, spacing=1)
    values = np.zeros((7, 7))
    values[2:5, 2:5] = [[1, 1, 1], [2, 6, 2], [1, 1, 1]]
    outer = np.sin(np.radians(1.0)) - np.sin(np.radians(0.5))
    middle = 2 * np.sin(np.radians(0.5))

    target = regular_grid(north=2, south=0, west=0, east=2, spacing=2)
    result = regrid(frames(source, values), target)

    expected = (2 * outer * 1 + middle * 4) / (2 * outer + middle)
    np.testing.assert_allclose(result.sel(latitude=0, longitude=0), expected, rtol=1e-6)


@pytest.mark.parametrize("method", ["conservative", "bilinear", "nearest"])
def test_a_crop_of_the_source_keeps_its_values_bit_for_bit(method):
    field = noise(GLOBE, 3)
    target = regular_grid(north=70, south=-20, west=-30, east=60, spacing=5)
    result = regrid(field, target, method=method)
    expected = field.sel(latitude=slice(70, -20), longitude=slice(-30, 60))
    assert result.to_numpy().tobytes() == expected.to_numpy().tobytes()


def test_a_crop_of_the_gaussian_grid_keeps_its_values_though_files_round_coordinates():
    globe = gaussian_grid(latitudes=94, longitudes=192, north=90, south=-90, west=-180, east=180)
    rounded = Grid(globe.latitude.round(3).astype(np.float32), globe.longitude.astype(np.float32))
    target = gaussian_grid(
        latitudes=94, longitudes=192, north=54.3, south=16.1, west=73.1, east=136.9
    )
    assert target.shape == (21, 35)
    field = noise(rounded)
    result = regrid(field, target)
    expected = field.sel(latitude=slice(54.4, 16), longitude=slice(73, 137))
    assert result.to_numpy().tobytes() == expected.to_numpy().tobytes()


def test_the_global_gaussian_grid_covers_the_sphere():
    globe = gaussian_grid(latitudes=94, longitudes=192, north=90, south=-90, west=-180, east=180)
    assert globe.latitude_edges[0] == 90
    assert globe.latitude_edges[-1] == -90
    cut_before_the_pole = regular_grid(north=85, south=-85, west=-180, east=175, spacing=5)
    assert cut_before_the_pole.latitude_edges[0] == 87.5


@given(seed=st.integers(0, 2**32 - 1), spacing=st.sampled_from([0.5, 1.0, 2.0, 4.0]))
def test_every_output_lies_within_its_contributing_inputs(seed, spacing):
    target = regular_grid(north=58, south=50, west=-10, east=2, spacing=spacing)
    weights = conservative_weights(UK, target)
    values = np.random.default_rng(seed).normal(280, 20, UK.shape).astype(np.float32)
    result = weights.apply(values[None])[0]
    rows, columns = weights.rows.toarray() > 0, weights.columns.toarray() > 0
    for i, j in np.ndindex(target.shape):
        inputs = values[np.ix_(rows[i], columns[j])]
        assert inputs.min() - 1e-4 <= result[i, j] <= inputs.max() + 1e-4


@given(a=st.floats(-10, 10), b=st.floats(-10, 10), seed=st.integers(0, 2**32 - 1))
def test_regridding_is_linear(a, b, seed):
    weights = conservative_weights(UK, UK_HALF)
    x, y = np.random.default_rng(seed).normal(0, 1, (2, 1, *UK.shape))
    combined = weights.apply(a * x + b * y)
    separate = a * weights.apply(x).astype(float) + b * weights.apply(y).astype(float)
    np.testing.assert_allclose(combined, separate, atol=2e-5)


@given(seed=st.integers(0, 2**32 - 1), latitudes=st.integers(2, 60), longitudes=st.integers(4, 90))
def test_the_area_integral_over_the_globe_is_conserved(seed, latitudes, longitudes):
    step = 360 / longitudes
    centres = (np.arange(latitudes) + 0.5) * 180 / latitudes
    target = Grid(90 - centres, -180 + np.arange(longitudes) * step)
    values = np.random.default_rng(seed).normal(0, 1, (1, *GLOBE.shape))
    result = conservative_weights(GLOBE, target).apply(values)
    before = (values[0] * GLOBE.area_weights).mean()
    after = (result[0] * target.area_weights).mean()
    np.testing.assert_allclose(after, before, atol=1e-6)


@pytest.mark.parametrize("target", [UK_HALF, UK])
def test_shares_of_every_target_cell_sum_to_one(target):
    weights = conservative_weights(UK, target)
    np.testing.assert_allclose(weights.rows.sum(axis=1), 1, rtol=1e-12)
    np.testing.assert_allclose(weights.columns.sum(axis=1), 1, rtol=1e-12)


def test_nan_spreads_to_every_cell_it_touches_and_to_no_other():
    field = noise(UK)
    field[0, 4, 8] = np.nan  # 57 N 8 W: the centre of one 0.5 degree cell and of no other
    field[0, 9, 8] = np.nan  # 55.75 N 8 W: on the border of the cells at 56 and 55.5 N
    missing = np.argwhere(np.isnan(regrid(field, UK_HALF)[0].to_numpy()))
    np.testing.assert_array_equal(missing, [[2, 4], [4, 4], [5, 4]])


def test_dask_and_numpy_agree_and_dask_stays_lazy():
    field = noise(UK, 50)
    lazy = regrid(field.chunk(time=24, latitude=10), UK_HALF)
    assert isinstance(lazy.data, da.Array)
    assert lazy.chunks[0] == (24, 24, 2)
    xr.testing.assert_identical(lazy.compute(), regrid(field, UK_HALF))
    assert lazy.dtype == np.float32
    assert lazy.attrs == {"units": "K"}


def test_memory_grows_with_the_block_and_not_with_the_period():
    def peak_mib(count: int) -> float:
        source = da.full((count, *UK.shape), 280.0, chunks=(24, -1, -1), dtype=np.float32)
        field = frames(UK, np.zeros((1, *UK.shape))).isel(time=0, drop=True)
        field = field.expand_dims(time=np.arange(count)).copy(data=source)
        tracemalloc.start()
        regrid(field, UK_HALF).max().compute(scheduler="synchronous")
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return peak / 2**20

    assert peak_mib(24 * 64) < 1.5 * peak_mib(24 * 8) + 1


@pytest.mark.parametrize("method", ["conservative", "bilinear", "nearest"])
@pytest.mark.parametrize(
    "target",
    [
        regular_grid(north=60, south=50, west=-10, east=2, spacing=0.5),
        regular_grid(north=58, south=50, west=-10, east=4, spacing=0.5),
    ],
    ids=["north", "east"],
)
def test_a_target_outside_the_source_is_refused(method, target):
    with pytest.raises(DomainError, match=r"inside the source's .* 58.*found a target of"):
        regrid(noise(UK), target, method=method)


def test_bilinear_is_exact_for_a_plane_and_crosses_the_date_line():
    plane = 280 + 0.5 * UK.latitude[:, None] - 0.25 * UK.longitude[None, :]
    target = Grid(np.array([57.4, 50.1]), np.array([-9.9, 0.0, 1.3]))
    expected = 280 + 0.5 * target.latitude[:, None] - 0.25 * target.longitude[None, :]
    result = regrid(frames(UK, plane), target, method="bilinear")
    np.testing.assert_allclose(result[0], expected, rtol=1e-6)

    # Halfway between 175 and 180 E = -180: the mean of the last and the first column.
    field = noise(GLOBE)
    edge = regrid(field, Grid(np.array([5.0, 0.0]), np.array([175.0, 177.5])), method="bilinear")
    halfway = (field[0, 17, -1] + field[0, 17, 0]) / 2
    np.testing.assert_allclose(edge[0, 0, 1], halfway, rtol=1e-6)


def test_nearest_takes_the_nearest_centre_and_crosses_the_date_line():
    field = noise(GLOBE)
    result = regrid(field, Grid(np.array([4.0, 0.5]), np.array([176.0, 179.0])), method="nearest")
    assert result[0, 0, 0] == field[0, 17, -1]
    assert result[0, 0, 1] == field[0, 17, 0]


def test_a_single_place_is_a_grid_to_move_from_and_to():
    place = Grid(np.array([50.4]), np.array([-4.2]))
    np.testing.assert_allclose(regrid(frames(place, [281.5, 283.0]), place).squeeze(), [281.5, 283])
    # Its cell is 50.9..49.9 N, -4.7..-3.7 E: of rows 51 and 50 (edges 51.5, 50.5, 49.5) 0.4 and
    # 0.6 (in sine of latitude nearly so), of columns -5 and -4 (edges -5.5, -4.5, -3.5) 0.2, 0.8.
    four = Grid(np.array([51.0, 50.0]), np.array([-5.0, -4.0]))
    values = [[280.0, 290.0], [300.0, 310.0]]
    expected = 0.4 * (0.2 * 280 + 0.8 * 290) + 0.6 * (0.2 * 300 + 0.8 * 310)
    np.testing.assert_allclose(regrid(frames(four, values), place).squeeze(), expected, atol=0.1)
    with pytest.raises(DomainError, match="inside the source's cells"):
        regrid(frames(place, [281.5]), four)
