"""The paired block bootstrap: pairing, determinism, coverage of simple cases."""

import itertools

import numpy as np
import pytest
import scipy.signal
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from lsntp.errors import EvaluationError
from lsntp.evaluation.bootstrap import (
    FEWEST_BLOCKS,
    block_length,
    day_counts,
    day_sums,
    difference,
    skill,
)

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


def test_errors_that_share_a_day_are_not_counted_as_independent():
    day_effect = np.repeat(np.random.default_rng(5).normal(0.0, 0.3, 10), 24)
    one_block_a_day = skill(1.0 + day_effect, np.ones(240), HOURLY, samples=500)
    one_block_an_hour = skill(  # of 240 days, out of order so that no neighbours err together
        1.0 + np.random.default_rng(6).permutation(day_effect),
        np.ones(240),
        HOURLY[0] + np.arange(240) * np.timedelta64(24, "h"),
        samples=500,
    )
    width, too_sure = (i.high - i.low for i in (one_block_a_day, one_block_an_hour))
    assert width > 3 * too_sure


def test_five_days_give_an_estimate_without_interval():
    found = skill(losses(0)[:120], losses(1)[:120], HOURLY[:120], samples=100)
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


# --- differences of two models -------------------------------------------------------------


def days(count, per_day=1):
    step = np.timedelta64(24 // per_day, "h")
    return np.datetime64("2024-03-04", "ns") + np.arange(count * per_day) * step


def expanded(blocks):
    """Tail level of the expanded percentile interval, from scipy's distributions."""
    reach = scipy.stats.t.ppf(0.975, blocks - 1) * (blocks / (blocks - 1)) ** 0.5
    return float(scipy.stats.norm.cdf(-reach))


def every_resample(first, second, score):
    """The differences of all n^n draws of n days with replacement."""
    draws = itertools.product(range(len(first)), repeat=len(first))
    return np.array([score(first[list(d)]) - score(second[list(d)]) for d in draws])


@pytest.mark.parametrize(
    ("metric", "score"),
    [("mae", np.mean), ("rmse", lambda squares: np.sqrt(np.mean(squares)))],
)
def test_the_interval_is_that_of_every_possible_draw(metric, score):
    generator = np.random.default_rng(4)
    first, second = generator.gamma(4.0, 0.25, 6), generator.gamma(4.0, 0.35, 6)
    found = difference(first[:, None], second[:, None], days(6), metric=metric, samples=40_000)
    drawn = every_resample(first, second, score)
    tail = expanded(6)
    low, high = np.quantile(drawn, [tail, 1 - tail])
    assert found.estimate == pytest.approx(score(first) - score(second))
    spread = drawn.std()
    assert found.low == pytest.approx(low, abs=0.05 * spread)
    assert found.high == pytest.approx(high, abs=0.05 * spread)
    assert found.blocks == 6


def test_the_interval_of_a_skill_is_that_of_every_possible_draw():
    generator = np.random.default_rng(4)
    model, baseline = generator.gamma(40.0, 0.025, 6), generator.gamma(40.0, 0.035, 6)
    found = skill(model, baseline, days(6), samples=40_000)
    draws = [list(draw) for draw in itertools.product(range(6), repeat=6)]
    drawn = np.array([1 - model[draw].sum() / baseline[draw].sum() for draw in draws])
    low, high = np.quantile(drawn, [expanded(6), 1 - expanded(6)])
    assert found.estimate == pytest.approx(1 - model.sum() / baseline.sum())
    assert (found.low, found.high) == pytest.approx((low, high), abs=0.1 * drawn.std())


def test_it_agrees_with_the_bootstrap_of_scipy():
    # 30 days of 4 forecasts and 2 leads; scipy resamples the daily means, all days alike
    generator = np.random.default_rng(8)
    first = (
        generator.gamma(4.0, 0.25, (120, 2)) + np.repeat(generator.normal(0, 0.2, 30), 4)[:, None]
    )
    second = generator.gamma(4.0, 0.26, (120, 2))
    found = difference(first, second, days(30, 4), metric="mae", samples=20_000)
    daily = [losses.reshape(30, -1).mean(axis=1) for losses in (first, second)]
    reference = scipy.stats.bootstrap(
        daily,
        lambda a, b, axis: a.mean(axis=axis) - b.mean(axis=axis),
        paired=True,
        vectorized=True,
        method="percentile",
        n_resamples=20_000,
        confidence_level=1 - 2 * expanded(30),
        rng=np.random.default_rng(1),
    )
    wide = reference.standard_error
    assert found.estimate == pytest.approx(daily[0].mean() - daily[1].mean())
    assert found.low == pytest.approx(reference.confidence_interval.low, abs=0.06 * wide)
    assert found.high == pytest.approx(reference.confidence_interval.high, abs=0.06 * wide)


def test_the_true_difference_lies_inside_as_often_as_promised():
    generator = np.random.default_rng(12)
    for count in (8, 30):
        inside = 0
        for seed in range(300):
            first, second = generator.normal(1.0, 0.3, (2, count, 1))
            found = difference(first, second, days(count), metric="mae", samples=400, seed=seed)
            inside += found.low <= 0.0 <= found.high
        assert 0.92 <= inside / 300 <= 0.99


def test_too_few_days_give_no_interval_however_clear_they_look():
    count = FEWEST_BLOCKS - 1
    found = difference(
        np.ones((count, 1)), np.full((count, 1), 9.0), days(count), metric="mae", samples=100
    )
    assert found.estimate == -8.0
    assert np.isnan([found.low, found.high]).all()
    assert (found.is_testable, found.is_clear, found.blocks) == (False, False, count)
    one_more = difference(
        np.ones((count + 1, 1)),
        np.full((count + 1, 1), 9.0),
        days(count + 1),
        metric="mae",
        samples=100,
    )
    assert one_more.is_clear
    assert (one_more.low, one_more.high) == (-8.0, -8.0)


def test_exchanging_the_models_mirrors_the_interval():
    generator = np.random.default_rng(2)
    first, second = generator.gamma(4.0, 0.25, (2, 40, 3))
    found, mirrored = (
        difference(*pair, days(10, 4), metric="rmse", samples=500)
        for pair in ((first, second), (second, first))
    )
    assert (mirrored.low, mirrored.estimate, mirrored.high) == pytest.approx(
        (-found.high, -found.estimate, -found.low)
    )


def test_longer_blocks_are_fewer_and_hold_what_persists():
    persistent = np.repeat(np.random.default_rng(3).normal(0.0, 0.3, 20), 4)[:, None]
    times = np.datetime64("1970-01-01", "ns") + np.arange(80) * np.timedelta64(24, "h")
    one, four = (
        difference(
            1 + persistent, np.ones((80, 1)), times, metric="mae", samples=1000, block_days=length
        )
        for length in (1, 4)
    )
    assert (one.blocks, four.blocks) == (80, 20)
    # the mean of 80 values that come in fours varies twice as much as that of 80 free ones
    assert (four.high - four.low) / (one.high - one.low) == pytest.approx(2.0, rel=0.25)


def test_frames_that_take_no_part_leave_their_days_out():
    first, second = np.full((10, 2), 2.0), np.full((10, 2), 1.0)
    first[:3], second[:3] = np.nan, np.nan
    first[:, 1], second[:, 1] = np.nan, np.nan
    found = difference(first, second, days(10), metric="mae", samples=100)
    assert (found.estimate, found.blocks) == (1.0, 7)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (np.ones((5, 2)), np.ones((5, 1))),
        (np.ones((4, 2)), np.ones((4, 2))),
        (np.full((5, 2), np.nan), np.full((5, 2), np.nan)),
        (np.ones((5, 2)), np.where(np.eye(5, 2) > 0, np.nan, 1.0)),
    ],
)
def test_losses_that_are_no_pairs_are_refused(first, second):
    with pytest.raises(EvaluationError, match="same frames for both"):
        difference(first, second, days(5), metric="mae", samples=100)


