"""CRPS of quantiles: an independent library, the integral, hand values, missing values."""

import numpy as np
import properscoring
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import laplace, norm

from lsntp.archives.evaluation import BELOW_SUM, ENSEMBLE_SUMS
from lsntp.errors import EvaluationError
from lsntp.evaluation.crps import coverage, crps, mean_crps, quantile_sums, reliability
from lsntp.names import QUANTILES

WEIGHTS = np.array([[1.0, 1.0], [3.0, 3.0]])
kelvin = st.floats(-40.0, 40.0, allow_nan=False, width=32)


def integral(members, truth):
    """The definition, ∫ (F(x) - 1{x ≥ y})² dx, exact between the sorted points."""
    points = np.sort([*members, truth])
    middle = (points[:-1] + points[1:]) / 2
    below = np.array([np.mean(np.asarray(members) <= x) for x in middle])
    return float((((below - (middle >= truth)) ** 2) * np.diff(points)).sum())


@given(st.lists(kelvin, min_size=10, max_size=10).map(sorted), kelvin)
@settings(max_examples=60, deadline=None)
def test_it_is_the_integral_over_the_step_function_of_ten_equally_likely_values(levels, truth):
    found = float(crps(np.array(levels), np.array(truth), axis=0))
    assert found == pytest.approx(integral(levels, truth), abs=1e-9)


def test_an_independent_library_finds_the_same():
    generator = np.random.default_rng(0)
    levels = np.sort(generator.normal(280, 3, (10, 4, 5)), axis=0)
    truth = generator.normal(280, 3, (4, 5))
    expected = properscoring.crps_ensemble(truth, levels, axis=0)
    np.testing.assert_allclose(crps(levels, truth, axis=0), expected, rtol=1e-12)


def test_quantiles_by_hand():
    # values 1 … 10, truth 3: mean |x - y| = (2+1+0+1+…+7)/10 = 3.1; ½ mean |x - x'| = 33/20 = 1.65
    assert float(crps(np.arange(1.0, 11.0), np.array(3.0), axis=0)) == pytest.approx(1.45)


def test_ten_equal_values_have_the_absolute_error():
    assert float(crps(np.full(10, 280.0), np.array(278.5), axis=0)) == pytest.approx(1.5)


def test_true_quantiles_of_a_gaussian_come_close_to_its_closed_form():
    truth = np.random.default_rng(1).normal(0.0, 1.0, 20_000)
    levels = np.broadcast_to(norm.ppf(QUANTILES)[:, None], (10, truth.size))
    closed = properscoring.crps_gaussian(truth, mu=0.0, sig=1.0).mean()
    assert crps(levels, truth, axis=0).mean() == pytest.approx(closed, abs=0.005)


def example():
    """One forecast, two leads, 2 x 2 cells: quantiles 1 … 10 everywhere, truths by hand."""
    quantiles = np.broadcast_to(np.arange(1.0, 11.0)[None, :, None, None, None], (1, 10, 2, 2, 2))
    truth = np.array([[[[3.0, 3.0], [0.0, 5.5]], [[3.0, 3.0], [3.0, np.nan]]]])
    return quantiles, truth


def test_the_sums_of_a_frame_by_hand():
    quantiles, truth = example()
    sums = quantile_sums(quantiles=quantiles, target=truth, weights=WEIGHTS)
    assert sums.keys() == ENSEMBLE_SUMS.keys()
    # CRPS 1.45, 1.45; of 0: 5.5 - 1.65 = 3.85; of 5.5: 2.5 - 1.65 = 0.85. Areas 1/2, 1/2, 3/2, 3/2.
    assert sums["crps_sum"][0, 0] == pytest.approx(7.6)
    assert sums["area_crps_sum"][0, 0] == pytest.approx(1.45 + 1.5 * 4.7)
    # the variance of 1 … 10 is 82.5 / 9
    assert sums["spread_square_sum"][0, 0] == pytest.approx(4 * 82.5 / 9)
    assert sums["area_spread_square_sum"][0, 0] == pytest.approx(4 * 82.5 / 9)
    # truth <= 1: 0.0 alone (area 3/2); <= 3: also the two 3.0 (1/2 each); <= 6: all
    assert sums[BELOW_SUM][0, 0].tolist() == [1.5, 1.5, 2.5, 2.5, 2.5, 4, 4, 4, 4, 4]


