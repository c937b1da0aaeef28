import csv
import logging
import time

import numpy as np
import pytest
import torch
from torch import nn

from lsntp.config import TrainingConfig
from lsntp.errors import ModelError
from lsntp.training.network_fit import CHECKPOINTS, LOG, fit_network
from tests.lsntp.training import toys


class Noise(toys.Noise):
    noise_k = 0.1


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


class Interrupted(Linear):
    """Stops at its ``count``-th forward in training, or in validation."""

    def __init__(self, count, *, training=True):
        super().__init__()
        self.left, self.counted = count, training

    def forward(self, *args):
        if self.training == self.counted:
            self.left -= 1
            if not self.left:
                raise KeyboardInterrupt
        return super().forward(*args)


def interrupted(folder, count, *, training=True, noise=None, **config):
    """A fit that ends at that forward, as Ctrl-C would end it."""
    torch.manual_seed(5)
    network = Interrupted(count, training=training)
    with pytest.raises(KeyboardInterrupt):
        fit(network, folder, training=noise, **config)


@pytest.mark.parametrize("count", [8, 13, 20])
def test_an_interrupted_fit_goes_on_to_the_weights_it_would_have_had(tmp_path, count):
    undisturbed = untrained()
    fit(undisturbed, tmp_path / "undisturbed")
    interrupted(tmp_path / "killed", count)
    torch.manual_seed(99)  # the state of the new process does not matter
    resumed = Linear()
    fitted = fit(resumed, tmp_path / "killed")
    assert fitted.epochs == 4
    np.testing.assert_array_equal(weights(resumed), weights(undisturbed))


@pytest.mark.parametrize(
    ("minutes", "repeated"),
    [(1e-9, 0), (1e9, 3)],  # batch 9 of 5 an epoch: with epochs as the only rest, 3 were lost
)
def test_checkpoints_inside_an_epoch_save_its_batches(tmp_path, minutes, repeated):
    steps = []

    class Counting(Linear):
        def forward(self, *args):
            steps.append(self.training)
            return super().forward(*args)

    interrupted(tmp_path, 9, checkpoint_minutes=minutes)
    fit(Counting(), tmp_path, checkpoint_minutes=minutes)
    assert sum(steps) == 20 - 8 + repeated


def test_the_bar_goes_on_where_the_fit_stopped(tmp_path, capsys):
    interrupted(tmp_path, 9, checkpoint_minutes=1e-9)
    capsys.readouterr()
    fit(Linear(), tmp_path, checkpoint_minutes=1e-9)
    shown = capsys.readouterr().err
    assert "fit:  40%" in shown  # 8 of 20
    assert "8/20" in shown
    assert "20/20" in shown
    assert "epoch=4" in shown


@pytest.mark.parametrize(
    ("change", "value"), [("learning_rate", 0.03), ("ema", 0.5), ("max_minutes", 60)]
)
def test_other_settings_mean_starting_afresh(tmp_path, caplog, change, value):
    undisturbed, changed = untrained(), untrained()
    fit(undisturbed, tmp_path / "undisturbed", **{change: value})
    interrupted(tmp_path / "killed", 13)
    fit(changed, tmp_path / "killed", **{change: value})
    assert "it belongs to a fit of other settings, data or network" in caplog.text
    np.testing.assert_array_equal(weights(changed), weights(undisturbed))


def test_another_time_between_checkpoints_is_no_other_fit(tmp_path, caplog):
    interrupted(tmp_path, 13)
    with caplog.at_level(logging.INFO, "lsntp"):
        fit(untrained(), tmp_path, checkpoint_minutes=7)
    (message,) = caplog.messages
    assert message.startswith("Going on after 2 of 4 epochs and 0 of 5 batches")


def test_another_number_of_threads_is_told(tmp_path, caplog):
    threads = torch.get_num_threads()
    interrupted(tmp_path, 13)
    try:
        torch.set_num_threads(threads + 1)
        fit(untrained(), tmp_path)
    finally:
        torch.set_num_threads(threads)
    assert (
        f"goes on with threads {threads + 1}, its checkpoint was made with {threads}" in caplog.text
    )


@pytest.mark.parametrize(("size", "accumulate"), [(8, 2), (4, 4), (3, 6)])
def test_accumulated_batches_equal_one_large_one(tmp_path, size, accumulate):
    """42 windows: the last step of an epoch has fewer, in batches of other sizes."""
    large, small = untrained(), untrained()
    whole, training = size * accumulate, Noise(42)
    fit(large, tmp_path / "large", training=training, batch_size=whole)
    fit(small, tmp_path / "small", training=training, batch_size=size, accumulate=accumulate)
    np.testing.assert_allclose(weights(small), weights(large), rtol=0, atol=1e-6)
    steps = [[row["step"] for row in log_of(tmp_path / name)] for name in ("large", "small")]
    assert steps[0] == steps[1]


