"""How a network's configuration is written down."""

import pytest

from lsntp.config import NetworkConfig

CHOICES = {
    "loss": "mae",
    "beta2": 0.95,
    "freeze": ["encoder1"],
    "lead_decay": 0.5,
    "keep": "last",
    "decay": "none",
    "cuda_graphs": True,
}
"""Of ``training``, that older versions had not, each away from what those did."""


def test_a_dump_names_no_choice_that_older_versions_had_not() -> None:
    """A version's name is a digest of it: a new key would give old versions new names."""
    dumped = NetworkConfig().model_dump(mode="json")

    assert not {"members", "quantiles"} & set(dumped)
    assert not set(CHOICES) & set(dumped["training"])


@pytest.mark.parametrize("choice", CHOICES)
def test_a_dump_names_a_choice_that_was_made_and_can_be_read_again(choice: str) -> None:
    config = NetworkConfig.model_validate({"training": {choice: CHOICES[choice]}})

    dumped = config.model_dump(mode="json")

    assert dumped["training"][choice] == CHOICES[choice]
    assert NetworkConfig.model_validate(dumped) == config
