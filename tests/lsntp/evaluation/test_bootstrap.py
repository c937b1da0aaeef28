"""The paired block bootstrap: pairing, determinism, coverage of simple cases."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lsntp.errors import EvaluationError
from lsntp.evaluation.bootstrap import day_counts, day_sums, skill

HOURLY = np.datetime64("2024-03-04", "ns") + np.arange(240) * np.timedelta64(1, "h")


def losses(seed):
    return np.random.default_rng(seed).gamma(4.0, 0.25, HOURLY.size)


def test_identical_forecasters_have_no_skill_and_no_doubt():
    found = skill(losses(0), losses(0), HOURLY, samples=200)
    assert (found.estimate, found.low, found.high) == (0.0, 0.0, 0.0)
    assert not found.is_above_zero
    assert not found.is_below_zero


def test_half_the_loss_is_skill_one_half_on_every_draw():
    # paired: the ratio is the same on each day, so the draw of days cannot matter
    found = skill(losses(0) / 2, losses(0), HOURLY, samples=200)
    assert found.estimate == pytest.approx(0.5)
    assert (found.low, found.high) == pytest.approx((0.5, 0.5))
    assert found.is_above_zero


def test_twice_the_loss_is_skill_minus_one():
    found = skill(2 * losses(0), losses(0), HOURLY, samples=200)
    assert found.estimate == pytest.approx(-1.0)
    assert found.is_below_zero


@given(st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1))
@settings(max_examples=30, deadline=None)
def test_the_interval_holds_the_estimate(model_seed, baseline_seed):
    found = skill(losses(model_seed), losses(baseline_seed), HOURLY, samples=500)
    assert found.low <= found.estimate <= found.high


def test_the_same_question_gets_the_same_answer():
    first, second = (skill(losses(0), losses(1), HOURLY, samples=300) for _ in range(2))
    assert first == second
    assert first != skill(losses(0), losses(1), HOURLY, samples=300, seed=1)


def test_two_days_by_hand():
    # day 1: model 1, baseline 4; day 2: model 3, baseline 4. Draws: (1,1) 3/4, mixed 1/2, (2,2) 1/4
    times = np.array(["2024-01-01", "2024-01-02"], "datetime64[ns]")
    found = skill([1.0, 3.0], [4.0, 4.0], times, samples=1000)
    assert (found.estimate, found.low, found.high) == pytest.approx((0.5, 0.25, 0.75))


def test_errors_that_share_a_day_are_not_counted_as_independent():
    day_effect = np.repeat(np.random.default_rng(5).normal(0.0, 0.3, 10), 24)
    one_block_a_day = skill(1.0 + day_effect, np.ones(240), HOURLY, samples=500)
    one_block_an_hour = skill(
        1.0 + day_effect,
        np.ones(240),
        HOURLY[0] + np.arange(240) * np.timedelta64(24, "h"),
        samples=500,
    )
    width, too_sure = (i.high - i.low for i in (one_block_a_day, one_block_an_hour))
    assert width > 3 * too_sure


def test_one_day_gives_an_estimate_without_interval():
    found = skill(losses(0)[:5], losses(1)[:5], HOURLY[:5], samples=100)
    assert np.isfinite(found.estimate)
    assert np.isnan([found.low, found.high]).all()
    assert not found.is_above_zero


def test_a_perfect_baseline_leaves_skill_undefined():
    assert np.isnan(skill(losses(0), np.zeros(240), HOURLY, samples=100).estimate)


def test_every_sample_draws_as_many_days_as_there_are():
    counts = day_counts(7, samples=50, seed=3)
    assert counts.shape == (50, 7)
    assert (counts.sum(axis=1) == 7).all()


def test_day_sums_follow_the_utc_day():
    times = np.array(["2024-01-01T23", "2024-01-02T00", "2024-01-01T05"], "datetime64[ns]")
    np.testing.assert_array_equal(day_sums(np.array([[1.0], [2.0], [4.0]]), times), [[5], [2]])


def test_losses_that_do_not_pair_up_are_refused():
    with pytest.raises(EvaluationError, match="one loss per init_time"):
        skill(losses(0), losses(1)[:-1], HOURLY, samples=100)
    with pytest.raises(EvaluationError, match="at least one"):
        skill([], [], HOURLY[:0], samples=100)