def test_another_way_to_the_same_step_goes_on_and_says_so(tmp_path, caplog):
    undisturbed, resumed = untrained(), Linear()
    fit(undisturbed, tmp_path / "a")
    interrupted(tmp_path / "b", 13)
    fit(resumed, tmp_path / "b", batch_size=4, accumulate=2)
    assert "goes on with accumulate 2, its checkpoint was made with 1" in caplog.text
    np.testing.assert_allclose(weights(resumed), weights(undisturbed), rtol=0, atol=1e-6)


def test_the_average_is_what_is_validated_and_kept(tmp_path):
    seen = []

    class Recording(Linear):
        def forward(self, *args):
            if self.training:
                seen.append(weights(self))
            return super().forward(*args)

    torch.manual_seed(5)
    network = Recording()
    fitted = fit(network, tmp_path, ema=0.5, epochs=1)
    assert fitted.validation_loss == pytest.approx(validation_mse(network), rel=1e-5)
    # Weights after step n are seen in step n + 1; d = min(0.5, n / (9 + n)) for n = 2 … 5.
    average = seen[1]
    for n, d in ((2, 2 / 11), (3, 3 / 12), (4, 4 / 13)):
        average = d * average + (1 - d) * seen[n]
    alone = untrained()
    fit(alone, tmp_path / "alone", epochs=1)
    average = 5 / 14 * average + 9 / 14 * weights(alone)
    np.testing.assert_allclose(weights(network), average, rtol=1e-5)


def test_bfloat16_rounds_the_forward_pass_not_the_weights(tmp_path):
    full, half = untrained(), untrained()
    fit(full, tmp_path / "full")
    fitted = fit(half, tmp_path / "half", precision="bfloat16")
    assert {p.dtype for p in half.parameters()} == {torch.float32}
    assert (weights(half) != weights(full)).any()
    np.testing.assert_allclose(weights(half), weights(full), atol=0.02)
    assert fitted.validation_loss == pytest.approx(validation_mse(half), rel=1e-5)


def test_a_fit_killed_after_its_last_epoch_only_picks_up_the_weights(tmp_path):
    network = untrained()
    first = fit(network, tmp_path)
    again = Linear()
    second = fit(again, tmp_path)
    assert (second.epochs, second.validation_loss) == (first.epochs, first.validation_loss)
    np.testing.assert_array_equal(weights(again), weights(network))