@pytest.mark.parametrize(
    ("days", "expected"),
    # 11 // 6, 12 // 6, 17 // 6, 18^⅓ = 2.62, 28^⅓ = 3.04, 56^⅓ = 3.83, 365^⅓ = 7.15
    [(1, 1), (6, 1), (11, 1), (12, 2), (17, 2), (18, 3), (28, 3), (56, 4), (365, 7)],
)
def test_blocks_grow_with_the_cube_root_and_six_are_left(days: int, expected: int) -> None:
    assert block_length(days) == expected


def test_days_that_err_alike_as_the_day_before_make_single_days_too_sure():
    """Two equally good models, their daily difference an AR(1) of 0.5: 2.5 % may look better."""
    generator, days, trials = np.random.default_rng(3), 28, 200
    times = np.datetime64("1970-01-01", "ns") + np.arange(days) * np.timedelta64(1, "D")
    other = np.ones((days, 1))
    better = {1: 0, block_length(days): 0}
    for _ in range(trials):
        noise = generator.normal(size=days)
        series = scipy.signal.lfilter([1.0], [1.0, -0.5], noise, zi=[generator.normal() / 3**0.5])
        one = 1.0 + 0.1 * series[0][:, None]
        for length in better:
            found = difference(one, other, times, metric="mae", samples=300, block_days=length)
            better[length] += found.high < 0.0
    assert better[1] > 0.08 * trials
    assert better[block_length(days)] < 0.7 * better[1]
