"""The calendar of `lsntp status`: a screenful, and readable without colour."""

import numpy as np
import pytest

from flows.hour_calendar import MAX_ROWS, calendar
from lsntp.life_cycle import STATES, HourState, LifeCycle
from lsntp.times import hours, parse_time


def life_of(states, *, start="2024-02-27", cadence_h=6):
    size = len(states)
    start = parse_time(start)
    return LifeCycle(
        start + np.arange(size) * hours(cadence_h),
        np.array([STATES.index(state) for state in states], np.int8),
        np.full(size, np.datetime64("NaT", "ns")),
        np.full(size, "", dtype=object),
        (),
        hours(cadence_h),
    )


FINAL, MISSING = HourState.FINAL, HourState.MISSING


def test_a_few_days_are_drawn_step_by_step():
    states = [FINAL] * 4 + [HourState.PRELIMINARY, HourState.PENDING, MISSING]
    drawn = calendar(life_of(states))
    assert [line.plain for line in drawn.lines] == ["2024-02-27  ####", "2024-02-28  +~. "]
    assert drawn.unit == "a step (6 h)"


def test_months_are_drawn_day_by_day_and_the_gravest_hour_counts():
    states = [FINAL] * 4 * 40  # 27 February to 6 April
    states[5] = HourState.QUARANTINED
    states[9] = HourState.UPSTREAM_HOLE
    drawn = calendar(life_of(states))
    # the 27th is final, on the 28th a field was rejected, on the 29th one was never published
    assert drawn.lines[0].plain == f"2024-02     {' ' * 26}#qo  "
    assert [line.plain[:7] for line in drawn.lines] == ["2024-02", "2024-03", "2024-04"]
    assert drawn.legend.plain.split() == (
        ["#", "final", "158", "o", "upstream", "hole", "1", "q", "quarantined", "1"]
    )


def test_ten_years_of_hours_are_ten_rows_of_weeks():
    size = 24 * (10 * 365 + 3)  # 2015 to 2024 but two days
    states = np.array([FINAL] * size, dtype=object)
    states[24 * 8] = MISSING  # the second week
    drawn = calendar(life_of(states, start="2015-01-01", cadence_h=1))
    assert len(drawn.lines) == 10
    assert drawn.lines[0].plain == f"2015        #.{'#' * 51}"
    assert max(len(line.plain) for line in drawn.lines) <= 80


def test_a_century_stays_a_screenful_and_says_what_is_not_shown():
    size = 366 * 60
    states = np.array([FINAL] * size, dtype=object)
    states[:10] = MISSING
    drawn = calendar(life_of(states, start="1940-01-01", cadence_h=24))
    assert len(drawn.lines) == MAX_ROWS
    assert (drawn.earlier, drawn.earlier_without_field) == (21, 10)


@pytest.mark.parametrize("size", [1, 31 * 4, 31 * 4 + 1])
def test_any_length_is_drawn_with_every_step_in_it(size):
    drawn = calendar(life_of([FINAL] * size, start="2024-01-01"))
    assert len(drawn.lines) == (31 if size == 124 else 1 if size == 1 else 2)
