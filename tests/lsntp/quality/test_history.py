"""True fields around a time; every field below holds one number, so that all is plain to see."""

import numpy as np
import pytest

from lsntp.grid import Grid
from lsntp.quality.history import KEPT, History, Trusted
from lsntp.times import DAY, hours

NOON = np.datetime64("2020-02-28T12", "ns")


def at(*hours_after_noon: float) -> np.ndarray:
    return np.array([NOON + hours(hour) for hour in hours_after_noon])


def of(value: float) -> np.ndarray:
    return np.full((2, 3), value, np.float32)


def trusted(*hours_after_noon: float) -> Trusted:
    """Fields at the hours given, each holding its hour."""
    fields = np.array([of(hour) for hour in hours_after_noon]).reshape(-1, 2, 3)
    return Trusted(at(*hours_after_noon), fields)


def number(field: np.ndarray) -> float:
    (value,) = np.unique(field)
    return float(value)


def hour(item) -> float | None:
    """The hour of a (time, field), which must agree."""
    if item is None:
        return None
    time, field = item
    assert time == NOON + hours(number(field))
    return number(field)


@pytest.mark.parametrize(
    ("time", "within", "expected"),
    [(4, 1, 3), (3, 2, 1), (3, 1, None), (1, 1, 0), (0, 99, None), (0.5, 0.5, 0)],
)
def test_the_last_field_is_the_latest_before_and_not_too_far(time, within, expected):
    assert hour(trusted(0, 1, 3).last(NOON + hours(time), hours(within))) == expected


@pytest.mark.parametrize(
    ("time", "within", "expected"),
    [(0, 1, 1), (1, 2, 3), (1, 1, None), (3, 99, None), (-1, 1, 0), (2.5, 0.5, 3)],
)
def test_the_following_field_is_the_earliest_after_and_not_too_far(time, within, expected):
    assert hour(trusted(0, 1, 3).following(NOON + hours(time), hours(within))) == expected


def test_fields_before_come_latest_first_and_no_more_than_asked():
    known = trusted(0, 1, 3, 4)
    assert [number(f) for f in known.before(NOON + hours(4), hours(9), 2)] == [3, 1]
    assert [number(f) for f in known.before(NOON + hours(4), hours(3), 9)] == [3, 1]
    assert known.before(NOON, hours(9), 9) == []


def test_neighbours_are_less_than_a_day_away():
    known = trusted(-24, 0, 23)
    assert [hour(item) for item in known.beside(NOON)] == [23]
    assert [hour(item) for item in known.beside(NOON - hours(0.5))] == [-24, 0]
    assert trusted().beside(NOON) == []


def test_a_field_joins_between_others_and_replaces_one_of_its_time():
    known = trusted(0, 2)
    known.add(NOON + hours(1), of(1))
    known.add(NOON + hours(2), of(7))
    assert [number(f) for f in known.before(NOON + hours(9), hours(99), 9)] == [7, 1, 0]


def test_the_usual_field_is_that_of_the_same_hour_within_a_week():
    # Noon on days -7, -1 and 3: 280, 282, 287 K. Other hours and day 8 do not count.
    times = at(-7 * 24, -24, -23, 3 * 24, 8 * 24)
    known = Trusted(times, np.array([of(v) for v in (280, 282, 400, 287, 500)]))
    usual = known.usual(NOON)
    assert (number(usual.mean), number(usual.low), number(usual.high)) == (283, 280, 287)
    assert usual.mean.dtype == np.float64
    assert known.usual(NOON + hours(1)) is None


def test_two_days_do_not_make_a_usual_field_but_a_third_one_does():
    known = Trusted(at(-48, -24), np.array([of(280), of(281)]))
    assert known.usual(NOON) is None
    known.add(NOON, of(285))
    assert number(known.usual(NOON).mean) == 282
    known.add(NOON, of(288))  # the final field in place of the preliminary one
    assert number(known.usual(NOON).mean) == 283


def test_cells_are_told_apart():
    fields = np.array([[[280, 290]], [[282, 292]], [[281, 297]]], np.float32)
    usual = Trusted(at(-24, 0, 24), fields).usual(NOON)
    np.testing.assert_array_equal(usual.mean, [[281, 293]])
    np.testing.assert_array_equal(usual.low, [[280, 290]])
    np.testing.assert_array_equal(usual.high, [[282, 297]])


def test_what_is_kept_of_usual_fields_is_bounded():
    known = trusted(*range(-72, 72))
    for step in range(3 * KEPT):
        assert known.usual(NOON + hours(step % 24) - DAY * (step // 24)) is not None
    assert len(known._usual) <= KEPT + 1


def test_a_field_of_the_domain_is_seen_at_the_nearest_of_its_cells():
    domain = Grid(np.array([54.0, 52.0, 50.0]), np.array([0.0, 2.0]))
    native = Grid(np.array([53.5, 51.5, 50.5, 49.0]), np.array([-0.5, 0.5, 1.5]))
    history = History(domain, at(), np.empty((0, 3, 2)), lambda fields: fields)
    field = np.array([[1, 2], [3, 4], [5, 6]])
    # 53.5 -> 54, 51.5 -> 52, 50.5 -> 50, 49 -> 50; -0.5 and 0.5 -> 0, 1.5 -> 2.
    expected = [[1, 1, 2], [3, 3, 4], [5, 5, 6], [5, 5, 6]]
    np.testing.assert_array_equal(field[history.nearest_cells(native)], expected)
