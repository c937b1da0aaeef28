"""From a calibrated ensemble to its scores, on the small domain, by the ordinary steps."""

import shutil

import numpy as np
import pytest
import xarray as xr

from lsntp.archives.evaluation import ENSEMBLE_SUMS
from lsntp.archives.verification import verify_archive
from lsntp.errors import EvaluationError
from lsntp.evaluation.scoring import evaluate
from lsntp.evaluation.skill import skill_table
from lsntp.evaluation.uncertainty import uncertainty_scores
from lsntp.forecasting import forecast_models
from lsntp.names import QUANTILES
from lsntp.report.site import render_pages
from lsntp.times import Period, parse_time
from lsntp.training import latest_version, train
from lsntp.training.history import open_analysis, read_fields
from lsntp.training.loading import load_forecaster
from lsntp.workspace import Workspace

TEST = Period(parse_time("2021-01-12T12"), parse_time("2021-01-14"))


def calibrated(domain, **changes):
    network = domain.networks["net"].model_copy(update={"quantiles": True, **changes})
    return domain.model_copy(update={"networks": {"net": network}})


@pytest.fixture(scope="module")
def _sure_root(_trained_root, make_domain, tmp_path_factory):
    root = tmp_path_factory.mktemp("sure") / "root"
    shutil.copytree(_trained_root, root)
    domain = calibrated(make_domain(root), members=2)
    train(domain, models=["net"])
    forecast_models(domain, models=["net", "persistence"], period=TEST)
    evaluate(domain)
    return root


@pytest.fixture
def sure(_sure_root, make_domain, tmp_path):
    shutil.copytree(_sure_root, tmp_path / "root")
    return calibrated(make_domain(tmp_path / "root"), members=2)


def opened(domain, model):
    return xr.open_zarr(Workspace.of(domain).forecast(model), chunks=None).sel(
        init_time=slice("2021-01-12T12", "2021-01-13T23")
    )


def test_a_calibrated_model_writes_quantiles_and_a_baseline_none(sure):
    net, persistence = opened(sure, "net"), opened(sure, "persistence")
    assert np.isfinite(net["t2m_quantile"]).all()
    assert (net["t2m_quantile"].diff("quantile") > 0).all()
    assert "t2m_quantile" not in persistence
    assert net["t2m"].dims == persistence["t2m"].dims
    for model in ("net", "persistence"):
        report = verify_archive(Workspace.of(sure).forecast(model), "forecast")
        assert not report.findings


def test_the_version_gives_the_same_quantiles_again(sure):
    forecaster = load_forecaster(latest_version(Workspace.of(sure).models, "net"), sure)
    init_times = open_analysis(sure).times[290:293]
    history = read_fields(open_analysis(sure), init_times, forecaster.offsets)
    t2m, quantiles = forecaster.forecast_with_quantiles(history, init_times)
    stored = xr.open_zarr(Workspace.of(sure).forecast("net"), chunks=None).sel(init_time=init_times)
    np.testing.assert_allclose(stored["t2m"], t2m, rtol=1e-6)
    np.testing.assert_allclose(stored["t2m_quantile"], quantiles, rtol=1e-6)


def test_calibrating_changes_no_forecast(sure):
    plain = calibrated(sure, members=2, quantiles=False)
    train(plain, models=["net"])
    with_quantiles, without = (
        load_forecaster(latest_version(Workspace.of(sure).models, "net"), domain)
        for domain in (sure, plain)
    )
    assert without.calibration is None
    init_times = open_analysis(sure).times[290:293]
    history = read_fields(open_analysis(sure), init_times, without.offsets)
    np.testing.assert_array_equal(
        without.forecast(history, init_times), with_quantiles.forecast(history, init_times)
    )


