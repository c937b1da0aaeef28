"""What a fit makes of recorded steps, with a stand-in that does again what it was told to record.

That recorded kernels compute the same is for a GPU to show: test_gpu.py.
"""

import logging

import pytest
import torch

from lsntp.config import NetworkConfig, TrainingConfig
from lsntp.errors import ModelError
from lsntp.training import fit_loop
from lsntp.training.fit import _deciding_settings
from lsntp.training.fit_state import random_state, set_random_state
from lsntp.training.network_fit import fit_network
from lsntp.training.recorded import first_cause
from tests.lsntp.training.toys import Noise, Toy


class Again:
    """Does the pass anew, on the batch that it is given."""

    made: int
    sizes: list[int]

    def __init__(self, work, network, batch):
        type(self).made += 1
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
    """A recording that cannot be made."""

    def __init__(self, work, network, batch):
        work(batch, torch.ones(()))
        raise ModelError("Expected a step whose kernels can be recorded")


@pytest.fixture
def recording(monkeypatch):
    """The sizes of the batches that were replayed, in a fit that believes that it can record."""
    monkeypatch.setattr(fit_loop, "_can_record", lambda fabric: True)
    monkeypatch.setattr(fit_loop, "RecordedPass", Again)
    monkeypatch.setattr(Again, "sizes", [], raising=False)
    monkeypatch.setattr(Again, "made", 0, raising=False)
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
    assert Again.made == bool(replayed)


def test_on_a_cpu_nothing_is_recorded_and_the_log_says_so(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(fit_loop, "RecordedPass", Refused)
    caplog.set_level(logging.INFO)
    fit(tmp_path)
    assert "training.cuda_graphs is for one GPU alone" in caplog.text


def test_a_step_that_cannot_be_recorded_ends_the_fit_and_one_without_goes_on_from_its_checkpoint(
    tmp_path, recording, monkeypatch, caplog
):
    plain = fit(tmp_path / "plain", cuda_graphs=False)
    monkeypatch.setattr(fit_loop, "RecordedPass", Refused)
    step, steps = fit_loop.FitLoop._train_step, []

    def killed_at_the_third(loop, indices):
        steps.append(indices)
        if len(steps) == 3:
            raise KeyboardInterrupt
        return step(loop, indices)

    with monkeypatch.context() as patch:
        patch.setattr(fit_loop.FitLoop, "_train_step", killed_at_the_third)
        with pytest.raises(KeyboardInterrupt):
            fit(tmp_path / "killed", cuda_graphs=False, checkpoint_minutes=1e-9)
    with pytest.raises(ModelError, match="can be recorded"):
        fit(tmp_path / "killed")
    caplog.set_level(logging.INFO)
    assert torch.equal(fit(tmp_path / "killed", cuda_graphs=False), plain)
    # The refused one did the third step, which is of six windows, and the validation.
    assert "Going on after 1 of 2 epochs and 0 of 3 batches" in caplog.text


def test_the_first_of_several_errors_is_the_cause():
    def recording_that_breaks():
        try:
            raise RuntimeError("Cannot copy to the device unless pinned.\nMore of it")
        finally:
            raise RuntimeError("operation failed due to a previous error during capture")

    with pytest.raises(RuntimeError) as caught:
        recording_that_breaks()
    assert first_cause(caught.value) == "Cannot copy to the device unless pinned"


@pytest.mark.parametrize("change", [{"cuda_graphs": True}, {"compile": True}, {"memory_gb": 2}])
def test_how_steps_are_launched_names_no_other_version(change):
    config = NetworkConfig()
    changed = config.model_copy(update={"training": config.training.model_copy(update=change)})
    assert _deciding_settings(changed) == _deciding_settings(config)
