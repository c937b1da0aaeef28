"""The hour of the daily maximum, on waves whose maximum is known."""

import numpy as np
import pytest

from lsntp.config import QualityConfig
from lsntp.grid import Grid, regular_grid
from lsntp.quality.diurnal import daily_maximum_h, hours_apart, phase_reasons
from lsntp.times import hours

START = np.datetime64("2020-06-01", "ns")
GRID = regular_grid(north=52, south=48, west=-10, east=10, spacing=2)
LIMITS = QualityConfig()


def wave(times, *, maximum_h=14.5, amplitude=5.0, grid=GRID) -> np.ndarray:
    """A cosine of 24 h with its maximum at ``maximum_h`` local solar time in every cell."""
    utc = (times - START) / np.timedelta64(1, "h")
    local = utc[:, None] + grid.longitude[None, :] / 15  # 15 degrees an hour
    cycle = amplitude * np.cos(2 * np.pi * (local - maximum_h) / 24)
    return 285 + np.repeat(cycle[:, None, :], grid.latitude.size, axis=1)


def axis(days: float, step_h: float = 1) -> np.ndarray:
    return START + np.arange(round(days * 24 / step_h)) * hours(step_h)


@pytest.mark.parametrize(
    ("hour", "other", "expected"), [(1, 23, 2), (23, 1, -2), (14.5, 14.5, 0), (20, 14.5, 5.5)]
)
def test_hours_apart_go_the_short_way_around_the_clock(hour, other, expected):
    assert hours_apart(hour, other) == pytest.approx(expected)


@pytest.mark.parametrize("maximum_h", [0.0, 6.25, 14.5, 23.9])
@pytest.mark.parametrize("step_h", [1, 3, 6])
def test_the_hour_of_a_pure_wave_is_found_in_local_solar_time(maximum_h, step_h):
    times = axis(3, step_h)
    found = daily_maximum_h(wave(times, maximum_h=maximum_h), times, GRID)
    assert hours_apart(found, maximum_h) == pytest.approx(0, abs=1e-6)


def test_a_batch_that_starts_at_any_hour_and_warms_steadily_gives_the_same_hour():
    times = axis(3) + hours(17)
    warming = np.linspace(0, 6, times.size)[:, None, None]
    assert daily_maximum_h(wave(times) + warming, times, GRID) == pytest.approx(14.5, abs=1e-6)


def test_a_weak_or_noisy_cycle_says_nothing():
    times = axis(3)
    assert daily_maximum_h(wave(times, amplitude=1.9), times, GRID) is None
    assert daily_maximum_h(wave(times, amplitude=2.1), times, GRID) is not None
    noise = np.random.default_rng(0).normal(0, 7, (times.size, *GRID.shape))
    assert daily_maximum_h(wave(times) + noise, times, GRID) is None  # 5 K against 7 K left


def test_cells_that_disagree_say_nothing():
    times = axis(3)
    fields = wave(times, maximum_h=14.5)
    # 5 of 11 columns at half past two in the night: the sum of unit vectors is 1/11.
    fields[:, :, :5] = wave(times, maximum_h=2.5)[:, :, :5]
    assert daily_maximum_h(fields, times, GRID) is None
    fields = wave(times, maximum_h=14.5)
    fields[:, :, :1] = wave(times, maximum_h=2.5)[:, :, :1]  # 9/11 agree
    assert daily_maximum_h(fields, times, GRID) == pytest.approx(14.5, abs=1e-6)


def rejected(times, fields, grid=GRID, step_h=1.0) -> list[int]:
    reasons = phase_reasons(fields, times, grid, LIMITS, hours(step_h))
    return [index for index, found in enumerate(reasons) if found]


@pytest.mark.parametrize(("shift_h", "is_off"), [(0, False), (4.9, False), (5.1, True), (-9, True)])
def test_three_days_more_than_five_hours_off_are_rejected(shift_h, is_off):
    times = axis(3)
    fields = wave(times, maximum_h=14.5 + shift_h)
    assert len(rejected(times, fields)) == (72 if is_off else 0)


def test_the_reason_names_the_hour_and_the_shift():
    times = axis(3)
    reasons = phase_reasons(wave(times, maximum_h=22.5), times, GRID, LIMITS, hours(1))
    assert "within 5 h of 14.5 h local solar time, found it at 22.5 h" in reasons[0][0]
    assert "the times look +8 h off" in reasons[0][0]


def test_less_than_three_days_few_cells_or_two_steps_a_day_say_nothing():
    off = {"maximum_h": 2.5}
    short = axis(3)[:-1]
    assert rejected(short, wave(short, **off)) == []
    few = Grid(np.array([50.0, 49.0]), np.arange(4.0))
    assert rejected(axis(3), wave(axis(3), grid=few, **off), few) == []
    slow = axis(6, 12)
    assert rejected(slow, wave(slow, **off), step_h=12) == []
    assert phase_reasons(wave(short[:0]), short[:0], GRID, LIMITS, hours(1)) == []


def test_only_the_days_off_are_rejected_beside_true_ones():
    # Days 0-3 true, 4-7 twelve hours off. The windows of three days start on days 0 to 5.
    # True ones: 0-2, 1-3; half and half 2-4 (two true days lead), 3-5 (two wrong ones); wrong
    # ones: 4-6, 5-7. Days 4 and on lie in more wrong windows than true ones, days 0-2 in fewer.
    times = axis(8)
    fields = wave(times)
    fields[4 * 24 :] = wave(times, maximum_h=2.5)[4 * 24 :]
    found = np.array(rejected(times, fields)) // 24
    assert set(range(5, 8)) <= set(found)
    assert not set(range(3)) & set(found)


def test_a_window_with_a_fifth_missing_still_counts_and_with_more_does_not():
    times = axis(3)
    fields = wave(times, maximum_h=2.5)
    some = np.setdiff1d(np.arange(72), np.arange(20, 34))  # 14 of 72 missing
    more = np.setdiff1d(np.arange(72), np.arange(20, 35))  # 15 of 72
    assert len(rejected(times[some], fields[some])) == 58
    assert rejected(times[more], fields[more]) == []
