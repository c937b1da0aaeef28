"""Compiled layers: the same fit, the same tensors, and no shape compiled in vain."""

import re
import shutil

import numpy as np
import pytest
import torch
from packaging.version import Version
from torch._dynamo.utils import counters

from lsntp.config import LsntpConfig, TrainingConfig
from lsntp.errors import ConfigError
from lsntp.models.registry import build_network
from lsntp.training.compiled import RIGHT_SINCE, compiled_batch, compiled_layers
from lsntp.training.network_fit import fit_network

START = np.datetime64("2021-01-01T00", "ns")

needs_compiler = pytest.mark.skipif(
    shutil.which("g++") is None or Version(torch.__version__) < RIGHT_SINCE,
    reason=f"torch.compile needs a C++ compiler and torch {RIGHT_SINCE}",
)


class Noise:
    """Windows whose target is half of the history, and noise."""

    def __init__(self, size, *, seed):
        numbers = torch.Generator().manual_seed(seed)
        self.history = torch.randn(size, 2, 1, 4, 5, generator=numbers)
        self.target = self.history / 2 + torch.randn(size, 2, 1, 4, 5, generator=numbers) / 10
        self.init_times = START + np.arange(size) * np.timedelta64(1, "h")

    def __len__(self):
        return len(self.init_times)

    def order(self, numbers):
        return numbers.permutation(len(self)).tolist()

    def batch(self, indices):
        return self.history[list(indices)], self.target[list(indices)]


def network(configuration="paper"):
    torch.manual_seed(3)
    architecture = LsntpConfig(configuration=configuration, hidden=2, embedding=3)
    return build_network(architecture, shape=(4, 5), history=2, horizon=2)


def fit(folder, *, windows=10, **settings):
    """Two epochs of full batches of four, and a last one of two."""
    net = network()
    config = TrainingConfig(epochs=2, batch_size=4, learning_rate=0.01, devices=1, **settings)
    fitted = fit_network(
        net,
        Noise(windows, seed=1),
        Noise(3, seed=2),
        config=config,
        folder=folder,
        description="fit",
    )
    return net, fitted


def test_without_the_switch_nothing_is_compiled():
    net, config = network(), TrainingConfig()
    with compiled_layers(net, config), compiled_batch(config, config.batch_size):
        assert net.encoder1._compiled_call_impl is None


def test_names_of_tensors_are_those_of_the_plain_network(traced):
    net, config = network(), TrainingConfig(compile=True)
    names = list(net.state_dict())
    with compiled_layers(net, config):
        assert net.encoder1._compiled_call_impl is not None
        assert list(net.state_dict()) == names
    assert net.encoder1._compiled_call_impl is None


@pytest.mark.parametrize("name", ["no-such-compiler", "g++ -std=c++17"])
def test_a_missing_compiler_is_named(monkeypatch, name):
    monkeypatch.setattr(torch, "__version__", "2.13.0")
    monkeypatch.setenv("CXX", name)  # torch asks the whole of it for its version
    with (
        pytest.raises(ConfigError, match=rf"found no {re.escape(name)}; install"),
        compiled_layers(network(), TrainingConfig(compile=True)),
    ):
        pass


def test_a_torch_that_compiles_wrong_gradients_is_refused(monkeypatch):
    monkeypatch.setattr(torch, "__version__", "2.11.0+cu130")
    with (
        pytest.raises(ConfigError, match=r"Expected torch 2\.13 or newer .* found 2\.11\.0"),
        compiled_layers(network(), TrainingConfig(compile=True)),
    ):
        pass


def test_on_a_gpu_nothing_is_compiled(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    net, config = network(), TrainingConfig(compile=True)
    with compiled_layers(net, config), compiled_batch(config, config.batch_size):
        assert net.encoder1._compiled_call_impl is None


def step_of(net, windows, *, autocast=False):
    """Loss and gradients by name."""
    net.zero_grad()
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        loss = (net(windows.history).float() - windows.target).square().mean()
    loss.backward()
    return loss.item(), {name: p.grad.clone() for name, p in net.named_parameters()}


def assert_same_step(configuration, *, autocast):
    net, windows = network(configuration), Noise(4, seed=1)
    config = TrainingConfig(batch_size=4, compile=True)
    plain_loss, plain = step_of(net, windows, autocast=autocast)
    with compiled_layers(net, config), compiled_batch(config, 4):
        loss, gradients = step_of(net, windows, autocast=autocast)
    tolerance = 0.1 if autocast else 1e-4  # eight bits of mantissa, rounded at other places
    assert loss == pytest.approx(plain_loss, rel=tolerance)
    for name, gradient in gradients.items():
        largest = plain[name].abs().max().clamp_min(1e-4)
        assert (gradient - plain[name]).abs().max() < tolerance * largest, name


@pytest.mark.parametrize("autocast", [False, pytest.param(True, marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    "configuration", ["paper", pytest.param("official", marks=pytest.mark.slow)]
)
def test_a_traced_step_equals_the_plain_one(traced, configuration, autocast):
    assert_same_step(configuration, autocast=autocast)
    assert counters["stats"]["unique_graphs"] == 4  # each layer in one piece


@needs_compiler
@pytest.mark.slow
@pytest.mark.parametrize("autocast", [False, True])
def test_a_compiled_step_equals_the_plain_one(autocast):
    torch._dynamo.reset()
    assert_same_step("official", autocast=autocast)


@pytest.mark.slow
def test_a_traced_fit_ends_as_a_plain_one_and_compiles_full_batches_only(traced, tmp_path):
    plain, expected = fit(tmp_path / "plain", ema=0.5)
    net, fitted = fit(tmp_path / "compiled", ema=0.5, compile=True)
    assert counters["stats"]["unique_graphs"] == 4  # the layers, once each
    assert fitted.validation_loss == pytest.approx(expected.validation_loss, rel=1e-4)
    for name, tensor in plain.state_dict().items():
        torch.testing.assert_close(net.state_dict()[name], tensor, rtol=1e-3, atol=1e-5)


@pytest.mark.slow
def test_accumulated_batches_are_compiled_and_make_the_same_step(traced, tmp_path):
    _, expected = fit(tmp_path / "plain", windows=16, accumulate=2)
    _, fitted = fit(tmp_path / "compiled", windows=16, accumulate=2, compile=True)
    assert counters["stats"]["unique_graphs"] == 4
    assert fitted.validation_loss == pytest.approx(expected.validation_loss, rel=1e-4)
