"""Frame sums, SSIM, PSNR: against arithmetic done by hand."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from lsntp.archives.evaluation import FRAME_SUMS
from lsntp.errors import EvaluationError
from lsntp.evaluation.sums import ValueRange, cell_sums, frame_sums, merge, psnr, ssim

RANGE = ValueRange(250.0, 300.0)
FLAT = np.ones((8, 9))


def field(seed=0, shape=(2, 3, 8, 9)):
    return 275.0 + 5.0 * np.random.default_rng(seed).standard_normal(shape)


def sums_of(prediction, target, climatology=None, weights=FLAT):
    normal = np.full_like(target, 270.0) if climatology is None else climatology
    return frame_sums(
        prediction=prediction,
        target=target,
        climatology=normal,
        weights=weights,
        value_range=RANGE,
    )


def test_every_stored_sum_is_computed_for_every_frame():
    sums = sums_of(field(0), field(1))
    assert set(sums) == set(FRAME_SUMS)
    assert all(values.shape == (2, 3) for values in sums.values())


def test_two_cells_by_hand():
    # prediction 281, 276; truth 279, 277; climatology 278, 278; areas 1, 3 -> weights 1/2, 3/2
    sums = frame_sums(
        prediction=np.array([[[[281.0, 276.0]]]], np.float32),
        target=np.array([[[[279.0, 277.0]]]], np.float32),
        climatology=np.full((1, 1, 1, 2), 278.0, np.float32),
        weights=np.array([[1.0, 3.0]]),
        value_range=RANGE,
    )
    found = {name: values.item() for name, values in sums.items() if name[:1] != "s"}
    assert found.pop("count") == 2
    assert found.pop("psnr_paper") == pytest.approx(20 * np.log10(255 / np.sqrt(2.5)))
    assert found.pop("psnr_data_range") == pytest.approx(20 * np.log10(50 / np.sqrt(2.5)))
    assert np.isnan(found.pop("ssim_paper", np.nan))
    assert found == pytest.approx(
        {
            "error_sum": 1.0,  # 2 - 1
            "area_error_sum": -0.5,  # 2/2 - 3/2
            "absolute_error_sum": 3.0,
            "area_absolute_error_sum": 2.5,
            "area_squared_error_sum": 3.5,  # 4/2 + 3/2
            "anomaly_product_sum": 5.0,  # 3*1 + (-2)(-1)
            "area_anomaly_product_sum": 4.5,  # 3/2 + 2*3/2
            "forecast_anomaly_square_sum": 13.0,
            "area_forecast_anomaly_square_sum": 10.5,
            "truth_anomaly_square_sum": 2.0,
            "area_truth_anomaly_square_sum": 2.0,
        }
    )
    assert sums["squared_error_sum"].item() == pytest.approx(5.0)


@given(st.floats(0.1, 100.0))
@settings(max_examples=20, deadline=None)
def test_the_scale_of_the_weights_does_not_matter(scale):
    weights = np.linspace(1.0, 2.0, FLAT.size).reshape(FLAT.shape)
    one, other = (sums_of(field(0), field(1), weights=w) for w in (weights, scale * weights))
    for name in one:
        np.testing.assert_allclose(one[name], other[name], rtol=1e-12)


def test_a_constant_error_has_the_same_plain_and_area_sums():
    weights = np.linspace(0.1, 2.0, FLAT.size).reshape(FLAT.shape)
    sums = sums_of(field() + 1.0, field(), weights=weights)
    for name in ("error_sum", "absolute_error_sum", "squared_error_sum"):
        np.testing.assert_allclose(sums[name], FLAT.size)
        np.testing.assert_allclose(sums[f"area_{name}"], FLAT.size)


def test_a_frame_with_a_hole_is_not_counted_and_never_zero():
    truth = field(1)
    truth[1, 2, 0, 0] = np.nan
    sums = sums_of(field(0), truth)
    assert sums["count"][1, 2] == 0
    assert sums["count"].sum() == 5 * FLAT.size
    assert all(np.isnan(sums[name][1, 2]) for name in sums if name != "count")
    assert all(np.isfinite(sums[name][0]).all() for name in sums)


@given(arrays(np.float64, (1, 1, 8, 9), elements=st.floats(220.0, 320.0, width=32)))
@settings(max_examples=20, deadline=None)
def test_single_and_double_precision_input_agree(prediction):
    single = sums_of(prediction.astype(np.float32), field(1, (1, 1, 8, 9)))
    double = sums_of(prediction, field(1, (1, 1, 8, 9)))
    for name in single:
        np.testing.assert_allclose(single[name], double[name], rtol=1e-9, atol=1e-9)


def test_ssim_and_psnr_follow_both_conventions():
    prediction, truth = field(0), field(1)
    sums = sums_of(prediction, truth)
    scaled = (prediction[0, 1] - 250.0) / 50.0, (truth[0, 1] - 250.0) / 50.0
    assert sums["ssim_data_range"][0, 1] == pytest.approx(
        structural_similarity(*scaled, data_range=1.0), abs=1e-12
    )
    assert sums["ssim_paper"][0, 1] == pytest.approx(
        structural_similarity(prediction[0, 1], truth[0, 1], data_range=2.0), abs=1e-12
    )
    assert sums["psnr_paper"][0, 1] == pytest.approx(
        peak_signal_noise_ratio(truth[0, 1], prediction[0, 1], data_range=255.0)
    )
    assert sums["psnr_data_range"][0, 1] == pytest.approx(
        peak_signal_noise_ratio(*scaled[::-1], data_range=1.0)
    )


def test_ssim_equals_the_formula_of_wang_on_one_window():
    # 7x7 frames hold one window: SSIM by its definition, sample (co)variances
    x, y = field(0, (1, 1, 7, 7)), field(1, (1, 1, 7, 7))
    c1, c2 = 0.02**2, 0.06**2
    covariance = np.cov(x.ravel(), y.ravel())
    expected = (
        (2 * x.mean() * y.mean() + c1)
        * (2 * covariance[0, 1] + c2)
        / ((x.mean() ** 2 + y.mean() ** 2 + c1) * (covariance[0, 0] + covariance[1, 1] + c2))
    )
    assert ssim(x, y, data_range=2.0).item() == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("shape", [(1, 1, 6, 20), (1, 1, 20, 6)])
def test_ssim_is_nan_where_its_window_does_not_fit(shape):
    assert np.isnan(ssim(field(0, shape), field(1, shape), data_range=2.0)).all()


def test_an_error_of_one_kelvin_is_48_decibel_of_the_paper():
    assert psnr(np.array([1.0]), data_range=255.0) == pytest.approx(20 * np.log10(255))


def test_a_perfect_frame_has_a_finite_psnr_and_similarity_one():
    sums = sums_of(field(), field())
    np.testing.assert_allclose(sums["psnr_paper"], 20 * np.log10(255e6))
    np.testing.assert_allclose(sums["ssim_paper"], 1.0)
    np.testing.assert_allclose(sums["ssim_data_range"], 1.0)


def test_cell_sums_of_two_halves_merge_to_the_whole():
    prediction, truth = field(0, (5, 3, 8, 9)), field(1, (5, 3, 8, 9))
    truth[4, 2, 3, 3] = np.nan
    whole = cell_sums(prediction=prediction, target=truth)
    halves = merge(
        cell_sums(prediction=prediction[:2], target=truth[:2]),
        cell_sums(prediction=prediction[2:], target=truth[2:]),
    )
    assert whole["map_count"].tolist() == [5, 5, 4]
    for name in whole:
        np.testing.assert_allclose(whole[name], halves[name], rtol=1e-12)


def test_cell_sums_by_hand():
    truth = np.zeros((2, 1, 1, 1))
    sums = cell_sums(prediction=truth + np.array([1.0, -3.0])[:, None, None, None], target=truth)
    found = [sums[f"map_{name}"].item() for name in ("count", "error_sum", "squared_error_sum")]
    assert found == [2, -2.0, 10.0]
    assert sums["map_absolute_error_sum"].item() == 4.0


def test_shapes_that_do_not_belong_together_are_refused():
    with pytest.raises(EvaluationError, match="one shape on the grid"):
        sums_of(field(), field()[:, :2])


def test_a_range_without_width_is_refused():
    with pytest.raises(EvaluationError, match="rebuild the training archive"):
        ValueRange(280.0, 280.0)
