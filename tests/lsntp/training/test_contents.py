import numpy as np
import pytest

from lsntp.errors import ModelError
from lsntp.training.contents import climatology_shapes, restore_statistics
from lsntp.training.fit import prepare, train
from lsntp.training.history import open_analysis, read_fields
from lsntp.training.loading import load_forecaster
from lsntp.training.versions import latest_version
from lsntp.workspace import Workspace
from tests.lsntp.training.made_versions import rewrite

LAST_DAY = np.array(["2021-01-14T12", "2021-01-15T03"], "datetime64[ns]")


def forecast_of(domain, model):
    forecaster = load_forecaster(latest_version(Workspace.of(domain).models, model), domain)
    history = read_fields(open_analysis(domain), LAST_DAY, forecaster.offsets)
    return forecaster.forecast(history, LAST_DAY), history


def test_statistics_come_back_as_they_were(trained):
    (archive,) = prepare(trained)
    version = latest_version(Workspace.of(trained).models, "persistence")
    restored = restore_statistics(version, version.tensors())
    assert restored.to_dict() == archive.statistics.to_dict()
    np.testing.assert_array_equal(
        restored.climatology.at(LAST_DAY), archive.statistics.climatology.at(LAST_DAY)
    )


def test_statistics_of_another_kind_are_refused(trained):
    version = latest_version(Workspace.of(trained).models, "persistence")
    version = rewrite(version, "statistics.json", '{"mean": 280.0}')
    with pytest.raises(ModelError, match=r"found other content.*period"):
        restore_statistics(version, version.tensors())


def test_restored_persistence_repeats_the_last_field(trained):
    prediction, history = forecast_of(trained, "persistence")
    for lead in range(3):
        np.testing.assert_array_equal(prediction[:, lead], history[:, -1])


def test_restored_climatology_is_the_training_mean_of_the_hour(trained):
    prediction, _ = forecast_of(trained, "climatology")
    # 12 UTC + 2 h: the mean of eight fields at 14 UTC, 2021-01-01 to 2021-01-08
    days = np.arange("2021-01-01T14", "2021-01-09T14", 24, dtype="datetime64[h]")
    expected = open_analysis(trained).read(days.astype("datetime64[ns]")).mean(axis=0)
    np.testing.assert_allclose(prediction[0, 1], expected, atol=1e-4)


def test_ridge_knows_the_hour_of_day_alone_even_when_the_climatology_knows_the_season(
    tmp_path, make_domain, publish
):
    split = {
        "train": {"start": "2021-01-01", "end": "2023-02-10"},
        "validation": {"start": "2023-02-10", "end": "2023-03-01"},
        "test": {"start": "2023-03-01", "end": "2023-04-01"},
    }
    domain = make_domain(tmp_path, cadence_h=12, split=split, networks={})
    count = 2 * 790
    season = 10 * np.cos(np.arange(count) / 730 * 2 * np.pi)[:, None, None]
    noise = np.random.default_rng(0).normal(0, 2, (count, 6, 8))
    fields = (280 + season + noise).astype(np.float32)
    publish(domain, fields)
    train(domain, models=["ridge", "climatology"])
    ridge, climatology = (
        load_forecaster(latest_version(Workspace.of(domain).models, model), domain).climatology
        for model in ("ridge", "climatology")
    )
    assert climatology.is_seasonal
    assert not ridge.is_seasonal
    trained = fields[: 2 * 770].astype(float)  # 1 January 2021 to 9 February 2023
    means = np.stack([trained[0::2].mean(axis=0), trained[1::2].mean(axis=0)])
    np.testing.assert_allclose(ridge.coefficients[:, 0], means, atol=1e-3)


def test_restored_ridge_beats_persistence_on_the_small_domain(trained):
    analysis = open_analysis(trained)
    truth = read_fields(analysis, LAST_DAY, (1, 2, 3))
    error = {
        model: np.abs(forecast_of(trained, model)[0] - truth).mean()
        for model in ("ridge", "persistence")
    }
    assert error["ridge"] < error["persistence"] / 2


@pytest.mark.parametrize("terms", [1, 9])
def test_both_kinds_of_climatology_are_expected(trained, terms):
    found = {"climatology.coefficients": np.zeros((24, terms, 6, 8))}
    shapes = climatology_shapes(trained, found)
    assert shapes["climatology.coefficients"] == (24, terms, 6, 8)
    assert shapes["climatology.hours_of_day"] == (24,)
