"""A field beside others, each limit met from both sides by hand."""

import numpy as np
import pytest

from lsntp.config import QualityConfig
from lsntp.grid import Grid, regular_grid
from lsntp.quality import comparison
from lsntp.quality.history import Usual

TIME = np.datetime64("2020-01-01T06", "ns")
SQUARE = regular_grid(north=53, south=50, west=0, east=3, spacing=1)
WIDE = regular_grid(north=57, south=42, west=0, east=23, spacing=1)
LIMITS = QualityConfig()


def fine(shape=(4, 4)) -> np.ndarray:
    return (280 + 0.1 * np.arange(np.prod(shape)).reshape(shape)).astype(np.float32)


def sharing(cells: int) -> np.ndarray:
    """The field above with all cells changed but the first ``cells``."""
    field = fine() + np.float32(1.03)
    field.flat[:cells] = fine().flat[:cells]
    return field


@pytest.mark.parametrize(
    ("cells", "is_coarse", "limits", "is_found"),
    [
        (8, False, {}, False),  # 50 %
        (9, False, {}, True),  # 56 %
        (15, True, {}, False),  # 94 %, below the 98 % of coarse values
        (16, True, {}, True),
        (16, False, {"maximum_unchanged_share": 1.0}, False),
        (16, True, {"maximum_unchanged_share": 1.0}, False),
    ],
)
def test_a_field_repeats_another_where_too_many_cells_are_equal(cells, is_coarse, limits, is_found):
    found = comparison.repeated_reasons(
        sharing(cells), TIME, fine(), is_coarse=is_coarse, limits=QualityConfig(**limits)
    )
    assert bool(found) == is_found
    if found:
        assert f"2020-01-01T06:00Z, found {cells} of 16 cells" in found[0]


def test_on_fewer_than_sixteen_cells_equal_ones_are_chance():
    field = fine((3, 5))
    assert not comparison.repeated_reasons(field, TIME, field, is_coarse=False, limits=LIMITS)


@pytest.mark.parametrize(
    ("steps", "is_coarse", "is_found"),
    [(5, False, False), (6, False, True), (23, True, False), (24, True, True)],
)
def test_cells_are_frozen_after_six_steps_or_after_four_times_as_many_coarse_ones(
    steps, is_coarse, is_found
):
    field = fine()
    earlier = [field + np.float32(0.01) * (1 + k) for k in range(40)]
    for other in earlier[:steps]:
        other[1, 2:] = field[1, 2:]  # 2 of 16 cells
    found = comparison.frozen_reasons(field, earlier, SQUARE, is_coarse=is_coarse, limits=LIMITS)
    assert bool(found) == is_found
    if found:
        assert "found 2 of 16 (12%) frozen for" in found[0]
        assert "the first at 52 N 2 E: 280.60 K" in found[0]


def test_too_few_earlier_fields_or_frozen_cells_say_nothing():
    field = fine()
    same = [field] * 5
    assert not comparison.frozen_reasons(field, same, SQUARE, is_coarse=False, limits=LIMITS)
    other = field + 1
    other[0, 0] = field[0, 0]  # 1 of 16 cells is 6 %: above 2 %, below the 10 % of coarse ones
    assert comparison.frozen_reasons(field, [other] * 6, SQUARE, is_coarse=False, limits=LIMITS)
    assert not comparison.frozen_reasons(field, [other] * 24, SQUARE, is_coarse=True, limits=LIMITS)


def slope() -> np.ndarray:
    """Colder to the north, 16 x 24 cells, with a pattern along the rows."""
    rows, columns = np.indices(WIDE.shape)
    return 280 + 1.0 * rows + np.sin(rows * 2.1 + columns * 0.7)


def test_a_field_upside_down_is_found_beside_the_previous_or_the_usual_one():
    field = slope()
    for previous, usual in ((field, None), (None, field), (field, field)):
        assert comparison.flip_reasons(field[::-1], previous, usual)
        assert comparison.flip_reasons(field, previous, usual) == []
    assert comparison.flip_reasons(field[::-1], None, None) == []


def test_the_usual_field_may_deny_that_the_previous_one_is_right():
    field = slope()
    assert comparison.flip_reasons(field, field[::-1], field) == []


def test_few_rows_are_not_looked_at_for_a_flip():
    field = slope()[:15]
    assert comparison.flip_reasons(field[::-1], field, field) == []


