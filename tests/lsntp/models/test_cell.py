"""The recurrent layer: its gates by hand, and what stands for zero."""

import math

import pytest
import torch
from torch import Tensor

from lsntp.config import LsntpConfig
from lsntp.models.cell import LSConvLSTM, State
from lsntp.models.graph import NoGraph

SHAPE = (3, 4)


def _layer(channels: int = 2, **switches: object) -> LSConvLSTM:
    torch.manual_seed(7)
    architecture = LsntpConfig.model_validate({"hidden": 3, "embedding": 2, **switches})
    layer = LSConvLSTM(channels, architecture, SHAPE).double()
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.normal_(std=0.5)
    return layer


def _random(*shape: int) -> Tensor:
    return torch.randn(*shape, *SHAPE, dtype=torch.float64)


def _state(batch: int = 2, hidden: int = 3) -> State:
    return State(torch.tanh(_random(batch, hidden)), _random(batch, hidden))


def _logistic(value: float) -> float:
    return 1 / (1 + math.exp(-value))


def test_gates_by_hand_where_only_biases_and_peepholes_act() -> None:
    # One hidden channel, LS-Conv weights 0: the gates see b and W_c∘C alone.
    layer = LSConvLSTM(1, LsntpConfig(hidden=1, embedding=2), SHAPE).double()
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.zero_()
        assert layer.b is not None
        layer.b[:, 0, 0] = torch.tensor([0.1, 0.2, 0.3, 0.4])  # i, f, C̃, o
        layer.W_ci.fill_(0.5)
        layer.W_cf.fill_(-0.6)
        layer.W_co.fill_(0.7)
    before = State(torch.full((1, 1, *SHAPE), 0.9), torch.full((1, 1, *SHAPE), 2.0))
    after = layer.step(_random(1, 1), State(*(part.double() for part in before)), NoGraph())

    i, f = _logistic(0.1 + 0.5 * 2), _logistic(0.2 - 0.6 * 2)
    cell = f * 2 + i * math.tanh(0.3)
    o = _logistic(0.4 + 0.7 * cell)  # the output gate looks at the new cell state
    torch.testing.assert_close(after.cell, torch.full_like(after.cell, cell))
    torch.testing.assert_close(after.hidden, torch.full_like(after.hidden, o * math.tanh(cell)))


@pytest.mark.parametrize("convolution", ["separate", "joint"])
def test_a_run_is_its_steps_one_after_the_other(convolution: str) -> None:
    layer = _layer(convolution=convolution)
    inputs, state = _random(2, 4, 2), _state()
    together, last = layer(inputs, state, NoGraph(), steps=4)
    for step in range(4):
        state = layer.step(inputs[:, step], state, NoGraph())
        torch.testing.assert_close(together[:, step], state.hidden)
    torch.testing.assert_close(last.cell, state.cell)


@pytest.mark.parametrize("convolution", ["separate", "joint"])
def test_none_is_zero(convolution: str) -> None:
    layer = _layer(convolution=convolution)
    zeros = State(*(torch.zeros(2, 3, *SHAPE, dtype=torch.float64) for _ in range(2)))
    x, state = _random(2, 2), _state()
    for given, written_out in (
        (layer.step(x, None, NoGraph()), layer.step(x, zeros, NoGraph())),
        (layer.step(None, state, NoGraph()), layer.step(torch.zeros_like(x), state, NoGraph())),
    ):
        torch.testing.assert_close(given.hidden, written_out.hidden)
        torch.testing.assert_close(given.cell, written_out.cell)


def test_a_layer_without_input_has_no_weights_for_one() -> None:
    assert not [name for name in _layer(channels=0).state_dict() if name.startswith("W_x")]


@pytest.mark.parametrize(("peephole", "shape"), [("cell", SHAPE), ("channel", (1, 1))])
def test_peepholes_are_per_cell_or_per_channel(peephole: str, shape: tuple[int, int]) -> None:
    layer = _layer(peephole=peephole)
    assert {tuple(w.shape) for w in (layer.W_ci, layer.W_cf, layer.W_co)} == {(3, *shape)}
