from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from lsntp.errors import ModelError
from lsntp.training.not_finite import Batch, refusal

START = np.datetime64("2021-03-01T22", "ns")


class Last(nn.Module):
    """Forecasts the last field of the history, twice; ``count`` parameters have no part in it."""

    def __init__(self, count=0):
        super().__init__()
        self.weights = nn.ParameterList(torch.zeros(2) for _ in range(count))

    def forward(self, history):
        return history[:, -1:].repeat(1, 2, 1, 1, 1)


def batch_of(size):
    """Windows of zeros at 22 UTC, 23 UTC, 0 UTC..."""
    times = START + np.arange(size) * np.timedelta64(1, "h")
    return Batch(times, torch.zeros(size, 3, 1, 2, 2), torch.zeros(size, 2, 1, 2, 2))


def message_of(batch, network, found=float("nan")):
    error = refusal("loss", found, batch, network, moment="epoch 2, step 7")
    assert isinstance(error, ModelError)
    return str(error)


def test_a_batch_counts_its_windows():
    assert [len(batch_of(size)) for size in (0, 1, 4)] == [0, 1, 4]


def test_a_message_says_what_was_found_when_and_on_which_windows():
    message = message_of(batch_of(2), Last(), found=float("inf"))
    assert message == (
        "Expected a finite loss, found inf in epoch 2, step 7, on the windows with init_time "
        "2021-03-01T22:00Z, 2021-03-01T23:00Z. Lower training.learning_rate or set "
        "training.gradient_clip; if that does not help, look for extreme fields at these times. "
        "No version was stored."
    )


def test_guilty_windows_are_told_from_the_others():
    batch = batch_of(4)
    batch.target[1, 0, 0, 0, 0] = torch.nan
    batch.history[2, -1, 0, 1, 1] = torch.inf
    message = message_of(batch, Last())
    guilty = "(it is 2021-03-01T23:00Z, 2021-03-02T00:00Z whose loss is not finite)"
    assert f"2021-03-02T00:00Z, 2021-03-02T01:00Z {guilty}. Look for extreme fields" in message
    assert "learning_rate" not in message


def test_a_finite_field_whose_square_overflows_is_guilty():
    batch = batch_of(2)
    batch.target[0] = 1e20  # its square is beyond 3.4e38, the largest float32
    assert "(it is 2021-03-01T22:00Z whose loss is not finite)" in message_of(batch, Last())


def test_a_history_step_that_the_network_does_not_use_is_not_guilty():
    batch = batch_of(2)
    batch.history[0, 0] = torch.nan
    assert "(it is" not in message_of(batch, Last())


def test_where_every_window_is_guilty_the_learning_rate_is_the_remedy():
    batch = batch_of(3)
    batch.target[:] = torch.nan
    message = message_of(batch, Last())
    assert "(it is" not in message
    assert "Lower training.learning_rate" in message


@pytest.mark.parametrize(
    ("count", "named"),
    [
        (1, "weights.0"),
        (5, "weights.0, weights.1, weights.2, weights.3, weights.4"),
        (6, "weights.0, weights.1, weights.2, weights.3, weights.4 and others"),
    ],
)
def test_at_most_five_parameters_are_named(count, named):
    network = Last(count)
    for weight in network.weights:
        weight.grad = torch.tensor([0.0, torch.inf])
    assert f"; not finite are the gradients of {named}. Lower" in message_of(batch_of(1), network)


def test_parameters_with_a_finite_gradient_or_none_are_not_named():
    network = Last(3)
    network.weights[1].grad = torch.tensor([torch.nan, 0.0])
    network.weights[2].grad = torch.ones(2)
    message = message_of(batch_of(1), network)
    assert "; not finite are the gradients of weights.1. Lower" in message


def test_looking_for_the_guilty_leaves_the_gradients_as_they_were():
    network = nn.Conv3d(3, 2, 1)  # takes the time steps for channels
    network.weight.grad = torch.full_like(network.weight, 2.0)
    message_of(batch_of(2), network)
    assert network.bias.grad is None
    assert (network.weight.grad == 2).all()


class Told(Last):
    """Forecasts what it is told of the last two steps, plus a static field."""

    def forward(self, history, known_future=None, static=None):
        return known_future[:, -2:, :1] + static


def test_a_network_that_is_told_more_is_told_it_window_by_window():
    known, static = torch.zeros(3, 5, 2, 2, 2), torch.zeros(2, 2)
    known[1, -1] = torch.nan
    batch = replace(batch_of(3), told=(known, static))
    message = message_of(batch, Told())
    assert "(it is 2021-03-01T23:00Z whose loss is not finite)" in message


def test_what_was_not_told_stays_none():
    batch = replace(batch_of(2), told=(None, torch.zeros(2, 2)))
    assert batch.told_of(1)[0] is None
    assert batch_of(2).told_of(1) == ()
