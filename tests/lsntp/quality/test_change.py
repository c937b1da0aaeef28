"""Changes from field to field, less the usual ones, by hand."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lsntp.config import QualityConfig
from lsntp.grid import regular_grid
from lsntp.quality.change import Change, Changes, change_reasons
from lsntp.quality.history import WINDOW, Trusted
from lsntp.times import hours

START = np.datetime64("2020-01-01", "ns")
GRID = regular_grid(north=53, south=50, west=0, east=3, spacing=1)
SIX = hours(6)
LIMITS = QualityConfig()


def change(rest, steps: int = 1) -> Change:
    rest = np.asarray(rest, np.float64)
    return Change(rest, steps, np.zeros_like(rest), START)


def test_size_and_edge_of_a_change_by_hand():
    # Squares 9, 16, 0, 0: mean 25/4. Neighbours differ by 1 and 0 along rows, 3 and 4 down.
    found = change([[3, 4], [0, 0]])
    assert found.size_k == 2.5
    assert found.edge_k == 4.0
    assert change([[-7.0]]).edge_k == 0.0


def cycle(days: int, extra=0.0) -> tuple[np.ndarray, np.ndarray]:
    """280, 284, 290, 286 K at 0, 6, 12, 18 UTC in every cell, day after day."""
    values = np.tile([280.0, 284.0, 290.0, 286.0], days) + extra
    times = START + np.arange(values.size) * SIX
    return times, np.repeat(values, 16).reshape(-1, 4, 4).astype(np.float32)


def test_the_usual_change_of_the_hour_is_taken_off():
    trusted = Trusted(*cycle(4))
    field = np.full((4, 4), 285.5, np.float32)
    time = START + 4 * 4 * SIX  # 0 UTC of day five, after 286 K at 18 UTC
    # 285.5 - 286 is a change of -0.5 K; the usual one from 18 to 0 UTC is 280 - 286 = -6 K.
    found = Changes(SIX).of(field, time, trusted)
    np.testing.assert_allclose(found.rest, 5.5)
    assert (found.steps, found.previous_time) == (1, time - SIX)
    later = Changes(SIX).of(field, time + SIX, trusted)  # usual from 18 to 6 UTC: -2 K
    np.testing.assert_allclose(later.rest, 1.5)
    assert later.steps == 2


def test_without_a_field_within_a_day_or_usual_ones_there_is_no_change():
    field = np.full((4, 4), 285.5, np.float32)
    end = START + 16 * SIX
    assert Changes(SIX).of(field, end + hours(24), Trusted(*cycle(4))) is None
    assert Changes(SIX).of(field, START + 8 * SIX, Trusted(*cycle(2))) is None


def test_stored_fields_tell_how_large_changes_are():
    # The third 12 UTC of four is 3 K warmer: the mean of 12 UTC rises by 0.75 K. The changes
    # to and from it are off by 3 - 0.75 = 2.25 K, those of the other days by 0.75 K.
    extra = np.zeros(16)
    extra[10] = 3.0
    changes = Changes(SIX)
    changes.remember(*cycle(4, extra))
    size, edge = changes.largest(START + 16 * SIX)
    assert size == pytest.approx(2.25)
    assert edge == 0.0  # all cells alike


def test_changes_of_two_days_are_needed_and_of_one_step():
    changes = Changes(SIX)
    for step in range(7):
        changes.add(START + step * SIX, change([[1.0]]))
    changes.add(START + 7 * SIX, change([[9.0]], steps=2))
    changes.add(START + 8 * SIX, None)
    assert changes.largest(START + 9 * SIX) is None
    changes.add(START + 9 * SIX, change([[2.0]]))
    assert changes.largest(START + 9 * SIX) == (2.0, 0.0)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(1, 40), st.integers(0, 5), st.integers(0, 5)),
        min_size=8,
        max_size=60,
    )
)
def test_the_largest_change_is_that_of_the_last_two_weeks_whatever_leaves(steps):
    changes, known, time = Changes(SIX), [], START
    for gap, left, right in steps:
        time = time + gap * SIX
        item = change([[left, right]])
        changes.add(time, item)
        known.append((time, np.sqrt((left**2 + right**2) / 2), abs(left - right)))
        recent = [(size, edge) for when, size, edge in known if when >= time - 2 * WINDOW]
        found = changes.largest(time)
        if len(recent) < 8:
            assert found is None
        else:
            expected = tuple(map(max, zip(*recent, strict=True)))
            assert found == pytest.approx(expected)


def reasons(found: Change | None, largest):
    trusted = Trusted(*cycle(4))
    return change_reasons(found, largest, START + 16 * SIX, trusted, GRID, LIMITS, SIX)


def chessboard(size: float) -> np.ndarray:
    """Changes up and down, which no other hour of the day explains."""
    return size * (-1.0) ** np.indices((4, 4)).sum(axis=0)


@pytest.mark.parametrize(("size", "is_found"), [(7.9, False), (8.1, True)])
def test_four_times_the_largest_change_is_a_jump_in_time(size, is_found):
    found = reasons(change(chessboard(size)), (2.0, 99.0))
    assert bool(found) == is_found
    if found:
        assert "of at most 8.0 K beyond the usual one" in found[0]
        assert "found 8.1 K (root mean square): a jump in time" in found[0]


def test_over_a_gap_each_step_may_add_its_own():
    assert reasons(change(chessboard(15.9), steps=2), (2.0, 99.0)) == []
    assert "a jump in time" in reasons(change(chessboard(16.1), steps=2), (2.0, 99.0))[0]


def test_small_jumps_are_left_alone_however_quiet_the_days_before():
    assert reasons(change(chessboard(1.9)), (0.01, 99.0)) == []
    assert reasons(change(chessboard(2.1)), (0.01, 99.0)) != []


@pytest.mark.parametrize(("edge", "is_found"), [(7.9, False), (8.1, True)])
def test_one_cell_that_changes_alone_is_a_jump_in_space(edge, is_found):
    rest = np.zeros((4, 4))
    rest[2, 3] = edge
    found = reasons(change(rest), (3.0, 2.0))
    assert bool(found) == is_found
    if found:
        assert f"found {edge} K near 51 N 3 E: a jump in space" in found[0]


def test_another_hours_field_is_named_by_how_far_it_is_off():
    # At 0 UTC the field of 12 UTC: 290 K in place of 280.
    trusted = Trusted(*cycle(4))
    time = START + 16 * SIX
    found = Changes(SIX).of(np.full((4, 4), 290, np.float32), time, trusted)
    np.testing.assert_allclose(found.rest, 10)
    (reason,) = change_reasons(found, (2.0, 1.0), time, trusted, GRID, LIMITS, SIX)
    assert "fits +12 h" in reason
    assert "its time looks wrong" in reason


def test_nothing_known_nothing_said():
    assert reasons(None, (2.0, 1.0)) == []
    assert reasons(change(np.full((4, 4), 50.0)), None) == []
