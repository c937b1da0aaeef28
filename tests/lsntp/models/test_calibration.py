"""Quantiles from validation errors: known distributions are found again, by lead, hour and cell."""

import numpy as np
import pytest
from scipy.stats import norm

from lsntp.errors import TrainingDataError
from lsntp.models.calibration import Calibration, fit_calibration
from lsntp.names import QUANTILES
from lsntp.times import parse_time

HOURS = np.arange(0.0, 24.0, 6.0)
START = parse_time("2021-01-01")


def valid_times(days):
    """Six-hourly initial times (n,), and the valid times (n, 2) of two leads."""
    init_times = START + np.arange(4 * days) * np.timedelta64(6, "h")
    return init_times[:, None] + np.array([6, 12]) * np.timedelta64(1, "h")


def gaussian(days, *, seed, scale):
    """Forecasts of 280 K and a truth that errs by ``scale`` (n, 2, 4, 5)."""
    times = valid_times(days)
    shape = (*times.shape, 4, 5)
    error = np.random.default_rng(seed).normal(0.0, 1.0, shape) * scale
    forecast = np.full(shape, 280.0, np.float32)
    return forecast, forecast + error, times


def below(calibration, forecast, variance, truth, times):
    """The share of truths under each quantile."""
    quantiles = calibration.quantiles(forecast, variance, times)
    return (truth[:, None] <= quantiles).mean(axis=(0, 2, 3, 4))


def test_a_gaussian_error_is_found_again_at_every_lead_and_cell():
    scale = np.ones((1, 2, 4, 5)) * np.array([1.0, 3.0])[:, None, None]
    scale[..., 2:] *= 2  # the eastern cells err twice as much
    forecast, truth, times = gaussian(200, seed=0, scale=scale)
    found = fit_calibration(forecast, 0 * forecast, truth, times, HOURS)
    quantiles = found.quantiles(forecast[:1], 0 * forecast[:1], times[:1])
    expected = 280.0 + norm.ppf(QUANTILES)[None, :, None, None, None] * scale[:, None]
    assert quantiles.shape == (1, 10, 2, 4, 5)
    np.testing.assert_allclose(quantiles, np.broadcast_to(expected, quantiles.shape), atol=1.0)
    np.testing.assert_allclose(quantiles.mean(axis=(3, 4)), expected.mean(axis=(3, 4)), atol=0.25)


def test_new_forecasts_are_covered_as_promised():
    forecast, truth, times = gaussian(100, seed=1, scale=2.0)
    calibration = fit_calibration(forecast, 0 * forecast, truth, times, HOURS)
    forecast, truth, times = gaussian(400, seed=2, scale=2.0)
    share = below(calibration, forecast, 0 * forecast, truth, times)
    np.testing.assert_allclose(share, QUANTILES, atol=0.01)


def test_the_spread_of_the_members_counts_as_far_as_it_tells_the_error():
    numbers = np.random.default_rng(3)
    times = valid_times(300)
    variance = numbers.uniform(0.1, 2.0, (*times.shape, 4, 5))
    forecast = np.full(variance.shape, 280.0)
    truth = forecast + numbers.normal(0, 1, variance.shape) * np.sqrt(4.0 * variance)
    calibration = fit_calibration(forecast, variance, truth, times, HOURS)
    own, shared = calibration.weights.mean(axis=0)
    assert shared == pytest.approx(4.0, rel=0.15)  # the members show a quarter of the variance
    assert own == pytest.approx(0.0, abs=0.1)
    sure, unsure = (
        calibration.quantiles(forecast[:1], np.full_like(forecast[:1], v), times[:1])
        for v in (0.1, 2.0)
    )
    assert np.ptp(unsure) > 3 * np.ptp(sure)


def test_an_hour_of_day_with_enough_days_has_its_own_quantiles_bias_included():
    forecast, truth, times = gaussian(100, seed=4, scale=0.5)
    at_six = (times - START) % np.timedelta64(24, "h") == np.timedelta64(6, "h")
    truth[at_six] += 2.0
    calibration = fit_calibration(forecast, 0 * forecast, truth, times, HOURS)
    quantiles = calibration.quantiles(forecast[:4], 0 * forecast[:4], times[:4])
    middle = quantiles[:, 4:6].mean(axis=(1, 3, 4))
    np.testing.assert_allclose(middle, 280.0 + np.where(at_six[:4], 2.0, 0.0), atol=0.15)


def test_few_days_share_the_quantiles_of_all_hours():
    forecast, truth, times = gaussian(19, seed=5, scale=1.0)
    scores = fit_calibration(forecast, 0 * forecast, truth, times, HOURS).scores
    assert (scores == scores[:1]).all()
    forecast, truth, times = gaussian(21, seed=5, scale=1.0)
    scores = fit_calibration(forecast, 0 * forecast, truth, times, HOURS).scores
    assert not (scores == scores[:1]).all()


def test_no_error_takes_part_in_its_own_scale():
    # Two days, of which the second errs ten times as much: seen from the first half its errors
    # are ten scales, and the outer quantiles must say so.
    scale = np.array([1.0, 1.0, 1.0, 1.0, 10.0, 10.0, 10.0, 10.0])[:, None, None, None]
    forecast, truth, times = gaussian(2, seed=6, scale=scale)
    calibration = fit_calibration(forecast, 0 * forecast, truth, times, HOURS)
    assert calibration.scores.max() > 4.0


def test_quantiles_ascend_and_a_perfect_forecast_is_sure():
    forecast, _, times = gaussian(4, seed=7, scale=0.0)
    calibration = fit_calibration(forecast, 0 * forecast, forecast, times, HOURS)
    quantiles = calibration.quantiles(forecast, 0 * forecast, times)
    assert np.isfinite(quantiles).all()
    assert (np.diff(quantiles, axis=1) >= 0).all()
    np.testing.assert_allclose(quantiles, 280.0, atol=0.01)


def test_one_day_of_validation_is_refused_with_what_to_do():
    forecast, truth, times = gaussian(1, seed=8, scale=1.0)
    with pytest.raises(TrainingDataError, match=r"at least 2 days of validation.*quantiles: false"):
        fit_calibration(forecast, 0 * forecast, truth, times, HOURS)


def test_the_formula_by_hand():
    # s² = 2·3 + 0.5·20 = 16; z = -1, 0 … at lead 1 of hour 6 UTC
    scores = np.zeros((4, 1, 10), np.float32)
    scores[1, 0] = np.arange(-1, 9)
    calibration = Calibration(np.full((1, 1, 1), 3.0), np.array([[2.0, 0.5]]), scores, HOURS)
    times = (START + np.timedelta64(6, "h")).reshape(1, 1)
    found = calibration.quantiles(np.full((1, 1, 1, 1), 280.0), np.full((1, 1, 1, 1), 20.0), times)
    assert found[0, :, 0, 0, 0].tolist() == [280.0 + 4 * z for z in range(-1, 9)]
