"""What only a GPU can show: ``pytest -m gpu``. No other test sees one."""

import copy
from pathlib import Path

import numpy as np
import pytest
import torch

from lsntp.config import LsntpConfig, NetworkConfig, TrainingConfig
from lsntp.models.registry import build_network
from lsntp.training import network as module
from lsntp.training import train
from lsntp.training.fit_loop import FitLoop
from lsntp.training.loading import load_forecaster
from lsntp.training.network_fit import fit_network
from lsntp.training.versions import latest_version
from lsntp.workspace import Workspace
from tests.lsntp.training.toys import Noise, Toy

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no GPU"),
]
DEVICE = "cuda"


@pytest.fixture(autouse=True)
def _whole_float32(monkeypatch):
    """Convolutions in float32 proper, not in the shorter TF32 that cuDNN takes by itself."""
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)


def step_of(network, history):
    """Forecast and gradients by name of one step, brought to the CPU."""
    network.zero_grad()
    forecast = network(history)
    forecast.square().mean().backward()
    gradients = {name: p.grad.cpu() for name, p in network.named_parameters()}
    return forecast.detach().cpu(), gradients


@pytest.mark.parametrize("graph", ["dense", "chunked"])
@pytest.mark.parametrize("configuration", ["paper", "official"])
def test_a_step_on_a_gpu_is_that_of_the_cpu(configuration, graph):
    torch.manual_seed(3)
    architecture = LsntpConfig(
        configuration=configuration, hidden=8, embedding=16, downsample=False, graph=graph
    )
    here = build_network(architecture, shape=(13, 19), history=6, horizon=6)
    there = copy.deepcopy(here).to(DEVICE)
    history = torch.randn(4, 6, 1, 13, 19)
    expected, gradients = step_of(here, history)
    found, on_gpu = step_of(there, history.to(DEVICE))
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    for name, gradient in gradients.items():
        scale = gradient.abs().max().clamp_min(1e-6)
        assert (on_gpu[name] - gradient).abs().max() < 1e-3 * scale, name


# --- kernels recorded as a CUDA graph --------------------------------------------------------


def weights_of(network):
    return torch.cat([p.detach().cpu().flatten() for p in network.parameters()])


def fit(network, folder, *, windows=22, **settings):
    """Two full batches of eight and one of six windows an epoch."""
    given = {"epochs": 3, "batch_size": 8, "learning_rate": 0.02, "seed": 3, "devices": 1}
    given |= {"cuda_graphs": True} | settings
    config = TrainingConfig.model_validate(given)
    torch.manual_seed(7)  # of the dropout
    return fit_network(
        network, Noise(windows), Noise(11), config=config, folder=folder, description="fit"
    )


def toy(kind=Toy, **settings):
    torch.manual_seed(5)
    return kind(**settings)


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"ema": 0.9},
        {"precision": "bfloat16"},
        {"batch_size": 4, "accumulate": 3},
        {"loss": "mae", "lead_decay": 0.5},
    ],
    ids=["plain", "averaged", "half", "accumulated", "leads weighed"],
)
def test_a_recorded_fit_has_the_weights_of_one_launched_kernel_by_kernel(tmp_path, settings):
    one_by_one, recorded = toy(dropout=0.3), toy(dropout=0.3)
    expected = fit(one_by_one, tmp_path / "plain", cuda_graphs=False, **settings)
    found = fit(recorded, tmp_path / "recorded", **settings)
    assert torch.equal(weights_of(recorded), weights_of(one_by_one))
    assert found.validation_loss == expected.validation_loss
    assert recorded.steps < one_by_one.steps  # of Python


SMALL = {"hidden": 4, "embedding": 3}
TOLD = {"configuration": "plus", **SMALL, "stem": 3, "width": 5, "context": 1, "dropout": 0.2}


@pytest.mark.parametrize(
    "architecture",
    [
        {"configuration": "paper", **SMALL},
        {"configuration": "official", **SMALL, "decoder_steps": "horizon"},
        {"configuration": "paper", **SMALL, "graph": "chunked"},
        TOLD,
        {**TOLD, "recurrence": True},
        {**TOLD, "yesterday": True},
        {"configuration": "paper", **SMALL, "operator": "dagg"},
        {"name": "convnet", "width": 6, "blocks": 1, "yesterday": True, "forced": True},
        {"name": "convlstm", "hidden": 4},
    ],
    ids=lambda architecture: "-".join(str(value) for value in architecture.values()),
)
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_recorded_steps_of_ls_ntp_are_those_launched_one_by_one(
    tmp_path, monkeypatch, caplog, architecture, precision
):
    caplog.set_level("INFO")
    monkeypatch.syspath_prepend(Path(__file__).parent)
    import told_toys

    config = NetworkConfig.model_validate({"architecture": architecture})
    is_told = "convnet" in architecture.values() or "plus" in architecture.values()
    windows = told_toys.ToldNoise if is_told else Noise
    ends = []
    for records in (False, True):
        torch.manual_seed(4)
        network = build_network(
            config.architecture,
            shape=(told_toys.H, told_toys.W),
            history=told_toys.T,
            horizon=told_toys.K,
            day=2,
        )
        fit_network(
            network,
            windows(20),
            windows(9),
            config=TrainingConfig(
                epochs=2, batch_size=8, seed=3, devices=1, cuda_graphs=records, precision=precision
            ),
            folder=tmp_path / str(records),
            description="fit",
        )
        ends.append(weights_of(network))
        assert ("are recorded" in caplog.text) == records
    assert torch.equal(*ends)


def test_a_fit_killed_between_recorded_steps_ends_as_an_undisturbed_one(tmp_path, monkeypatch):
    undisturbed, killed = toy(dropout=0.3), toy(dropout=0.3)
    settings = {"checkpoint_minutes": 1e-9}
    fit(undisturbed, tmp_path / "whole", **settings)
    step = FitLoop._train_step
    seen = []

    def dying(loop, indices):
        seen.append(indices)
        if len(seen) == 6:
            raise KeyboardInterrupt
        return step(loop, indices)

    monkeypatch.setattr(FitLoop, "_train_step", dying)
    with pytest.raises(KeyboardInterrupt):
        fit(killed, tmp_path / "killed", **settings)
    monkeypatch.undo()
    again = toy(dropout=0.3)
    fit(again, tmp_path / "killed", **settings)
    # Equal bits are promised on a CPU only; here the last digits differed.
    torch.testing.assert_close(weights_of(again), weights_of(undisturbed), rtol=1e-4, atol=1e-6)


# --- the whole way ---------------------------------------------------------------------------


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
