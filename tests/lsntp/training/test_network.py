import numpy as np
import pytest
import torch
from torch import nn

from lsntp.config import NetworkConfig
from lsntp.errors import ModelError
from lsntp.times import hours
from lsntp.training.fit import prepare, train
from lsntp.training.history import open_analysis, read_fields
from lsntp.training.loading import load_forecaster
from lsntp.training.network import make_forecaster
from lsntp.training.versions import latest_version
from lsntp.workspace import Workspace
from tests.lsntp.training.made_versions import rewrite


class Zero(nn.Module):
    """Predicts 0 of whatever the target is."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))

    def forward(self, history, known_future=None, static=None):
        batch, _, channels, height, width = history.shape
        return self.weight.expand(batch, 3, channels, height, width)


@pytest.fixture
def init_times(trained):
    return open_analysis(trained).times[100:140]


def zero_forecast(domain, init_times, **config):
    (archive,) = prepare(domain)
    settings = NetworkConfig.model_validate({"scaling": "standard", **config})
    forecaster = make_forecaster("zero", [Zero()], settings, archive.statistics, domain)
    history = read_fields(open_analysis(domain), init_times, forecaster.offsets)
    return forecaster.forecast(history, init_times), history, archive.statistics


def test_no_increment_is_persistence(trained, init_times):
    prediction, history, _ = zero_forecast(trained, init_times, target="increment")
    np.testing.assert_allclose(prediction, np.repeat(history[:, -1:], 3, axis=1), rtol=1e-6)


def test_no_anomaly_is_the_climatology_of_the_valid_time(trained, init_times):
    prediction, _, statistics = zero_forecast(trained, init_times, target="anomaly")
    for step in range(3):
        valid_times = init_times + (step + 1) * trained.cadence
        expected = statistics.climatology.at(valid_times)
        np.testing.assert_allclose(prediction[:, step], expected, rtol=1e-6)


@pytest.mark.parametrize(
    ("scaling", "value"),
    [
        ("standard", lambda s: s.mean),
        ("min-max-01", lambda s: s.minimum),
        ("min-max-11", lambda s: (s.minimum + s.maximum) / 2),
    ],
)
def test_an_absolute_zero_is_the_offset_of_the_scaling(trained, init_times, scaling, value):
    prediction, _, statistics = zero_forecast(
        trained, init_times, target="absolute", scaling=scaling
    )
    np.testing.assert_allclose(prediction, value(statistics), rtol=1e-6)


def test_forecasts_do_not_depend_on_their_neighbours(trained, init_times):
    forecaster = load_forecaster(latest_version(Workspace.of(trained).models, "net"), trained)
    history = read_fields(open_analysis(trained), init_times, forecaster.offsets)
    together = forecaster.forecast(history, init_times)
    alone = forecaster.forecast(history[23:24], init_times[23:24])
    np.testing.assert_allclose(together[23:24], alone, rtol=1e-5)
    assert together.dtype == np.float32
    assert together.shape == (40, 3, 6, 8)


def test_an_incomplete_history_is_refused(trained, init_times):
    forecaster = load_forecaster(latest_version(Workspace.of(trained).models, "net"), trained)
    history = read_fields(open_analysis(trained), init_times[:2], forecaster.offsets)
    history[1, 0, 0, 0] = np.nan
    with pytest.raises(ModelError, match="complete history"):
        forecaster.forecast(history, init_times[:2])


def test_a_version_whose_configuration_lost_its_network_is_refused(trained):
    version = latest_version(Workspace.of(trained).models, "net")
    version = rewrite(version, "config.yaml", "networks: {}\n")
    with pytest.raises(ModelError, match=r"Expected networks\.net"):
        load_forecaster(version, trained)


TOLD = {
    "plus": {
        "name": "lsntp",
        "configuration": "plus",
        "hidden": 2,
        "embedding": 3,
        "stem": 2,
        "width": 3,
        "context": 1,
    },
    "convnet": {"name": "convnet", "width": 3, "blocks": 1},
    "yesterday": {"name": "convnet", "width": 3, "blocks": 1, "yesterday": True},
    "convlstm": {"name": "convlstm", "hidden": 2, "kernel": 3},
}


@pytest.mark.parametrize("name", TOLD)
def test_a_network_that_is_told_more_trains_is_stored_and_forecasts_alike(ingested, name):
    config = NetworkConfig.model_validate(
        {
            "architecture": TOLD[name],
            "scaling": "standard",
            "training": {"epochs": 2, "batch_size": 16, "loss": "mae", "ema": 0.9, "seed": 1},
        }
    )
    domain = ingested.model_copy(update={"networks": {"told": config}})
    (report,) = train(domain, models=["told"])
    assert report.created
    assert report.validation_mae_k is not None
    version = latest_version(Workspace.of(domain).models, "told")
    forecaster = load_forecaster(version, domain)
    analysis = open_analysis(domain)
    init_times = analysis.times[100:103]
    history = read_fields(analysis, init_times, forecaster.offsets)
    found = forecaster.forecast(history, init_times)
    # The loss of the log is the mean absolute error of the normalised fields.
    (archive,) = prepare(domain)
    assert version.scores["validation_loss"] * archive.scaler.factor == pytest.approx(
        report.validation_mae_k, rel=1e-3
    )
    if name != "convlstm":
        assert not np.allclose(found, forecaster.forecast(history, init_times + 12 * hours(1)))
