import json

import numpy as np
import pytest
import yaml

from lsntp.errors import ModelError
from lsntp.training.history import open_analysis, read_fields
from lsntp.training.loading import load_forecaster
from lsntp.training.versions import ModelVersion, latest_version
from lsntp.workspace import Workspace
from tests.lsntp.training.made_versions import rewrite

INIT_TIMES = np.array(["2021-01-13T06", "2021-01-14T18"], "datetime64[ns]")


def version_of(domain, model):
    return latest_version(Workspace.of(domain).models, model)


def forecast(domain, forecaster):
    history = read_fields(open_analysis(domain), INIT_TIMES, forecaster.offsets)
    return forecaster.forecast(history, INIT_TIMES)


@pytest.mark.parametrize(
    ("model", "offsets"),
    [
        ("persistence", (0,)),
        ("net", (-3, -2, -1, 0)),  # a history of four
    ],
)
def test_a_forecaster_asks_for_the_history_of_its_model(trained, model, offsets):
    forecaster = load_forecaster(version_of(trained, model), trained)
    assert (forecaster.name, forecaster.offsets) == (model, offsets)


def test_every_version_of_the_domain_forecasts(trained):
    for model in trained.model_names:
        fields = forecast(trained, load_forecaster(version_of(trained, model), trained))
        assert (fields.shape, fields.dtype) == ((2, 3, 6, 8), np.float32), model
        assert np.isfinite(fields).all(), model


def test_a_network_of_two_loads_forecasts_the_same_bits(trained):
    first, second = (load_forecaster(version_of(trained, "net"), trained) for _ in range(2))
    np.testing.assert_array_equal(forecast(trained, first), forecast(trained, second))


def test_loading_changes_no_file(trained):
    for model in ("ridge", "net"):
        version = version_of(trained, model)
        before = {path.name: path.read_bytes() for path in version.path.iterdir()}
        load_forecaster(version, trained)
        assert {path.name: path.read_bytes() for path in version.path.iterdir()} == before


def test_the_network_is_the_one_of_the_version_not_of_todays_domain(trained, make_domain):
    network = trained.model_dump(mode="json")["networks"]["net"]
    network["architecture"] |= {"hidden": 5}
    today = make_domain(Workspace.of(trained).root, networks={"net": network})
    version = version_of(trained, "net")
    then, now = (forecast(trained, load_forecaster(version, domain)) for domain in (trained, today))
    np.testing.assert_array_equal(now, then)


def test_weights_of_another_network_than_the_stored_configuration_are_refused(trained):
    version = version_of(trained, "net")
    config = version.config
    config["networks"]["net"]["architecture"]["hidden"] = 5
    changed = rewrite(version, "config.yaml", yaml.safe_dump(config))
    with pytest.raises(ModelError, match=r"network\..* expected"):
        load_forecaster(changed, trained)


def test_a_network_that_calls_itself_a_baseline_is_refused(trained):
    path = version_of(trained, "net").path
    content = json.loads((path / "provenance.json").read_text())
    content["recipe"]["kind"] = "baseline"
    (path / "provenance.json").write_text(json.dumps(content))
    with pytest.raises(ModelError, match=r"network\.\S+ not expected"):
        load_forecaster(ModelVersion.open(path), trained)


@pytest.mark.parametrize("model", ["persistence", "net"])
def test_a_version_that_does_not_fit_is_refused_before_its_weights_are_read(trained, model):
    version = version_of(trained, model)
    (version.path / "model.safetensors").write_bytes(b"damaged")
    longer = trained.model_copy(update={"horizon": 6})
    with pytest.raises(ModelError, match="horizon 6, found 3"):
        load_forecaster(version, longer)
