"""What a fit makes of recorded steps, with a stand-in that does again what it was told to record.

That recorded kernels compute the same is for a GPU to show: test_gpu.py.
"""

import pytest
import torch

from lsntp.config import TrainingConfig
from lsntp.errors import ConfigError
from lsntp.training import fit_loop
from lsntp.training.fit_state import random_state, set_random_state
from lsntp.training.network_fit import fit_network
from tests.lsntp.training.toys import Noise, Toy


class Again:
    """Does the pass anew, on the batch that it is given."""

    sizes: list[int]

    def __init__(self, work, network, batch):
        self.work, self.size = work, len(batch)
        drawn = random_state()
        work(batch, torch.ones(()))
        network.zero_grad(set_to_none=False)
        set_random_state(drawn)
        self.gradients = {p: p.grad for p in network.parameters()}

    def __call__(self, batch, share):
        assert len(batch) == self.size
        # A recording writes to where the gradients were when it was made.
        assert all(p.grad is gradient for p, gradient in self.gradients.items())
        self.sizes.append(len(batch))
        return self.work(batch, torch.tensor(share))


class Refused:
    """A recording that the device refuses."""

    def __init__(self, work, network, batch):
        work(batch, torch.ones(()))
        raise RuntimeError("CUDA error: out of memory\nCompile with TORCH_USE_CUDA_DSA")


@pytest.fixture
def recording(monkeypatch):
    """The sizes of the batches that were replayed, in a fit that believes that it can record."""
    monkeypatch.setattr(fit_loop, "_can_record", lambda fabric: True)
    monkeypatch.setattr(fit_loop, "RecordedPass", Again)
    monkeypatch.setattr(Again, "sizes", [], raising=False)
    return Again.sizes


def fit(folder, *, windows=22, **settings):
    """By default two full batches of eight and one of six windows an epoch."""
    given = {"epochs": 2, "batch_size": 8, "learning_rate": 0.02, "cuda_graphs": True} | settings
    torch.manual_seed(5)
    network = Toy(dropout=0.3)
    fit_network(
        network,
        Noise(windows),
        Noise(11),
        config=TrainingConfig.model_validate(given),
        folder=folder,
        description="fit",
    )
    return torch.cat([p.detach().flatten() for p in network.parameters()])


@pytest.mark.parametrize(
    ("settings", "replayed"),
    [
        ({}, [8, 8] * 2),
        ({"ema": 0.9, "precision": "bfloat16", "loss": "mae", "lead_decay": 0.5}, [8, 8] * 2),
        # Steps of twelve and ten windows: 4 + 4 + 4 and 3 + 3 + 4.
        ({"batch_size": 4, "accumulate": 3}, [4, 4, 4, 4] * 2),
        ({"batch_size": 32}, []),
    ],
    ids=["plain", "otherwise", "accumulated", "never full"],
)
def test_full_batches_are_replayed_and_the_weights_are_the_same(
    tmp_path, recording, settings, replayed
):
    plain = fit(tmp_path / "plain", **settings, cuda_graphs=False)
    assert recording == []
    assert torch.equal(fit(tmp_path / "recorded", **settings), plain)
    assert recording == replayed


def test_on_a_cpu_nothing_is_recorded(tmp_path, recording, monkeypatch):
    monkeypatch.undo()
    fit(tmp_path)
    assert recording == []


def test_a_step_that_cannot_be_recorded_ends_the_fit_and_a_run_without_goes_on(
    tmp_path, recording, monkeypatch
):
    plain = fit(tmp_path / "plain", cuda_graphs=False)
    monkeypatch.setattr(fit_loop, "RecordedPass", Refused)
    expected = (
        r"found: CUDA error: out of memory; set training\.cuda_graphs: false, and the next run"
    )
    with pytest.raises(ConfigError, match=expected):
        fit(tmp_path / "refused")
    assert torch.equal(fit(tmp_path / "refused", cuda_graphs=False), plain)
