"""Scores from sums: goldens by hand, and the published table of a real forecast."""

import numpy as np
import pytest
import xarray as xr

from lsntp.errors import EvaluationError
from lsntp.evaluation.metrics import METRICS, lead_metrics, mean_over_leads, rmse_per_cell
from lsntp.evaluation.sums import ValueRange, cell_sums, frame_sums

WEIGHTINGS = ("plain", "area")
SHAPE = (4, 3, 8, 9)
WEIGHTS = np.linspace(0.2, 1.8, 72).reshape(8, 9)
CELLS = ("lead_time", "latitude", "longitude")


def truth_field():
    return 280.0 + 4.0 * np.random.default_rng(1).standard_normal(SHAPE)


def scores(prediction, target, weighting="plain", climatology=280.0, weights=WEIGHTS):
    sums = frame_sums(
        prediction=prediction,
        target=target,
        climatology=np.broadcast_to(climatology, target.shape),
        weights=weights,
        value_range=ValueRange(250.0, 310.0),
    )
    dataset = xr.Dataset({name: (("init_time", "lead_time"), v) for name, v in sums.items()})
    result = lead_metrics(dataset, weighting=weighting)
    maps = cell_sums(prediction=prediction, target=target)
    result["rmse_per_cell"] = rmse_per_cell(
        xr.DataArray(maps["map_squared_error_sum"], dims=CELLS),
        xr.DataArray(maps["map_count"], dims="lead_time"),
        weights=weights if weighting == "area" else None,
    )
    return result


@pytest.mark.parametrize("weighting", WEIGHTINGS)
def test_a_constant_error_of_one_kelvin_is_one_in_every_definition(weighting):
    found = scores(truth_field() + 1.0, truth_field(), weighting)
    for name in ("mae", "bias", "rmse_pooled", "rmse_per_image", "rmse_per_cell", "rmse_psnr"):
        np.testing.assert_allclose(found[name], [1.0, 1.0, 1.0], rtol=1e-9, err_msg=name)
    np.testing.assert_allclose(found["psnr_paper"], 20 * np.log10(255))
    np.testing.assert_allclose(found["psnr_data_range"], 20 * np.log10(60))


@pytest.mark.parametrize("weighting", WEIGHTINGS)
def test_a_perfect_forecast(weighting):
    found = scores(truth_field(), truth_field(), weighting)
    for name in ("mae", "bias", "rmse_pooled", "rmse_per_image", "rmse_per_cell"):
        assert (found[name] == 0.0).all()
    np.testing.assert_allclose(found["rmse_psnr"], 1e-6)  # the stated floor
    for name in ("acc", "ssim_paper", "ssim_data_range"):
        np.testing.assert_allclose(found[name], 1.0)


@pytest.mark.parametrize("weighting", WEIGHTINGS)
def test_sign_flipped_anomalies_correlate_at_minus_one(weighting):
    found = scores(560.0 - truth_field(), truth_field(), weighting)
    np.testing.assert_allclose(found["acc"], -1.0)


def test_the_climatology_itself_has_no_anomaly_correlation():
    climatology = 280.0 + np.random.default_rng(2).standard_normal(SHAPE)
    found = scores(climatology.astype(np.float32), truth_field(), climatology=climatology)
    assert found["acc"].isnull().all()


def test_four_definitions_of_rmse_by_hand():
    # one lead, two frames of two cells, errors [[1, 1], [3, 5]]
    error = np.array([[1.0, 1.0], [3.0, 5.0]]).reshape(2, 1, 1, 2)
    found = scores(280.0 + error, np.full((2, 1, 1, 2), 280.0), weights=np.ones((1, 2)))
    assert found["rmse_pooled"].item() == pytest.approx(3.0)  # sqrt(36 / 4)
    assert found["rmse_per_image"].item() == pytest.approx((1 + np.sqrt(17)) / 2)
    assert found["rmse_per_cell"].item() == pytest.approx((np.sqrt(5) + np.sqrt(13)) / 2)
    assert found["rmse_psnr"].item() == pytest.approx(17**0.25)  # sqrt(1 * sqrt(17))
    assert found["mae"].item() == pytest.approx(2.5)


def test_area_weights_count_a_large_cell_more():
    error = np.array([0.0, 4.0]).reshape(1, 1, 1, 2)
    found = scores(
        280.0 + error, np.full(error.shape, 280.0), "area", weights=np.array([[3.0, 1.0]])
    )
    assert found["mae"].item() == pytest.approx(1.0)
    assert found["rmse_pooled"].item() == pytest.approx(2.0)  # sqrt(16 / 4)
    assert found["rmse_per_cell"].item() == pytest.approx(1.0)


def test_definitions_keep_their_order():
    prediction = truth_field() + np.random.default_rng(3).gamma(1.0, 2.0, SHAPE)
    found = scores(prediction, truth_field())
    assert (found["rmse_psnr"] <= found["rmse_per_image"]).all()
    assert (found["rmse_per_image"] <= found["rmse_pooled"]).all()
    assert (found["rmse_per_cell"] <= found["rmse_pooled"]).all()


def test_unscored_frames_leave_no_trace():
    truth = truth_field()
    prediction = truth + 2.0
    prediction[0] = np.nan
    truth[2, 1] = np.nan
    found = scores(prediction, truth)
    np.testing.assert_allclose(found["mae"], 2.0)
    np.testing.assert_allclose(found["rmse_per_cell"], 2.0)


def test_a_lead_without_frames_is_nan_in_every_score_and_in_the_mean():
    truth = truth_field()
    truth[:, 1] = np.nan
    found = scores(truth_field(), truth)
    assert set(found) == set(METRICS)
    for name in METRICS:
        assert found[name].isnull().values.tolist() == [False, True, False], name
        assert mean_over_leads(found)[name].isnull()


def test_weights_of_another_grid_are_refused():
    with pytest.raises(EvaluationError, match="weights of the map's shape"):
        rmse_per_cell(
            xr.DataArray(np.ones((1, 2, 3)), dims=CELLS),
            xr.DataArray([1], dims="lead_time"),
            weights=np.ones((3, 2)),
        )


def test_the_published_scores_of_persistence_on_real_data(shared_data):
    """ERA5 UK March 2019, last 9 days, persistence: reference/models.md D.4."""
    eccodes = pytest.importorskip("eccodes")
    frames = []
    with (shared_data / "era5" / "era5_t2m_1h_uk_2019-03.grib").open("rb") as file:
        while (message := eccodes.codes_grib_new_from_file(file)) is not None:
            frames.append(eccodes.codes_get_values(message).reshape(33, 49))
            eccodes.codes_release(message)
    fields = np.asarray(frames)
    init = np.arange(22 * 24 + 5, 744 - 6)  # six hours of history inside the last nine days
    truth = np.stack([fields[init + lead] for lead in range(1, 7)], axis=1)
    found = scores(
        np.broadcast_to(fields[init][:, None], truth.shape), truth, weights=np.ones((33, 49))
    )
    np.testing.assert_allclose(found["mae"], [0.326, 0.622, 0.904, 1.169, 1.412, 1.631], rtol=0.01)
    mean = mean_over_leads(found)
    expected = {"pooled": 1.638, "per_image": 1.453, "psnr": 1.261, "per_cell": 1.278}
    for name, value in expected.items():
        assert mean[f"rmse_{name}"].item() == pytest.approx(value, rel=0.01), name
