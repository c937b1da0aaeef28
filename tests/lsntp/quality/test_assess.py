import hashlib

import eccodes
import numpy as np
import pytest
import xarray as xr

from lsntp.config import QualityConfig
from lsntp.grid import Grid, regular_grid
from lsntp.quality import History, assess
from lsntp.times import hours

START = np.datetime64("2019-03-01", "ns")
UK = regular_grid(north=58, south=50, west=-10, east=2, spacing=0.25)
SMALL = regular_grid(north=58, south=50, west=-10, east=2, spacing=1)
AMERICA = regular_grid(north=75, south=15, west=-160, east=-30, spacing=2.5)


def dataset(values, grid: Grid, *, step_h: float = 1, times=None) -> xr.Dataset:
    values = np.asarray(values, np.float32)
    if times is None:
        times = START + np.arange(len(values)) * hours(step_h)
    digests = [list(hashlib.sha256(field.tobytes()).digest()) for field in values]
    return xr.Dataset(
        {
            "t2m": (("time", "latitude", "longitude"), values),
            "status": ("time", np.full(len(values), 2, np.int8)),
            "source_digest": (("time", "digest_byte"), np.array(digests, np.uint8)),
        },
        {"time": times, "latitude": grid.latitude, "longitude": grid.longitude},
    )


def weather(count: int = 6, grid: Grid = SMALL) -> np.ndarray:
    """Colder to the north, warmer over a 'sea' in the west, with a little noise and a day cycle."""
    lat, lon = np.meshgrid(grid.latitude, grid.longitude, indexing="ij")
    rng = np.random.default_rng(1)
    base = 300 - 0.5 * lat - 0.3 * lon
    day = 3 * np.sin(2 * np.pi * np.arange(count) / 24)
    return base + day[:, None, None] + rng.normal(0, 0.3, (count, *grid.shape))


def stored(values, grid: Grid, *, step_h: float = 1, end=START) -> History:
    """Fields of an archive on the frames' own cells, the last one a step before ``end``."""
    values = np.asarray(values, np.float32)
    times = end + np.arange(-len(values), 0) * hours(step_h)
    return History(grid, times, values, lambda fields: fields)


def check(frames, *, expected_grid=None, history=None, limits=None, step_h=1.0):
    return assess(
        frames,
        expected_grid=expected_grid,
        history=history,
        limits=limits or QualityConfig(),
        cadence=hours(step_h),
        origin=START,
    )


def only_reason(assessment, hour: int) -> str:
    assert [rejection.time for rejection in assessment.rejections] == [START + hours(hour)]
    assert assessment.rejected["time"].values.tolist() == [(START + hours(hour)).astype(int)]
    (reason,) = assessment.rejections[0].reasons
    return reason


@pytest.fixture(scope="module")
def uk_month(shared_data):
    fields = []
    with (shared_data / "era5" / "era5_t2m_1h_uk_2019-03.grib").open("rb") as file:
        while (message := eccodes.codes_grib_new_from_file(file)) is not None:
            fields.append(eccodes.codes_get_values(message).reshape(UK.shape))
            eccodes.codes_release(message)
    return np.array(fields, np.float32)


@pytest.fixture(scope="module")
def america(shared_data):
    path = shared_data / "ncep" / "air.sig995.namerica.2013-01_2014-04.nc"
    with xr.open_dataset(path) as opened:
        return opened["air"].to_numpy().astype(np.float32)


@pytest.mark.parametrize("block", [1, 2, 24, 744])
def test_every_hour_of_real_era5_is_accepted(uk_month, block):
    hours_checked = uk_month if block > 2 else uk_month[: 100 * block]
    for first in range(0, len(hours_checked), block):
        assert not check(dataset(hours_checked[first : first + block], UK)).rejections


@pytest.mark.parametrize("block", [2, 120, 1940])
def test_every_step_of_real_ncep_is_accepted(america, block):
    steps = america if block > 2 else america[:200]
    for first in range(0, len(steps), block):
        frames = dataset(steps[first : first + block], AMERICA, step_h=6)
        assert not check(frames, step_h=6).rejections


def test_real_fields_of_a_few_cells_are_accepted(shared_data):
    path = shared_data / "era5" / "era5_t2m_1h_berlin_2017-01_2017-08.nc"
    with xr.open_dataset(path) as opened:
        grid = Grid(opened["latitude"].to_numpy(), opened["longitude"].to_numpy())
        values = opened["t2m"].to_numpy()
    assert grid.shape == (2, 3)
    assert not check(dataset(values, grid)).rejections


