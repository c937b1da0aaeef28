"""Fits on several CPU processes of this machine, which are killed for real."""

import time
from functools import partial
from pathlib import Path

import psutil
import pytest
import torch

from lsntp.config import TrainingConfig
from lsntp.errors import ModelError, RankLostError
from lsntp.training import ranks
from lsntp.training.network_fit import CHECKPOINTS, LOG, fit_network


@pytest.fixture
def toys(monkeypatch):
    """The module of toys, under a name that the processes can import it by."""
    monkeypatch.syspath_prepend(Path(__file__).parent)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    import toys

    return toys


def fit(toys, folder, *, windows=35, dropout=0.0, killed=None, nan=None, **config):
    """The network after three epochs of a toy fit, and what came of it."""
    settings = TrainingConfig.model_validate(
        {"epochs": 3, "batch_size": 16, "learning_rate": 0.05, "seed": 3} | config
    )
    torch.manual_seed(settings.seed)
    network, training = toys.Toy(dropout, killed), toys.Noise(windows)
    if nan is not None:
        training.target[nan] = torch.nan
    fitted = fit_network(
        network,
        training,
        toys.Noise(11, first=100),
        config=settings,
        folder=folder,
        description="fit",
    )
    return network, fitted


def difference(left, right):
    """The largest, over all weights."""
    pairs = zip(left.state_dict().values(), right.state_dict().values(), strict=True)
    return max(float((a - b).abs().max()) for a, b in pairs)


# The last step of an epoch has 1 window, and one process none; or 3 windows, of which it has 1.
@pytest.mark.parametrize("windows", [33, pytest.param(35, marks=pytest.mark.slow)])
def test_two_processes_equal_one_with_the_double_batch(toys, tmp_path, capfd, windows):
    one, fitted_one = fit(toys, tmp_path / "one", windows=windows, devices=1)
    two, fitted_two = fit(
        toys, tmp_path / "two", windows=windows, devices=2, batch_size=4, accumulate=2
    )
    # Float32; nine steps at a rate of 0.05 move weights by tenths.
    assert 0 < difference(one, two) < 1e-6
    assert difference(one, toys.Toy()) > 0.1
    assert fitted_two.validation_loss == pytest.approx(fitted_one.validation_loss, rel=1e-6)
    assert "No gradient reaches idle: not trained." in capfd.readouterr().err
    assert torch.equal(two.idle, torch.ones(3))
    assert two.idle.requires_grad  # here nothing is frozen
    rows = (tmp_path / "two" / LOG).read_text().splitlines()
    assert [row.split(",")[1] for row in rows] == ["step", "3", "6", "9"]
    assert len(list((tmp_path / "two" / CHECKPOINTS).iterdir())) == 2  # of one writer


@pytest.mark.slow
def test_a_killed_process_ends_the_others_and_the_fit_goes_on(toys, tmp_path):
    """Dropout, so that the random numbers of every process matter; killed in the third epoch."""
    settings = {"dropout": 0.3, "devices": 2, "batch_size": 8, "checkpoint_minutes": 1e-9}
    undisturbed, _ = fit(toys, tmp_path / "undisturbed", **settings)
    started = time.monotonic()
    with pytest.raises(RankLostError, match=r"process 1 was ended by SIGKILL; the others") as lost:
        fit(toys, tmp_path / "killed", killed=(1, 8), **settings)
    assert time.monotonic() - started < 90  # most of it to start two interpreters
    assert lost.value.is_transient
    children = [" ".join(child.cmdline()) for child in psutil.Process().children(recursive=True)]
    assert not any("spawn_main" in line for line in children)
    newest = max((tmp_path / "killed" / CHECKPOINTS).glob("*.ckpt"))
    progress = torch.load(newest, weights_only=True)["content"]["progress"]
    assert (progress["epoch"], progress["batch"]) == (2, 1)
    again, _ = fit(toys, tmp_path / "killed", **settings)
    assert difference(again, undisturbed) == 0
    logs = [(tmp_path / name / LOG).read_bytes() for name in ("killed", "undisturbed")]
    assert logs[0] == logs[1]


@pytest.mark.slow
def test_a_loss_that_is_not_finite_in_one_process_names_its_window(toys, tmp_path):
    with pytest.raises(ModelError, match=r"\(it is 2021-01-01T05:00Z whose loss is not finite\)"):
        fit(toys, tmp_path, nan=5, devices=2, batch_size=8)


@pytest.mark.slow
def test_a_process_that_hears_nothing_is_killed_within_the_grace(toys, tmp_path, monkeypatch):
    monkeypatch.setattr(ranks, "GRACE_S", 0.5)
    with pytest.raises(RankLostError, match=r"process 1 was ended by SIGKILL.*goes on from its"):
        ranks.run_ranks(partial(toys.killed_beside_a_deaf_one, tmp_path), 2)
    killed = (tmp_path / "1").stat().st_mtime
    assert time.time() - killed < 5
    assert not psutil.pid_exists(int((tmp_path / "0").read_text()))
