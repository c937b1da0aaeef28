"""Which architecture a domain file names."""

import pytest
from pydantic import ValidationError

from lsntp.config import ConvlstmConfig, ConvnetConfig, LsntpConfig, NetworkConfig, TrainingConfig


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        ({"name": "convlstm", "hidden": 3}, ConvlstmConfig),
        ({"name": "convnet", "width": 3}, ConvnetConfig),
        ({"name": "lsntp", "hidden": 3}, LsntpConfig),
        ({"hidden": 3}, LsntpConfig),  # as before there was a choice
    ],
)
def test_an_architecture_is_known_by_its_name_and_read_again_as_it_was(content, kind):
    network = NetworkConfig.model_validate({"architecture": content})
    assert type(network.architecture) is kind
    assert NetworkConfig.model_validate(network.model_dump(mode="json")) == network


def test_another_name_is_refused_with_those_there_are():
    with pytest.raises(ValidationError, match="'lsntp', 'convlstm', 'convnet'"):
        NetworkConfig.model_validate({"architecture": {"name": "oracle"}})


def test_a_switch_of_another_network_is_refused():
    with pytest.raises(ValidationError, match="attention_layers"):
        NetworkConfig.model_validate({"architecture": {"name": "convnet", "attention_layers": 2}})


@pytest.mark.parametrize(
    "architecture", [{"name": "convnet"}, {"name": "lsntp", "configuration": "plus"}]
)
def test_a_network_that_adds_up_its_changes_itself_has_no_increment_as_target(architecture):
    with pytest.raises(ValidationError, match=r"expected target: absolute .* found increment"):
        NetworkConfig.model_validate({"architecture": architecture, "target": "increment"})
    plain = {"architecture": {"name": "convlstm"}, "target": "increment"}
    assert NetworkConfig.model_validate(plain).target == "increment"


@pytest.mark.parametrize("target", ["increment", "anomaly"])
@pytest.mark.parametrize("configuration", ["paper", "official"])
def test_frames_that_are_fed_back_are_temperatures_as_the_analyses_are(configuration, target):
    fed_back = {"configuration": configuration, "decoder_input": "forecast"}
    message = f"target: absolute with architecture.decoder_input: forecast.* found {target}"
    with pytest.raises(ValidationError, match=message):
        NetworkConfig.model_validate({"architecture": fed_back, "target": target})
    NetworkConfig.model_validate({"architecture": fed_back})
    NetworkConfig.model_validate({"architecture": {"configuration": "paper"}, "target": target})


def test_the_loss_is_written_only_where_it_is_not_the_one_of_before_there_was_a_choice():
    assert "loss" not in TrainingConfig().model_dump(mode="json")
    dumped = TrainingConfig(loss="mae").model_dump(mode="json")
    assert dumped["loss"] == "mae"
    assert TrainingConfig.model_validate(dumped) == TrainingConfig(loss="mae")