def test_scores_are_those_of_the_stored_quantiles(sure):
    table = skill_table(sure, models=["net", "persistence"])
    found = uncertainty_scores(sure, table.models, table.init_times)
    net = opened(sure, "net").sel(init_time=table.init_times)
    truth = open_analysis(sure).read(net["valid_time"].values.ravel())
    truth = truth.reshape(net["t2m"].shape).astype(np.float64)
    weights = sure.target_grid.area_weights
    area = weights / weights.sum()
    quantiles = net["t2m_quantile"].values.astype(np.float64)
    below = ((truth[:, None] <= quantiles) * area).sum(axis=(3, 4)).mean(axis=0).T
    at = found.sel(model="net")
    np.testing.assert_allclose(at["below"], below, atol=1e-9)
    np.testing.assert_allclose(at["coverage"].sel(promised=0.9), below[:, 9] - below[:, 0])
    # CRPS as the mean distance to the truth less half the mean distance to each other
    distance = np.abs(quantiles - truth[:, None]).mean(axis=1)
    pairs = np.abs(quantiles[:, :, None] - quantiles[:, None]).mean(axis=(1, 2)) / 2
    expected = ((distance - pairs) * area).sum(axis=(2, 3)).mean(axis=0)
    np.testing.assert_allclose(at["crps"], expected, rtol=1e-6)
    assert (at["crps"] < at["mae"]).all()
    assert ((at["spread_skill"] > 0.5) & (at["spread_skill"] < 2)).all()


def test_the_crps_of_a_baseline_is_its_mae(sure):
    table = skill_table(sure, models=["net", "persistence"])
    found = uncertainty_scores(sure, table.models, table.init_times).sel(model="persistence")
    np.testing.assert_array_equal(found["crps"], found["mae"])
    assert np.isnan(found["spread_skill"]).all()
    assert found["frames"].values.tolist() == [0, 0, 0]


def test_scoring_again_does_nothing_and_scoring_in_parts_gives_the_same(sure):
    assert evaluate(sure).did_nothing
    stored = xr.open_zarr(Workspace.of(sure).evaluation, chunks=None).load()
    shutil.rmtree(Workspace.of(sure).evaluation)
    shutil.rmtree(Workspace.of(sure).forecast("net"))
    half = Period(TEST.start, parse_time("2021-01-13"))
    forecast_models(sure, models=["net"], period=half)
    evaluate(sure, models=["net"])
    forecast_models(sure, models=["net"], period=TEST)
    evaluate(sure, models=["net"])
    evaluate(sure)
    again = (
        xr.open_zarr(Workspace.of(sure).evaluation, chunks=None).sel(model=stored["model"]).load()
    )
    for name in ENSEMBLE_SUMS:
        np.testing.assert_allclose(again[name], stored[name], rtol=1e-9, err_msg=name)


def test_without_quantiles_the_error_says_how_to_have_them(trained):
    forecast_models(trained, models=["persistence"], period=TEST)
    evaluate(trained)
    table = skill_table(trained)
    with pytest.raises(EvaluationError, match=r"quantiles: true"):
        uncertainty_scores(trained, table.models, table.init_times)
    page = render_pages(trained)["skill.html"]
    assert "How sure the forecasts are" in page
    assert "quantiles: true" in page


def test_the_report_draws_reliability_spread_and_crps(sure):
    page = render_pages(sure)["skill.html"]
    for chart in ("crps", "spread-skill", "reliability"):
        assert f'id="line-{chart}-net"' in page
    assert "inside 90%" in page
    assert len(QUANTILES) == 10


def test_a_validation_block_too_short_to_calibrate_on_is_refused_before_any_fit(
    ingested, monkeypatch
):
    from lsntp.errors import TrainingDataError
    from lsntp.training import fit

    split = ingested.split.model_dump(mode="json")
    split["validation"]["end"] = "2021-01-10T12:00:00"
    domain = calibrated(
        ingested.model_copy(update={"split": type(ingested.split).model_validate(split)})
    )
    monkeypatch.setattr(fit, "build_training_archive", lambda *_: pytest.fail("began"))
    with pytest.raises(TrainingDataError, match=r"at least 2 days of validation"):
        train(domain, models=["net"])