def pattern(seed=0) -> np.ndarray:
    """Every row wanders by itself: the closer to its true place, the better it fits."""
    return 280 + np.random.default_rng(seed).normal(0, 3, WIDE.shape).cumsum(axis=1)


@pytest.mark.parametrize(("columns", "way"), [(4, "east"), (-3, "west"), (10, "east")])
def test_a_moved_field_is_found_with_its_distance_and_way(columns, way):
    field = pattern()
    moved = np.roll(field, columns, axis=1)
    near = moved + np.random.default_rng(1).normal(0, 0.3, field.shape)
    (reason,) = comparison.displaced_reasons(near, field, None, WIDE, LIMITS)
    assert f"moved back by {abs(columns)} columns ({abs(columns)} degrees)" in reason
    assert f"it lies too far {way}" in reason
    assert comparison.displaced_reasons(near, None, field, WIDE, LIMITS) == [reason]


def test_what_is_in_place_or_moved_by_one_column_or_unknown_passes():
    field = pattern()
    for other in (pattern(7), np.roll(field, 1, axis=1), field, field + 0.1, None):
        assert comparison.displaced_reasons(field, other, None, WIDE, LIMITS) == []


def test_the_usual_field_may_deny_a_displacement():
    field = pattern()
    moved = np.roll(field, 4, axis=1)
    assert comparison.displaced_reasons(moved, field, moved, WIDE, LIMITS) == []


def test_the_limit_of_departure_shrinks_with_the_domain_and_stops_at_six_kelvin():
    point = Grid(np.array([50.0]), np.array([0.0]))  # one degree
    ten = regular_grid(north=59, south=50, west=0, east=9, spacing=1)
    world = regular_grid(north=90, south=-90, west=-180, east=179, spacing=1)
    assert comparison.departure_limit(point, LIMITS) == pytest.approx(26 * 10 / 11)
    assert comparison.departure_limit(ten, LIMITS) == pytest.approx(13)
    assert comparison.departure_limit(world, LIMITS) == 6
    assert comparison.departure_limit(world, QualityConfig(maximum_departure_k=3)) == 3


@pytest.mark.parametrize(("beyond", "is_found"), [(0.1, True), (-0.1, False)])
@pytest.mark.parametrize("way", [1, -1])
def test_most_cells_beyond_the_range_of_the_days_around_are_another_season(beyond, is_found, way):
    # 4 x 4 degrees: the limit is 26 * 10 / 14 = 18.57 K beyond 278..284 K; the mean is 281.
    usual = Usual(tuple(np.full((4, 4), value) for value in (278.0, 281.0, 284.0)))
    field = np.full((4, 4), 281 + way * (3 + 26 * 10 / 14 + beyond))
    field[0] = 281  # a quarter of the cells as usual does not change the median
    assert bool(comparison.departure_reasons(field, usual, SQUARE, LIMITS)) == is_found
    assert comparison.departure_reasons(field, None, SQUARE, LIMITS) == []


@pytest.mark.parametrize(("cells", "is_found"), [(9, True), (7, False)])
def test_a_step_of_most_cells_is_found_and_of_some_is_not(cells, is_found):
    field = fine()
    field.flat[:cells] -= 45
    assert bool(comparison.step_reasons(field, fine(), None, LIMITS)) == is_found
    assert bool(comparison.step_reasons(field, None, fine(), LIMITS)) == is_found
    assert comparison.step_reasons(field, field, fine(), LIMITS) == []
    assert comparison.step_reasons(field, None, None, LIMITS) == []


@pytest.mark.parametrize("south", [False, True])
def test_a_pole_warmer_than_the_equator_by_more_than_twenty_kelvin_is_reversed(south):
    latitude = np.array([70.0, 50.0, 30.0])
    grid = Grid(-latitude[::-1] if south else latitude, np.array([0.0, 1.0]))
    for pole, is_found in ((290.0, False), (310.0, False), (310.1, True)):
        rows = np.array([pole, 300.0, 290.0])
        field = np.repeat((rows[::-1] if south else rows)[:, None], 2, axis=1)
        assert bool(comparison.gradient_reasons(field, grid)) == is_found


def test_the_gradient_of_a_small_domain_or_across_the_equator_says_nothing():
    field = np.repeat(np.array([330.0, 300.0, 270.0])[:, None], 2, axis=1)
    for latitude in ([60.0, 50.0, 31.0], [20.0, 0.0, -20.0]):
        grid = Grid(np.array(latitude), np.array([0.0, 1.0]))
        assert comparison.gradient_reasons(field, grid) == []