@pytest.mark.parametrize("rows", [5, 16, 24])
def test_real_fields_of_boxes_cut_anywhere_are_accepted(uk_month, america, rows):
    rng = np.random.default_rng(rows)
    for fields, whole, step_h in ((uk_month[:360], UK, 1), (america[:360], AMERICA, 6)):
        for _ in range(6):
            columns = int(rng.integers(4, 2 * rows))
            i = int(rng.integers(0, whole.shape[0] - rows + 1))
            j = int(rng.integers(0, whole.shape[1] - columns + 1))
            box = np.s_[i : i + rows], np.s_[j : j + columns]
            grid = Grid(whole.latitude[box[0]], whole.longitude[box[1]])
            assessment = check(dataset(fields[:, *box], grid, step_h=step_h), step_h=step_h)
            assert not assessment.rejections


def test_a_single_real_hour_turned_upside_down_is_nearly_always_found(uk_month):
    day = 24
    found = 0
    for hour in range(12, 744 - day, 29):
        block = uk_month[hour - 12 : hour + 12].copy()
        block[12] = block[12, ::-1]
        rejections = check(dataset(block, UK)).rejections
        assert all(r.time == START + hours(12) for r in rejections)
        found += len(rejections)
    assert found >= 0.8 * len(range(12, 744 - day, 29))


@pytest.mark.parametrize("count", [1, 3, 40])
def test_a_whole_file_upside_down_is_found_by_the_gradient_to_the_pole(america, count):
    assessment = check(dataset(america[:count, ::-1], AMERICA, step_h=6), step_h=6)
    assert len(assessment.rejections) == count
    assert "latitude looks reversed" in assessment.rejections[0].reasons[0]


def test_a_single_step_upside_down_is_found_by_what_is_stored(america):
    frames = dataset(america[12:13, ::-1], AMERICA, step_h=6)
    history = stored(america[:12], AMERICA, step_h=6)
    assert "better upside down" in only_reason(check(frames, history=history, step_h=6), 0)


def test_good_frames_are_returned_as_they_came():
    frames = dataset(weather(), SMALL)
    assessment = check(frames, expected_grid=SMALL)
    xr.testing.assert_identical(assessment.accepted, frames)
    assert assessment.rejections == ()
    assert assessment.rejected.sizes["time"] == 0


def test_a_cell_beyond_the_limits_names_range_and_place():
    values = weather()
    values[2, 3, 4] = 340.5  # row 3: 55 N, column 4: 6 W
    reason = only_reason(check(dataset(values, SMALL)), 2)
    assert "Expected 180..340 K" in reason
    assert "..340.50 K with 1 of 117 cells outside, the worst at 55 N -6 E" in reason


def test_limits_come_from_the_configuration():
    values = weather()
    values[2, 3, 4] = 340.5
    assert not check(dataset(values, SMALL), limits=QualityConfig(maximum_k=341)).rejections


@pytest.mark.parametrize(("value", "word"), [(np.nan, "NaN"), (np.inf, "infinite")])
def test_a_cell_without_a_number_is_rejected(value, word):
    values = weather()
    values[1, 0, 0] = value
    reason = only_reason(check(dataset(values, SMALL)), 1)
    assert f"found 1 of 117 (1%) {word}; the first at 58 N -10 E" in reason


def test_degrees_celsius_are_recognised():
    values = weather()
    values[4] -= 273.15
    values[4, 0, 0] = -3.0
    assert "looks like degrees Celsius" in only_reason(check(dataset(values, SMALL)), 4)


def test_an_ensemble_spread_is_recognised():
    values = weather()
    values[4] = np.random.default_rng(0).uniform(0.02, 4.18, SMALL.shape)
    assert "looks like an ensemble spread" in only_reason(check(dataset(values, SMALL)), 4)


def test_a_real_ensemble_spread_is_refused(shared_data):
    path = shared_data / "gfs" / "gefs_0p50_2021041600_spr_f006_TMP_2m.grib2"
    with path.open("rb") as file:
        message = eccodes.codes_grib_new_from_file(file)
        values = eccodes.codes_get_values(message).reshape(1, 361, 720)
        eccodes.codes_release(message)
    globe = regular_grid(north=90, south=-90, west=-180, east=179.5, spacing=0.5)
    assert "looks like an ensemble spread" in only_reason(check(dataset(values, globe)), 0)


@pytest.mark.parametrize("rows", [slice(None), slice(0, 2)], ids=["all", "a block"])
def test_zero_filled_fields_are_recognised(rows):
    values = weather()
    values[3, rows] = 0.0
    assert "looks like a zero-filled field" in only_reason(check(dataset(values, SMALL)), 3)


def test_a_constant_field_is_rejected():
    values = weather()
    values[3] = 285.0
    assert "Expected a field that varies" in only_reason(check(dataset(values, SMALL)), 3)


def test_a_field_of_another_level_is_rejected_wherever_it_stands():
    for hour in range(6):
        values = weather()
        values[hour] -= 60  # some 250 hPa, well inside 180..340 K
        assert "within 40 K" in only_reason(check(dataset(values, SMALL)), hour)


def test_a_single_field_of_another_level_is_found_by_what_is_stored():
    history = stored(weather(48)[:24], SMALL, end=START - hours(24))
    reason = only_reason(check(dataset(weather(1) - 60, SMALL), history=history), 0)
    assert "of the usual field" in reason


