"""The gradient that is written out, against finite differences and against autograd's."""

import pytest
import torch
from torch import Tensor

from lsntp.models.gates import advance

SHAPE = (3, 4)


def _random(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, requires_grad=True)


def _inputs(peephole: tuple[int, int], seed: int = 3) -> list[Tensor]:
    """gates, C_{t-1} and the peepholes, of 2 samples and 2 hidden channels."""
    torch.manual_seed(seed)
    peepholes = [_random(2, *peephole) for _ in range(3)]
    return [_random(2, 8, *SHAPE), _random(2, 2, *SHAPE), *peepholes]


def _plain(gates: Tensor, cell: Tensor, w_i: Tensor, w_f: Tensor, w_o: Tensor) -> list[Tensor]:
    i, f, candidate, o = gates.chunk(4, dim=1)
    after = torch.sigmoid(f + w_f * cell) * cell
    after = after + torch.sigmoid(i + w_i * cell) * torch.tanh(candidate)
    return [torch.sigmoid(o + w_o * after) * torch.tanh(after), after]


@pytest.mark.parametrize("peephole", [SHAPE, (1, 1)])
def test_its_gradient_is_the_limit_of_finite_differences(peephole: tuple[int, int]) -> None:
    assert torch.autograd.gradcheck(advance, _inputs(peephole))


@pytest.mark.parametrize("peephole", [SHAPE, (1, 1)])
@pytest.mark.parametrize("used", [(0,), (1,), (0, 1)])
def test_it_is_the_plain_equations_to_the_last_digits(
    peephole: tuple[int, int], used: tuple[int, ...]
) -> None:
    """Also where a loss reads only one of H and C."""
    inputs = _inputs(peephole)
    weights = [torch.randn(2, 2, *SHAPE, dtype=torch.float64) for _ in range(2)]
    found, expected = advance(*inputs), _plain(*inputs)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-14, atol=1e-14)
    gradients = [
        torch.autograd.grad(
            sum((weights[k] * states[k]).sum() for k in used), inputs, materialize_grads=True
        )
        for states in (found, expected)
    ]
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-13, atol=1e-13)


def test_no_cell_state_is_one_of_zeros() -> None:
    gates, cell, *peepholes = _inputs((1, 1))
    for one, other in zip(
        advance(gates, None, *peepholes),
        advance(gates, torch.zeros_like(cell), *peepholes),
        strict=True,
    ):
        assert torch.equal(one, other)


def test_gates_in_half_precision_are_advanced_in_that_of_the_state() -> None:
    gates, cell, *peepholes = (one.detach().float() for one in _inputs(SHAPE))
    half = gates.bfloat16().requires_grad_()
    hidden, after = advance(half, cell, *peepholes)
    assert hidden.dtype == after.dtype == torch.float32
    for one, other in zip(
        (hidden, after), _plain(half.detach().float(), cell, *peepholes), strict=True
    ):
        torch.testing.assert_close(one, other)
    (hidden.sum() + after.sum()).backward()
    assert half.grad is not None
    assert half.grad.dtype == torch.bfloat16
