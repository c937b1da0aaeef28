"""LS-Conv against what its equations promise."""

import math

import pytest
import torch
from torch import Tensor

from lsntp.models.graph import DenseGraph, adaptive_adjacency
from lsntp.models.lsconv import LSConv, NodeSpatialAttention

HEIGHT, WIDTH, CHANNELS, FILTERS = 4, 5, 3, 2
NODES = HEIGHT * WIDTH


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(3)


def _random(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64)


def _lsconv(kernel: int) -> LSConv:
    operator = LSConv(CHANNELS, FILTERS, kernel).double()
    with torch.no_grad():
        for parameter in operator.parameters():
            parameter.normal_()
    return operator


def test_adjacency_of_two_nodes_is_the_softmax_worked_by_hand() -> None:
    # E = [[1, 0], [1, -3]]: E Eᵀ = [[1, 1], [1, 10]]; all positive, so ReLU changes nothing.
    adjacency = adaptive_adjacency(torch.tensor([[1.0, 0.0], [1.0, -3.0]], dtype=torch.float64))
    low, high = 1 / (1 + math.exp(9)), 1 / (1 + math.exp(-9))
    expected = torch.tensor([[0.5, 0.5], [low, high]], dtype=torch.float64)
    torch.testing.assert_close(adjacency, expected, rtol=1e-14, atol=0)


def test_nodes_that_look_opposite_keep_a_weight() -> None:
    # E Eᵀ = [[4, -4], [-4, 4]]; ReLU makes the -4 a 0, whose exponential is 1, not e⁻⁴.
    adjacency = adaptive_adjacency(torch.tensor([[2.0], [-2.0]], dtype=torch.float64))
    assert adjacency[0, 1].item() == pytest.approx(1 / (1 + math.exp(4)), rel=1e-14)


def test_adjacency_rows_are_positive_and_sum_to_one() -> None:
    adjacency = adaptive_adjacency(3 * _random(NODES, 6))
    assert (adjacency > 0).all()
    torch.testing.assert_close(adjacency.sum(dim=1), torch.ones(NODES, dtype=torch.float64))


def test_graph_leaves_a_constant_field_constant() -> None:
    nodes = torch.full((NODES, 1), 7.0, dtype=torch.float64)
    torch.testing.assert_close(adaptive_adjacency(_random(NODES, 6)) @ nodes, nodes)


def test_attention_lies_between_one_half_and_one() -> None:
    attention = NodeSpatialAttention(CHANNELS).double()
    x = _random(2, CHANNELS, HEIGHT, WIDTH)
    ratio = attention(x) / x
    assert (ratio >= 0.5).all()
    assert (ratio < 1).all()


def test_renumbering_the_nodes_renumbers_the_result_of_a_pointwise_kernel() -> None:
    operator, x, embedding = (
        _lsconv(kernel=1),
        _random(2, CHANNELS, NODES, 1),
        _random(NODES, 6),
    )
    order = torch.randperm(NODES)
    identity = torch.eye(NODES, dtype=torch.float64)
    straight = operator(x, DenseGraph(identity + adaptive_adjacency(embedding)))
    renumbered = operator(
        x[:, :, order], DenseGraph(identity + adaptive_adjacency(embedding[order]))
    )
    torch.testing.assert_close(renumbered, straight[:, :, order])


def test_pointwise_kernel_is_one_graph_convolution() -> None:
    operator, x = _lsconv(kernel=1), _random(1, CHANNELS, HEIGHT, WIDTH)
    graph = _random(NODES, NODES)
    nodes = operator.attention(x)[0].reshape(CHANNELS, NODES).T
    expected = graph @ nodes @ operator.theta[:, :, 0, 0].T
    torch.testing.assert_close(
        operator(x, DenseGraph(graph))[0].reshape(FILTERS, NODES).T, expected
    )


@pytest.mark.parametrize("kernel", [1, 3, 5, 7])
def test_grid_keeps_its_size(kernel: int) -> None:
    result = _lsconv(kernel)(
        _random(2, CHANNELS, HEIGHT, WIDTH), DenseGraph(torch.eye(NODES).double())
    )
    assert result.shape == (2, FILTERS, HEIGHT, WIDTH)


def test_zero_input_gives_exactly_zero() -> None:
    x = torch.zeros(1, CHANNELS, HEIGHT, WIDTH, dtype=torch.float64)
    assert not _lsconv(kernel=3)(x, DenseGraph(_random(NODES, NODES))).any()


def test_information_crosses_the_whole_grid_in_one_step() -> None:
    x = _random(1, CHANNELS, HEIGHT, WIDTH).requires_grad_()
    graph = torch.eye(NODES) + adaptive_adjacency(_random(NODES, 6))
    operator = _lsconv(kernel=1)
    operator.attention = None  # its GroupNorm would connect all cells too
    operator(x, DenseGraph(graph))[0, 0, 0, 0].backward()
    assert x.grad is not None
    assert (x.grad[0, :, -1, -1] != 0).all()
