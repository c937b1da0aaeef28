"""UTC instants and regular axes."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lsntp.errors import DomainError
from lsntp.times import Period, format_time, hours, parse_time, slot_index


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2019-03-01", "2019-03-01T00:00"),
        ("2019-03-01T06", "2019-03-01T06:00"),
        ("2019-03-01T06:00Z", "2019-03-01T06:00"),
        ("2019-03-01T01:00+02:00", "2019-02-28T23:00"),
    ],
)
def test_times_are_read_as_utc(text: str, expected: str) -> None:
    assert parse_time(text) == np.datetime64(expected, "ns")


def test_text_that_is_no_time_is_refused_with_an_example() -> None:
    with pytest.raises(DomainError, match="ISO 8601"):
        parse_time("yesterday")


def test_an_empty_period_is_refused() -> None:
    with pytest.raises(DomainError, match="start lies before its end"):
        Period.parse("2019-03-02", "2019-03-01")


def test_a_period_leaves_its_end_out() -> None:
    period = Period.parse("2019-03-01", "2019-03-02")
    steps = period.steps(hours(6), parse_time("2019-03-01"))
    assert [format_time(step)[11:13] for step in steps] == ["00", "06", "12", "18"]
    assert period.contains(steps).all()


@given(st.integers(-100, 100), st.integers(1, 60), st.sampled_from([1, 3, 6, 12]))
def test_steps_are_exactly_the_axis_points_inside(first: int, length: int, cadence: int) -> None:
    origin = parse_time("2020-02-28")
    period = Period(origin + hours(first), origin + hours(first + length))
    expected = [
        origin + hours(hour) for hour in range(first, first + length) if hour % cadence == 0
    ]
    np.testing.assert_array_equal(
        period.steps(hours(cadence), origin), np.array(expected, "M8[ns]")
    )


def test_a_time_between_two_steps_has_no_slot() -> None:
    times = np.array(["2020-01-01T00:30"], "M8[ns]")
    with pytest.raises(DomainError, match="2020-01-01T00:30Z"):
        slot_index(times, parse_time("2020-01-01"), hours(1))


def test_a_time_before_the_origin_has_no_slot() -> None:
    times = np.array(["2019-12-31T23"], "M8[ns]")
    with pytest.raises(DomainError, match="start the archive earlier"):
        slot_index(times, parse_time("2020-01-01"), hours(1))


@pytest.mark.parametrize("value", ["1500-01-01", "9999-12-31", np.datetime64("2300-01-01")])
def test_years_beyond_64_bits_of_nanoseconds_are_refused(value):
    with pytest.raises(DomainError, match="1678 to 2261"):
        parse_time(value)


def test_nanoseconds_are_kept():
    time = np.datetime64("2019-01-01T01:02:03.123456789", "ns")
    assert parse_time(time) == time
