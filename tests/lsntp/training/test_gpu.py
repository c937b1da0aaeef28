"""What only a GPU can show: ``pytest -m gpu``. All other tests of a fit use one by themselves."""

import copy

import numpy as np
import pytest
import torch
from torch._dynamo.utils import counters

from lsntp.config import LsntpConfig, TrainingConfig
from lsntp.models.registry import build_network
from lsntp.training import network as module
from lsntp.training import train
from lsntp.training.compiled import compiled_batch, compiled_layers
from lsntp.training.loading import load_forecaster
from lsntp.training.versions import latest_version
from lsntp.workspace import Workspace

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no GPU"),
]
DEVICE = "cuda"


@pytest.fixture(autouse=True)
def _whole_float32(monkeypatch):
    """Convolutions in float32 proper, not in the shorter TF32 that cuDNN takes by itself."""
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)


def step_of(network, history, *, compiled=False):
    """Forecast and gradients by name of one step, compiled or as written, brought to the CPU."""
    config = TrainingConfig(batch_size=len(history), compile=compiled)
    with compiled_layers(network, config):
        for _ in range(3 if compiled else 1):  # CUDA graphs are recorded by the second call
            network.zero_grad()
            with compiled_batch(config, len(history)):
                forecast = network(history)
            forecast.square().mean().backward()
    gradients = {name: p.grad.cpu() for name, p in network.named_parameters()}
    return forecast.detach().cpu(), gradients


@pytest.mark.parametrize("graph", ["dense", "chunked"])
@pytest.mark.parametrize("configuration", ["paper", "official"])
@pytest.mark.parametrize("compiled", [False, True])
def test_a_step_on_a_gpu_is_that_of_the_cpu(configuration, graph, compiled):
    torch.manual_seed(3)
    architecture = LsntpConfig(
        configuration=configuration, hidden=8, embedding=16, downsample=False, graph=graph
    )
    here = build_network(architecture, shape=(13, 19), history=6, horizon=6)
    there = copy.deepcopy(here).to(DEVICE)
    history = torch.randn(4, 6, 1, 13, 19)
    expected, gradients = step_of(here, history)
    torch._dynamo.reset()
    counters.clear()
    found, on_gpu = step_of(there, history.to(DEVICE), compiled=compiled)
    assert (counters["stats"]["unique_graphs"] > 0) == compiled
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    for name, gradient in gradients.items():
        scale = gradient.abs().max().clamp_min(1e-6)
        assert (on_gpu[name] - gradient).abs().max() < 1e-3 * scale, name


def test_a_version_trained_on_a_gpu_says_so_and_forecasts_the_same_without_one(
    ingested, monkeypatch
):
    train(ingested, models=["net"])
    version = latest_version(Workspace.of(ingested).models, "net")
    assert version.provenance.hardware["accelerator"] != "cpu"
    assert version.provenance.hardware["devices"] == str(torch.cuda.device_count())
    forecaster = load_forecaster(version, ingested)
    shape = (2, len(forecaster.offsets), *ingested.target_grid.shape)
    history = np.random.default_rng(1).normal(280, 3, shape).astype(np.float32)
    times = ingested.start + np.arange(240, 242) * ingested.cadence
    on_gpu = forecaster.members(history, times)
    monkeypatch.setattr(module, "_device", lambda: torch.device("cpu"))
    np.testing.assert_allclose(forecaster.members(history, times), on_gpu, rtol=0, atol=1e-3)
