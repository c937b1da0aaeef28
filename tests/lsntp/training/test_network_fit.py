import csv
import shutil

import numpy as np
import pytest
import torch
from torch import nn

from lsntp.config import TrainingConfig
from lsntp.errors import ModelError
from lsntp.training.network_fit import (
    CHECKPOINTS,
    EpochShuffle,
    NetworkFit,
    fit_network,
    warmup_cosine,
)

START = np.datetime64("2021-01-01T00", "ns")


class Noise:
    """Windows whose target is half of the first two history steps, and noise."""

    def __init__(self, size, *, first=0):
        self.init_times = START + np.arange(first, first + size) * np.timedelta64(1, "h")
        generator = torch.Generator().manual_seed(first)
        self.history = torch.randn(size, 3, 1, 4, 5, generator=generator)
        noise = torch.randn(size, 2, 1, 4, 5, generator=generator)
        self.target = self.history[:, :2] / 2 + noise / 10

    def __len__(self):
        return len(self.init_times)

    def batch(self, indices):
        return self.history[indices], self.target[indices]


class Linear(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Conv2d(3, 2, 1)

    def forward(self, history, known_future=None, static=None):
        return self.layer(history[:, :, 0])[:, :, None]


def untrained():
    torch.manual_seed(5)
    return Linear()


def fit(network, folder, *, training=None, **config):
    settings = TrainingConfig.model_validate(
        {"epochs": 4, "batch_size": 8, "learning_rate": 0.02, "seed": 3} | config
    )
    return fit_network(
        network,
        training or Noise(40),
        Noise(11, first=100),
        config=settings,
        folder=folder,
        description="fit",
    )


def weights(network):
    return np.concatenate([p.detach().numpy().ravel() for p in network.parameters()])


def validation_mse(network):
    windows = Noise(11, first=100)
    with torch.no_grad():
        return float(((network(windows.history) - windows.target) ** 2).mean())


def test_the_loss_falls_below_that_of_the_start(tmp_path):
    network = untrained()
    before = validation_mse(network)
    fitted = fit(network, tmp_path, epochs=30, patience=30)
    after = validation_mse(network)
    assert after < before / 2
    assert fitted.validation_loss == pytest.approx(after, rel=1e-5)
    assert fitted.epochs == 30


def test_the_same_seed_gives_the_same_weights(tmp_path):
    networks = [untrained(), untrained()]
    for number, network in enumerate(networks):
        fit(network, tmp_path / str(number))
    np.testing.assert_array_equal(weights(networks[0]), weights(networks[1]))


def test_another_seed_shuffles_otherwise(tmp_path):
    networks = [untrained(), untrained()]
    for seed, network in enumerate(networks):
        fit(network, tmp_path / str(seed), seed=seed)
    assert (weights(networks[0]) != weights(networks[1])).any()


@pytest.mark.parametrize("step", [7, 12, 19])
def test_a_killed_fit_goes_on_to_the_weights_it_would_have_had(tmp_path, monkeypatch, step):
    undisturbed = untrained()
    fit(undisturbed, tmp_path / "undisturbed")

    class KilledError(Exception):
        pass

    def killing(self, batch, index):
        if self.global_step == step:
            raise KilledError
        return training_step(self, batch, index)

    training_step = NetworkFit.training_step
    with monkeypatch.context() as patch:
        patch.setattr(NetworkFit, "training_step", killing)
        with pytest.raises(KilledError):
            fit(untrained(), tmp_path / "killed")
    assert (tmp_path / "killed" / CHECKPOINTS / "last.ckpt").exists()

    torch.manual_seed(99)  # the state of the new process does not matter
    resumed = Linear()
    fitted = fit(resumed, tmp_path / "killed")
    assert fitted.epochs == 4
    np.testing.assert_array_equal(weights(resumed), weights(undisturbed))


def test_a_fit_killed_after_its_last_epoch_only_picks_up_the_weights(tmp_path):
    network = untrained()
    first = fit(network, tmp_path)
    again = Linear()
    second = fit(again, tmp_path)
    assert (second.epochs, second.validation_loss) == (first.epochs, first.validation_loss)
    np.testing.assert_array_equal(weights(again), weights(network))


@pytest.mark.parametrize("torn", ["last.ckpt", "best.ckpt"])
def test_a_torn_checkpoint_means_starting_again(tmp_path, caplog, torn):
    undisturbed, restarted = untrained(), untrained()
    fit(undisturbed, tmp_path / "a")
    checkpoints = tmp_path / "b" / CHECKPOINTS
    shutil.copytree(tmp_path / "a" / CHECKPOINTS, checkpoints)
    whole = (checkpoints / torn).read_bytes()
    (checkpoints / torn).write_bytes(whole[: len(whole) // 2])
    fit(restarted, tmp_path / "b")
    assert "is damaged" in caplog.text
    np.testing.assert_array_equal(weights(restarted), weights(undisturbed))


def test_the_best_epoch_wins_not_the_last(tmp_path):
    class Worse(Noise):
        """Training that leads away from the validation target."""

        def batch(self, indices):
            history, target = super().batch(indices)
            return history, target + 100

    network = untrained()
    fitted = fit(network, tmp_path, training=Worse(40), epochs=6, learning_rate=0.5)
    losses = [float(row["val_loss"]) for row in log_of(tmp_path) if row["val_loss"]]
    assert fitted.validation_loss == pytest.approx(min(losses))
    assert losses[-1] > min(losses)


def test_training_stops_early_without_improvement(tmp_path):
    fitted = fit(untrained(), tmp_path, epochs=50, learning_rate=1e-12, patience=2)
    assert fitted.epochs < 50


def test_a_fit_killed_after_stopping_early_does_not_go_on(tmp_path):
    network = untrained()
    first = fit(network, tmp_path, epochs=50, learning_rate=0.1, patience=1)
    again = Linear()
    second = fit(again, tmp_path, epochs=50, learning_rate=0.1, patience=1)
    assert second.epochs == first.epochs < 50
    np.testing.assert_array_equal(weights(again), weights(network))


def test_the_budget_of_minutes_ends_a_fit_with_a_result(tmp_path):
    network = untrained()
    fitted = fit(network, tmp_path, epochs=100_000, max_minutes=0.3 / 60)
    assert fitted.epochs < 100_000
    assert np.isfinite(fitted.validation_loss)


def test_a_loss_that_is_not_finite_names_the_initial_times(tmp_path):
    training = Noise(8)
    training.target[5] = torch.nan
    with pytest.raises(ModelError, match=r"found nan in epoch 0.*2021-01-01T05:00Z"):
        fit(untrained(), tmp_path, training=training)


def test_losses_of_every_epoch_are_logged(tmp_path):
    fit(untrained(), tmp_path)
    rows = log_of(tmp_path)
    assert [int(row["epoch"]) for row in rows if row["val_loss"]] == [0, 1, 2, 3]
    assert all(float(row["train_loss"]) > 0 for row in rows if row["train_loss"])


def log_of(folder):
    (path,) = folder.glob("log/version_*/metrics.csv")
    with path.open() as file:
        return list(csv.DictReader(file))


def test_nothing_global_changes(tmp_path):
    fit(untrained(), tmp_path, epochs=1)
    assert not torch.are_deterministic_algorithms_enabled()


def test_shuffling_depends_on_seed_and_epoch_alone():
    first, second = EpochShuffle(50, seed=1), EpochShuffle(50, seed=1)
    assert sorted(first) == list(range(50))
    assert list(first) == list(second)
    second.set_epoch(1)
    assert list(first) != list(second)
    first.set_epoch(1)
    assert list(first) == list(second)


def test_the_learning_rate_rises_then_falls_to_zero_along_a_cosine() -> None:
    factor = warmup_cosine(100, 0.1)
    # 10 rising steps: 0.1, 0.2 … 1.0; then a cosine over 90: half way (step 55) it is one half.
    assert [round(factor(step), 6) for step in (0, 4, 9)] == [0.1, 0.5, 1.0]
    assert factor(55) == pytest.approx(0.5)
    assert factor(100) == pytest.approx(0.0)
    assert factor(120) == pytest.approx(0.0)
