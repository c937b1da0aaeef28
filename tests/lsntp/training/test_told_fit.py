"""LS-NTP plus and the ConvNet, which are told forcings, fitted in every way a fit can go."""

from pathlib import Path

import pytest
import torch
from torch._dynamo.utils import counters

from lsntp.config import ConvnetConfig, LsntpConfig, TrainingConfig
from lsntp.models.registry import build_network
from lsntp.training.compiled import compiled_batch, compiled_layers
from lsntp.training.network_fit import fit_network

# Without dropout, whose masks depend on how a batch is cut.
SMALL = {"hidden": 4, "embedding": 3, "stem": 3, "width": 5, "context": 1, "dropout": 0}
PLUS = LsntpConfig.model_validate({"configuration": "plus", **SMALL})
CONVNET = ConvnetConfig(name="convnet", width=6, blocks=1, dropout=0)
BOTH = pytest.mark.parametrize("architecture", [PLUS, CONVNET], ids=["plus", "convnet"])


@pytest.fixture
def toys(monkeypatch):
    """The module of toys, under a name that other processes can import it by."""
    monkeypatch.syspath_prepend(Path(__file__).parent)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    import told_toys

    return told_toys


def untrained(architecture, toys):
    torch.manual_seed(4)
    return build_network(architecture, shape=(toys.H, toys.W), history=toys.T, horizon=toys.K)


def fit(architecture, toys, folder, *, windows=32, **config):
    """The network after its fit, and what came of it."""
    network = untrained(architecture, toys)
    settings = {"epochs": 3, "learning_rate": 0.02, "loss": "mae", "ema": 0.5, "seed": 3}
    fitted = fit_network(
        network,
        toys.ToldNoise(windows),
        toys.ToldNoise(11, first=100),
        config=TrainingConfig.model_validate(settings | config),
        folder=folder,
        description="fit",
    )
    return network, fitted


def distance(left, right):
    """The largest, over all weights."""
    pairs = zip(left.state_dict().values(), right.state_dict().values(), strict=True)
    return max(float((a - b).abs().max()) for a, b in pairs)


@BOTH
def test_accumulated_batches_equal_one_large_one(architecture, toys, tmp_path):
    whole, _ = fit(architecture, toys, tmp_path / "whole", batch_size=16, devices=1)
    small, _ = fit(architecture, toys, tmp_path / "small", batch_size=4, accumulate=4, devices=1)
    # AdamW divides by the gradient's size: rounding of a tiny one is worth a share of a step.
    assert distance(whole, small) < 1e-4
    assert distance(whole, untrained(architecture, toys)) > 0.02


@pytest.mark.slow
@BOTH
def test_two_processes_equal_one_with_the_double_batch(architecture, toys, tmp_path):
    one, fitted_one = fit(architecture, toys, tmp_path / "one", batch_size=16, devices=1)
    two, fitted_two = fit(architecture, toys, tmp_path / "two", batch_size=8, devices=2)
    assert distance(one, two) < 1e-4
    assert fitted_two.validation_loss == pytest.approx(fitted_one.validation_loss, rel=1e-4)


@BOTH
def test_bfloat16_keeps_weights_in_float32_and_ends_near_the_fit_in_float32(
    architecture, toys, tmp_path
):
    _, exact = fit(architecture, toys, tmp_path / "exact", epochs=8, batch_size=8, devices=1)
    half, fitted = fit(
        architecture, toys, tmp_path / "half", epochs=8, batch_size=8, precision="bfloat16"
    )
    assert {parameter.dtype for parameter in half.parameters()} == {torch.float32}
    assert fitted.validation_loss == pytest.approx(exact.validation_loss, rel=0.05)
    assert fitted.validation_loss != exact.validation_loss


def test_a_traced_step_of_plus_equals_the_plain_one(toys, traced):
    # Fed with nothing, a decoder runs all its steps in one call, which can be compiled.
    fed_with_nothing = PLUS.model_copy(update={"decoder_input": "none", "recurrence": True})
    network, windows = untrained(fed_with_nothing, toys), toys.ToldNoise(4)
    config = TrainingConfig(batch_size=4, compile=True)

    def step():
        network.zero_grad()
        found = network(windows.history, windows.known, windows.static)
        (found - windows.target).square().mean().backward()
        return found.detach(), {name: p.grad.clone() for name, p in network.named_parameters()}

    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.02)
    expected, gradients = step()
    with compiled_layers(network, config), compiled_batch(config, 4):
        found, found_gradients = step()
    assert counters["stats"]["unique_graphs"] > 0
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    for name, gradient in gradients.items():
        torch.testing.assert_close(found_gradients[name], gradient, rtol=1e-3, atol=1e-4, msg=name)