def test_another_native_grid_is_rejected_and_both_are_named():
    assessment = check(dataset(weather(2), SMALL), expected_grid=UK)
    assert len(assessment.rejections) == 2
    assert "33 x 49 cells" in assessment.rejections[0].reasons[0]
    assert "found 9 x 13 cells" in assessment.rejections[0].reasons[0]


def test_the_same_grid_cut_wider_or_narrower_is_the_expected_one():
    wide = regular_grid(north=59, south=49, west=-11, east=3, spacing=1)
    assert not check(dataset(weather(2), SMALL), expected_grid=wide).rejections
    assert not check(dataset(weather(2, wide), wide), expected_grid=SMALL).rejections
    shifted = regular_grid(north=58.5, south=50.5, west=-10, east=2, spacing=1)
    assert len(check(dataset(weather(2), SMALL), expected_grid=shifted).rejections) == 2


def test_a_time_off_the_axis_or_before_its_start_is_rejected():
    times = START + np.array([hours(-1), hours(0), hours(0.5), hours(1)])
    assessment = check(dataset(weather(4), SMALL, times=times))
    assert [r.time for r in assessment.rejections] == [times[0], times[2]]
    assert (
        "2019-03-01T00:00Z + k * 1 h, found 2019-03-01T00:30:00Z"
        in (assessment.rejections[1].reasons[0])
    )


def test_two_fields_for_one_time_are_both_rejected():
    times = START + np.array([0, 1, 1, 2, 3]) * hours(1)
    assessment = check(dataset(weather(5), SMALL, times=times))
    assert [r.time for r in assessment.rejections] == [times[1], times[2]]
    assert assessment.rejected.sizes["time"] == 2
    assert "found 2 with different content" in assessment.rejections[0].reasons[0]
    np.testing.assert_array_equal(assessment.accepted["time"], times[[0, 3, 4]])


def test_a_field_bad_by_itself_does_not_discredit_a_good_one_of_its_time():
    values = weather(5)
    values[1] = 0.0
    times = START + np.array([0, 1, 1, 2, 3]) * hours(1)
    assessment = check(dataset(values, SMALL, times=times))
    (rejection,) = assessment.rejections
    assert "zero-filled" in rejection.reasons[0]
    assert len(rejection.reasons) == 1
    np.testing.assert_array_equal(assessment.accepted["time"], times[[0, 2, 3, 4]])
    np.testing.assert_array_equal(assessment.accepted["t2m"][1], np.float32(values[2]))


def test_the_same_field_twice_counts_once():
    frames = dataset(weather(3), SMALL)
    assessment = check(frames.isel(time=[0, 1, 1, 2]))
    xr.testing.assert_identical(assessment.accepted, frames)


def test_times_out_of_order_are_sorted():
    frames = dataset(weather(3), SMALL)
    xr.testing.assert_identical(check(frames.isel(time=[2, 0, 1])).accepted, frames)


def test_nothing_in_nothing_out():
    assessment = check(dataset(weather(3), SMALL).isel(time=slice(0, 0)))
    assert assessment.rejections == ()
    assert assessment.accepted.sizes["time"] == 0


def test_assessing_changes_nothing_it_was_given():
    values = weather()
    values[1] = 0
    frames = dataset(values, SMALL)
    before = frames.copy(deep=True)
    check(frames)
    xr.testing.assert_identical(frames, before)


def noiseless(maximum_h: float, count: int = 24) -> np.ndarray:
    """A day without weather: a slope, and the same cosine of 24 h in every cell."""
    lat, lon = np.meshgrid(SMALL.latitude, SMALL.longitude, indexing="ij")
    cycle = 4 * np.cos(2 * np.pi * (np.arange(count) - maximum_h) / 24)
    return (300 - 0.5 * lat - 0.31 * lon + cycle[:, None, None]).astype(np.float32)


def test_a_feed_that_stands_still_is_found_beyond_its_first_repeat():
    values = weather(12)
    values[4:9] = values[3]
    rejections = check(dataset(values, SMALL)).rejections
    assert [r.time for r in rejections] == [START + hours(hour) for hour in range(4, 9)]
    assert all("differs from that of 2019-03-01T03:00Z" in r.reasons[0] for r in rejections)


def test_a_symmetric_day_passes_unless_two_steps_that_follow_each_other_are_equal():
    assert check(dataset(noiseless(15), SMALL)).rejections == ()
    symmetric = dataset(noiseless(14.5), SMALL)  # 14 and 15 UTC are one field, 2 and 3 UTC too
    rejections = check(symmetric).rejections
    assert [r.time for r in rejections] == [START + hours(3), START + hours(15)]
    assert all("repeated field" in r.reasons[0] for r in rejections)
    lenient = QualityConfig(maximum_unchanged_share=1.0)
    assert check(symmetric, limits=lenient).rejections == ()
