"""The architecture section of a domain file: presets, single switches, and what is refused."""

from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from lsntp.config import LsntpConfig, NetworkConfig, load_domain
from lsntp.config.architecture import INGREDIENTS, PRESETS
from lsntp.errors import ConfigError


def test_every_preset_sets_the_same_switches_and_no_value_twice() -> None:
    paper, official = PRESETS["paper"], PRESETS["official"]
    assert paper.keys() == official.keys()
    assert all(paper[name] != official[name] for name in paper)
    for name in paper:
        description = LsntpConfig.model_fields[name].description
        assert "paper" in description
        assert "official" in description


@pytest.mark.parametrize("configuration", ["paper", "official", "plus"])
def test_configuration_fills_in_its_preset(configuration: str) -> None:
    architecture = LsntpConfig.model_validate({"configuration": configuration})
    found = {name: getattr(architecture, name) for name in PRESETS[configuration]}
    assert found == PRESETS[configuration]


def test_a_single_switch_beats_the_preset() -> None:
    architecture = LsntpConfig.model_validate(
        yaml.safe_load("{configuration: official, bias: true, reach_km: 500}")
    )
    assert architecture.bias is True
    assert architecture.reach_km == 500.0
    assert architecture.convolution == "joint"


def test_paper_is_the_default() -> None:
    assert LsntpConfig() == LsntpConfig.model_validate(dict(PRESETS["paper"]))


def test_a_configuration_written_before_there_were_switches_means_the_same() -> None:
    old = {
        "name": "lsntp",
        "configuration": "paper",
        "hidden": 16,
        "embedding": 32,
        "kernel": 3,
        "downsample": True,
    }
    architecture = LsntpConfig.model_validate(old)
    assert architecture.convolution == "separate"
    assert architecture.model_dump(mode="json") == old  # so versions keep their names


def test_a_dump_names_what_differs_from_the_preset_and_can_be_read_again() -> None:
    architecture = LsntpConfig.model_validate(
        {"configuration": "official", "attention_layers": 0, "reach_km": 0, "peephole": "channel"}
    )
    dumped = architecture.model_dump(mode="json")
    assert dumped["attention_layers"] == 0
    assert dumped["reach_km"] == 0
    assert "peephole" not in dumped
    assert LsntpConfig.model_validate(dumped) == architecture
    network = NetworkConfig(architecture=architecture)
    assert NetworkConfig.model_validate(network.model_dump(mode="json")) == network


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("gate_activatoin", "relu", "unknown key .*gate_activatoin"),
        ("configuration", "minus", "'paper', 'official' or 'plus'"),
        ("configuration", ["paper"], "'paper', 'official' or 'plus'"),
        ("attention_layers", 4, "0, 2 or 3"),
        ("convolution", "both", "'separate' or 'joint'"),
        ("decoder_input", "copy", "'none', 'zeros' or 'forecast'"),
        ("reach_km", -1, "expected 0 or more km, or all, found -1"),
        ("reach_km", "far", "reach_km"),
        ("reach_km", float("nan"), "reach_km"),
        ("kernel", 4, "1, 3, 5 or 7"),
        ("graph", "sparse", "'auto', 'dense' or 'chunked'"),
    ],
)
def test_what_is_no_switch_or_no_value_of_one_is_refused(
    key: str, value: Any, message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        load_domain("demo", overrides={f"networks.lsntp.architecture.{key}": value})


@pytest.mark.parametrize("ingredient", sorted(INGREDIENTS))
def test_an_ingredient_of_plus_is_refused_elsewhere(ingredient: str) -> None:
    absent = INGREDIENTS[ingredient]
    value = not absent if isinstance(absent, bool) else PRESETS["plus"][ingredient]
    with pytest.raises(ValidationError, match=f"expected {ingredient}: .* configuration: paper"):
        LsntpConfig.model_validate({ingredient: value})


@pytest.mark.parametrize(
    ("switch", "message"),
    [
        ({"downsample": True}, "expected downsample: False with configuration: plus"),
        ({"decoder_steps": "history"}, "expected decoder_steps: horizon"),
        ({"decoder_input": "zeros"}, "decoder_input none or forecast .* found .* zeros"),
        ({"stem": 0}, "stem and width of at least 1"),
        ({"nodes": 0}, "nodes of at least 1 or recurrence: true .* name: convnet"),
    ],
)
def test_plus_refuses_what_it_does_not_have(switch: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        LsntpConfig.model_validate({"configuration": "plus", **switch})


@pytest.mark.parametrize(
    ("switch", "as_in_the_preset"),
    [
        ({"operator": "dagg"}, "operator: ls-conv"),
        ({"gate_activation": "relu"}, "gate_activation: none"),
        ({"convolution": "joint"}, "convolution: separate"),
        ({"bias": False}, "bias: true"),
        ({"peephole": "cell"}, "peephole: channel"),
        ({"decoder_input": "none"}, "decoder_input: forecast"),
        ({"forget_bias": 0.0}, "forget_bias: 1.0"),
    ],
)
def test_plus_without_recurrence_refuses_what_only_a_recurrence_reads(
    switch: dict[str, Any], as_in_the_preset: str
) -> None:
    message = f"expected {as_in_the_preset} with recurrence: false.* recurrence: true to make it"
    with pytest.raises(ValidationError, match=message):
        LsntpConfig.model_validate({"configuration": "plus", **switch})
    recurrent = {"configuration": "plus", "recurrence": True, "nodes": 0, **switch}
    assert LsntpConfig.model_validate(recurrent).recurrence


def test_plus_refuses_dagg_beside_nodes_which_stay_ls_conv() -> None:
    with pytest.raises(ValidationError, match=r"expected nodes: 0 with operator: dagg.* found 2"):
        LsntpConfig(configuration="plus", recurrence=True, nodes=2, operator="dagg")


def test_a_path_without_nodes_has_nothing_to_skip() -> None:
    without = {"configuration": "plus", "skip": False}
    assert LsntpConfig.model_validate(without).model_dump()["skip"] is False
    with pytest.raises(ValidationError, match=r"expected skip: true with nodes: 0.*found false"):
        LsntpConfig.model_validate(without | {"nodes": 0, "recurrence": True})
    with pytest.raises(ValidationError, match="expected skip: True with configuration: paper"):
        LsntpConfig(skip=False)


def test_a_dump_of_plus_names_all_of_its_preset_so_that_the_preset_may_change() -> None:
    architecture = LsntpConfig(configuration="plus", dropout=0.4)
    dumped = architecture.model_dump(mode="json")
    assert dumped.keys() >= PRESETS["plus"].keys()
    assert dumped["dropout"] == 0.4
    assert LsntpConfig.model_validate(dumped) == architecture


def test_dagg_without_its_graph_is_refused() -> None:
    with pytest.raises(ValidationError, match="long_range: true with operator: dagg"):
        LsntpConfig(operator="dagg", long_range=False)


def test_a_built_architecture_cannot_be_changed() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        LsntpConfig().bias = False  # type: ignore[misc]
