"""A field by itself: its cells, its time, its values, each by hand."""

import numpy as np
import pytest

from lsntp.config import QualityConfig
from lsntp.grid import Grid, regular_grid
from lsntp.quality import alone
from lsntp.times import hours

START = np.datetime64("2020-01-01T06", "ns")
GRID = regular_grid(north=54, south=50, west=0, east=4, spacing=1)
LIMITS = QualityConfig()


def fine(shape=(5, 5)) -> np.ndarray:
    """No two cells alike: 280, 280.1, 280.2 …"""
    return (280 + 0.1 * np.arange(np.prod(shape)).reshape(shape)).astype(np.float32)


@pytest.mark.parametrize(("hour", "is_on"), [(0, True), (6, True), (3, False), (-6, False)])
def test_times_lie_on_the_axis_from_its_first_step_on(hour, is_on):
    reasons = alone.axis_reasons(START + hours(hour), START, hours(6))
    assert (reasons == []) == is_on


def test_two_cuts_of_one_grid_agree_and_shifted_or_distant_ones_do_not():
    inside = regular_grid(north=53, south=51, west=1, east=9, spacing=1)
    half = regular_grid(north=53.5, south=50.5, west=0, east=4, spacing=1)
    finer = regular_grid(north=54, south=50, west=0, east=4, spacing=0.5)
    apart = regular_grid(north=44, south=40, west=0, east=4, spacing=1)
    assert alone.grid_reasons(inside, GRID) == []
    assert alone.grid_reasons(GRID, None) == []
    for other in (half, finer, apart):
        assert (
            "Expected cells of the grid of the earlier fields" in alone.grid_reasons(other, GRID)[0]
        )


def test_every_field_of_a_batch_gets_its_own_reasons():
    fields = np.stack([fine()] * 7)
    fields[1, 2, 3] = np.nan
    fields[2, 0, 4] = 0.0
    fields[3] -= 273.15
    fields[4, 1, 1] = 341.0
    fields[5] = 285.0
    found = alone.value_reasons(fields, GRID, LIMITS)
    assert found[0] == found[6] == []
    expected = [
        "found 1 of 25 (4%) NaN; the first at 52 N 3 E",
        "exactly 0 K, which looks like a zero-filled field; the first at 54 N 4 E",
        "degrees Celsius",
        "1 of 25 cells outside, the worst at 53 N 1 E",
        "found 285.00 K in all 25 cells",
    ]
    for reasons, words in zip(found[1:6], expected, strict=True):
        (reason,) = reasons
        assert words in reason


def test_nan_and_infinity_are_both_named():
    fields = fine()[None].copy()
    fields[0, 0, 0], fields[0, 0, 1] = np.nan, -np.inf
    (reasons,) = alone.value_reasons(fields, GRID, LIMITS)
    assert [("NaN" in r, "infinite" in r) for r in reasons] == [(True, False), (False, True)]


def test_the_limits_themselves_are_plausible():
    fields = fine()[None].copy()
    fields[0, 0, 0], fields[0, 4, 4] = 180.0, 340.0
    assert alone.value_reasons(fields, GRID, LIMITS) == [[]]


def test_limits_that_nothing_reaches_still_leave_zeros_to_be_found():
    wide = QualityConfig(minimum_k=-1000, maximum_k=1000)
    fields = np.stack([fine() - 273.15, fine() - 273.15])
    fields[1, 3, 3] = 0.0
    below, with_zero = alone.value_reasons(fields, GRID, wide)
    assert below == []
    assert "exactly 0 K" in with_zero[0]


def test_eight_equal_cells_may_be_weather_and_nine_are_not():
    eight, nine = np.full((1, 2, 4), 285.0), np.full((1, 3, 3), 285.0)
    assert alone.value_reasons(eight, Grid(np.array([1.0, 0.0]), np.arange(4.0)), LIMITS) == [[]]
    grid = Grid(np.array([2.0, 1.0, 0.0]), np.arange(3.0))
    assert "in all 9 cells" in alone.value_reasons(nine, grid, LIMITS)[0][0]


def test_no_fields_no_reasons():
    assert alone.value_reasons(np.empty((0, 5, 5), np.float32), GRID, LIMITS) == []


def test_the_step_of_values_is_the_smallest_distance_but_for_rounding():
    field = np.array([[280.0, 280.5], [280.00005, 281.25]])  # 5e-5 K is rounding
    assert alone.value_step(field[None]) == pytest.approx(0.49995)
    assert alone.value_step(np.stack([field, field * 0 + 280, field / 10])) == pytest.approx(
        0.049995, rel=1e-3
    )
    assert alone.value_step(np.full((3, 2, 2), 280.0)) == np.inf


@pytest.mark.parametrize(("step", "expected"), [(0.0201, False), (0.03, True), (np.inf, True)])
def test_steps_above_two_hundredths_are_coarse(step, expected):
    assert alone.is_coarse(step) == expected


def test_a_patch_counts_by_the_cells_inside_it():
    # 4 x 4 equal cells have 2 x 2 that equal all eight neighbours; 3 x 4 have two.
    field = fine()
    field[:4, :4] = 290
    reasons = alone.filled_reasons(field, GRID, LIMITS.model_copy(update={"flat_cells": 4}))
    assert "a patch of one value with 4 of 25 cells" in reasons[0]
    assert "the first at 53 N 1 E: 290.00 K" in reasons[0]
    field = fine()
    field[:3, :4] = 290
    assert alone.filled_reasons(field, GRID, LIMITS) == []


def test_the_rim_never_makes_a_patch():
    field = fine()
    field[0], field[-1], field[:, 0] = 290, 290, 290
    # 13 of 25 cells are equal, none has eight equal neighbours.
    reasons = alone.filled_reasons(field, GRID, LIMITS)
    assert reasons == ["Expected a field that varies, found 290.00 K in 13 of 25 cells (52%)."]
    field[0, 4] = 291
    assert alone.filled_reasons(field, GRID, LIMITS) == []  # 12 of 25: below half


def test_scattered_equal_cells_are_found_without_any_neighbours_alike():
    field = fine()
    field[(np.indices(field.shape).sum(axis=0) % 2) == 0] = 290  # a chessboard, 13 of 25
    assert "in 13 of 25 cells (52%)" in alone.filled_reasons(field, GRID, LIMITS)[0]


def test_sound_fields_of_one_time_are_counted():
    times = np.array([START, START, START + hours(6)])
    assert "found 2 with different content" in alone.repetition_reasons(START, times)[0]
    assert alone.repetition_reasons(times[2], times) == []


def test_places_are_named_by_row_and_column():
    assert alone.place_of(7, GRID) == "53 N 2 E"