@pytest.mark.parametrize("torn", [1, 2])
def test_a_torn_checkpoint_costs_what_it_held(tmp_path, caplog, torn):
    undisturbed, resumed = untrained(), untrained()
    fit(undisturbed, tmp_path / "a")
    interrupted(tmp_path / "b", 13)
    for path in sorted((tmp_path / "b" / CHECKPOINTS).iterdir())[-torn:]:
        whole = path.read_bytes()
        path.write_bytes(whole[: len(whole) // 2])
    fit(resumed, tmp_path / "b")
    assert caplog.text.count("cut short or changed") == torn
    assert ("Start again" in caplog.text) == (torn == 2)
    np.testing.assert_array_equal(weights(resumed), weights(undisturbed))
    assert (tmp_path / "b" / LOG).read_bytes() == (tmp_path / "a" / LOG).read_bytes()


def test_the_best_epoch_wins_not_the_last(tmp_path):
    class Worse(Noise):
        """Training that leads away from the validation target."""

        def batch(self, indices):
            history, target = super().batch(indices)
            return history, target + 100

    network = untrained()
    fitted = fit(network, tmp_path, training=Worse(40), epochs=6, learning_rate=0.5)
    losses = [float(row["val_loss"]) for row in log_of(tmp_path)]
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


def test_the_budget_of_minutes_ends_a_fit_with_a_result(tmp_path, caplog):
    network = untrained()
    fitted = fit(network, tmp_path, epochs=100_000, max_minutes=0.3 / 60)
    assert fitted.epochs < 100_000
    assert fitted.stopped_by == "max_minutes"
    assert np.isfinite(fitted.validation_loss)
    assert f"training.max_minutes (0.005) ended the fit in epoch {fitted.epochs} of" in caplog.text


def test_a_resumed_fit_has_what_is_left_of_its_minutes(tmp_path):
    """Stopped in the validation that follows the last minute: no batch may come after it."""
    steps = []

    class Slow(Noise):
        def batch(self, indices):
            time.sleep(0.05)
            return super().batch(indices)

    class Counting(Linear):
        def forward(self, *args):
            steps.append(self.training)
            return super().forward(*args)

    budget = {"epochs": 9, "max_minutes": 0.12 / 60, "checkpoint_minutes": 1e-9}
    interrupted(tmp_path, 1, training=False, noise=Slow(40), **budget)
    fitted = fit(Counting(), tmp_path, training=Slow(40), **budget)
    assert sum(steps) <= 1  # one, if the clock struck between saving and looking at it
    assert (fitted.epochs, fitted.stopped_by) == (1, "max_minutes")
    assert fitted.seconds >= 0.12
    again = fit(Counting(), tmp_path, training=Slow(40), **budget)
    assert (again.epochs, again.seconds) == (1, fitted.seconds)


def test_a_loss_that_is_not_finite_names_times_step_and_remedy(tmp_path):
    training = Noise(8)
    training.target[5] = torch.nan
    with pytest.raises(ModelError) as caught:
        fit(untrained(), tmp_path, training=training, epochs=5, warmup=0.4)
    message = str(caught.value)
    # One batch of eight in an order of its own; the first of two rising steps of five.
    assert "Expected a finite loss, found nan in epoch 1, step 1 of 5" in message
    assert "at the learning rate 0.01," in message
    batch, guilty = message.split("init_time ")[1].split(" (it is ")
    times = [f"2021-01-01T0{hour}:00Z" for hour in range(8)]
    assert sorted(batch.split(", ")) == times
    assert guilty.startswith("2021-01-01T05:00Z whose loss is not finite)")
    assert "Look for extreme fields in these windows" in message
    assert not list(tmp_path.rglob("*.ckpt"))


@pytest.mark.parametrize("clip", [1.0, None])
def test_a_gradient_that_is_not_finite_leaves_the_weights_alone(tmp_path, clip):
    class Steep(Linear):
        """Its loss is finite, its slope is not: the square root at zero."""

        def forward(self, history, *_):
            return super().forward(history) + (self.layer.bias.sum() * 0).sqrt()

    torch.manual_seed(5)
    network = Steep()
    before = weights(network)
    with pytest.raises(
        ModelError,
        match=r"finite gradient norm, found nan.*gradients of .*bias.*Lower training.learning_rate",
    ):
        fit(network, tmp_path, gradient_clip=clip)
    np.testing.assert_array_equal(weights(network), before)


def test_a_validation_loss_that_is_not_finite_names_its_times(tmp_path):
    class Brittle(Linear):
        def forward(self, *args):
            return super().forward(*args) * (1 if self.training else torch.inf)

    with pytest.raises(ModelError, match=r"finite validation loss, found inf.*2021-01-05T04:00Z"):
        fit(Brittle(), tmp_path)


def test_losses_of_every_epoch_are_logged(tmp_path):
    fit(untrained(), tmp_path)
    rows = log_of(tmp_path)
    assert [(int(row["epoch"]), int(row["step"])) for row in rows] == [
        (1, 5),
        (2, 10),
        (3, 15),
        (4, 20),
    ]
    assert all(float(row["train_loss"]) > float(row["val_loss"]) / 10 > 0 for row in rows)
    rates = [float(row["learning_rate"]) for row in rows]
    assert rates == sorted(rates, reverse=True)


def log_of(folder):
    with (folder / LOG).open() as file:
        return list(csv.DictReader(file))


def test_nothing_global_changes(tmp_path):
    fit(untrained(), tmp_path, epochs=1)
    assert not torch.are_deterministic_algorithms_enabled()


class Opposite(Noise):
    """What is learned from these windows is the opposite of what validation asks for."""

    def batch(self, indices):
        history, target = super().batch(indices)
        return history, -target


def test_the_last_epoch_is_kept_where_validation_is_not_to_choose(tmp_path):
    kept = {}
    for keep in ("best", "last"):
        network = untrained()
        settings = {"learning_rate": 0.06, "epochs": 5, "patience": 1 + 5 * (keep == "best")}
        kept[keep] = fit(network, tmp_path / keep, training=Opposite(40), keep=keep, **settings)
        kept[keep, "mse"] = validation_mse(network)
        rows = log_of(tmp_path / keep)
        losses = [float(row["val_loss"]) for row in rows]
        assert len(losses) == kept[keep].epochs == 5
    assert min(losses) < losses[-1] / 2
    assert kept["best", "mse"] == pytest.approx(min(losses), rel=1e-4)
    assert kept["last", "mse"] == pytest.approx(losses[-1], rel=1e-4)
    assert kept["last"].validation_loss == pytest.approx(losses[-1], rel=1e-4)
