"""The element-wise half of a ConvLSTM's step, and its gradient, in as few passes as can be.

Once the products are at the speed of the machine, what autograd does one operation at a time for
σ, tanh and the peepholes is a tenth of a training step. The equations are those of
:class:`lsntp.models.cell.LSConvLSTM`; shapes: b batch, d hidden channels, h x w grid.
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

_aten = torch.ops.aten


def advance(
    gates: Tensor, cell: Tensor | None, W_ci: Tensor, W_cf: Tensor, W_co: Tensor
) -> tuple[Tensor, Tensor]:
    """H_t and C_t, each (b, d, h, w), given what the convolutions and biases add up to.

    i_t = σ(i + W_ci ∘ C_{t-1}), f_t = σ(f + W_cf ∘ C_{t-1}), C_t = f_t ∘ C_{t-1} + i_t ∘ tanh(C̃),
    o_t = σ(o + W_co ∘ C_t), H_t = o_t ∘ tanh(C_t).

    Args:
        gates: i, f, C̃ and o before σ and tanh (b, 4d, h, w); in half precision the result is in
            that of the peepholes.
        cell: C_{t-1} (b, d, h, w); None for zeros.
        W_ci: peephole (d, h, w) or (d, 1, 1).
        W_cf: as ``W_ci``.
        W_co: as ``W_ci``.
    """
    if cell is None:
        cell = torch.zeros_like(gates.chunk(4, dim=-3)[0], dtype=W_ci.dtype)
    advanced: tuple[Tensor, Tensor] = _Advance.apply(gates, cell, W_ci, W_cf, W_co)  # type: ignore[no-untyped-call]
    return advanced


class _Advance(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, gates: Tensor, previous: Tensor, W_ci: Tensor, W_cf: Tensor, W_co: Tensor
    ) -> tuple[Tensor, Tensor]:
        activated = gates.to(previous.dtype, copy=True)
        i, f, candidate, o = activated.chunk(4, dim=-3)
        i.addcmul_(W_ci, previous).sigmoid_()
        f.addcmul_(W_cf, previous).sigmoid_()
        candidate.tanh_()
        cell = (f * previous).addcmul_(i, candidate)
        o.addcmul_(W_co, cell).sigmoid_()
        squashed = torch.tanh(cell)
        ctx.save_for_backward(activated, previous, cell, squashed, W_ci, W_cf, W_co)
        ctx.dtype = gates.dtype
        return o * squashed, cell

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d_hidden: Tensor, d_cell: Tensor) -> tuple[Tensor, ...]:
        activated, previous, cell, squashed, W_ci, W_cf, W_co = ctx.saved_tensors
        i, f, candidate, o = activated.chunk(4, dim=-3)
        gradient = torch.empty_like(activated)
        d_i, d_f, d_candidate, d_o = gradient.chunk(4, dim=-3)
        _aten.sigmoid_backward.grad_input(d_hidden * squashed, o, grad_input=d_o)
        d_cell = _aten.tanh_backward(d_hidden * o, squashed).add_(d_cell).addcmul_(W_co, d_o)
        _aten.sigmoid_backward.grad_input(d_cell * candidate, i, grad_input=d_i)
        _aten.sigmoid_backward.grad_input(d_cell * previous, f, grad_input=d_f)
        _aten.tanh_backward.grad_input(d_cell * i, candidate, grad_input=d_candidate)
        d_previous = (d_cell * f).addcmul_(W_ci, d_i).addcmul_(W_cf, d_f)
        return (
            gradient.to(ctx.dtype),
            d_previous,
            (d_i * previous).sum_to_size(W_ci.shape),
            (d_f * previous).sum_to_size(W_cf.shape),
            (d_o * cell).sum_to_size(W_co.shape),
        )