def test_a_frame_with_a_hole_has_no_sums():
    quantiles, truth = example()
    sums = quantile_sums(quantiles=quantiles, target=truth, weights=WEIGHTS)
    for name, values in sums.items():
        assert np.isnan(values[0, 1]).all(), name


@pytest.mark.parametrize("shape", [(1, 2, 2, 2), (1, 9, 2, 2, 2), (1, 10, 2, 2, 3)])
def test_shapes_that_do_not_fit_are_refused(shape):
    with pytest.raises(EvaluationError, match="Expected quantiles"):
        quantile_sums(quantiles=np.zeros(shape), target=np.zeros((1, 2, 2, 2)), weights=WEIGHTS)


def frames(crps_sums=None):
    dims = ("init_time", "lead_time")
    arrays = {"count": [[4], [4], [0]], "absolute_error_sum": [[8.0], [4.0], [np.nan]]}
    if crps_sums is not None:
        arrays["crps_sum"] = crps_sums
    return xr.Dataset({name: (dims, np.array(values)) for name, values in arrays.items()})


def test_forecasts_without_quantiles_have_their_mae():
    assert mean_crps(frames(), weighting="plain").values == pytest.approx([12 / 8])


def test_frames_without_quantiles_count_with_their_absolute_error():
    mixed = frames(crps_sums=[[2.0], [np.nan], [np.nan]])
    assert mean_crps(mixed, weighting="plain").values == pytest.approx([(2 + 4) / 8])


def stored():
    """Two frames of four cells with quantiles, one without, one not scored."""
    dims = ("init_time", "lead_time")
    below = np.full((4, 1, 10), np.nan)
    below[0, 0] = np.arange(10) * 0.4
    below[1, 0] = 4 * np.array(QUANTILES)
    arrays = {
        "count": [[4], [4], [4], [0]],
        "area_crps_sum": [[2.0], [2.0], [np.nan], [np.nan]],
        "area_spread_square_sum": [[4.0], [12.0], [np.nan], [np.nan]],
        "area_squared_error_sum": [[16.0], [16.0], [999.0], [np.nan]],
    }
    data = xr.Dataset({name: (dims, np.array(values)) for name, values in arrays.items()})
    return data.assign({BELOW_SUM: ((*dims, "quantile"), below)})


def test_spread_skill_and_reliability_are_of_the_frames_with_quantiles_alone():
    found = reliability(stored())
    assert found["frames"].values.tolist() == [2]
    assert found["spread"].values == pytest.approx([2**0.5])  # (4 + 12) / 8
    assert found["rmse"].values == pytest.approx([2.0])  # (16 + 16) / 8
    assert found["spread_skill"].values == pytest.approx([0.5**0.5])
    expected = (np.arange(10) * 0.4 + 4 * np.array(QUANTILES)) / 8
    np.testing.assert_allclose(found["below"].values[0], expected)


@pytest.mark.parametrize(
    ("errors", "ratio"), [(norm(), 0.989), (laplace(scale=0.5**0.5), 0.905)]
)  # both of standard deviation 1
def test_ten_calibrated_quantiles_spread_less_than_errors_whose_tails_they_miss(errors, ratio):
    levels = errors.ppf(QUANTILES).reshape(1, 10, 1, 1, 1)
    truth, area = np.zeros((1, 1, 1, 1)), np.ones((1, 1))
    sums = quantile_sums(quantiles=levels, target=truth, weights=area)
    assert sums["spread_square_sum"][0, 0] ** 0.5 == pytest.approx(ratio, abs=5e-4)


def test_coverage_is_the_share_between_the_outer_quantiles():
    found = coverage(reliability(stored())["below"])
    assert list(found) == [0.9, 0.7, 0.5, 0.3, 0.1]
    # below 0.95: (3.6 + 3.8) / 8, below 0.05: (0 + 0.2) / 8
    assert found[0.9].values == pytest.approx([7.2 / 8])


def test_no_frame_with_quantiles_gives_no_number():
    empty = stored().isel(init_time=[2, 3])
    assert np.isnan(reliability(empty)["spread_skill"].values).all()
