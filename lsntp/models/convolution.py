"""Convolutions in the quickest of the forms that a CPU computes them in.

Shapes: b batch, c channels, f filters, h x w grid, k odd.
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional
from torch.nn.grad import conv2d_weight


def convolve(x: Tensor, theta: Tensor) -> Tensor:
    """Σ_c Σ_p Σ_q Θ_fcpq X_c(i + p - k//2, j + q - k//2), X zero beyond the grid: (b, f, h, w).

    It is what ``torch.nn.functional.conv2d`` computes, in the type of autocast where that is on.
    On a CPU,

    - in half precision the products are quickest with the channels last, but PyTorch takes longer
      to bring its result back than for all products; here it is brought back by blocks;
    - in float32 and float64 the gradient of ``x`` is another convolution, of the gradient with
      the kernel turned round, which is quicker than the library's own gradient.

    Args:
        x: X (b, c, h, w).
        theta: Θ (f, c, k, k).
    """
    x = for_products(x)
    if x.device.type != "cpu":
        return functional.conv2d(x, theta, padding="same")
    if x.dtype in (torch.float32, torch.float64):
        result: Tensor = _Convolution.apply(x, theta)  # type: ignore[no-untyped-call]
    else:
        last = functional.conv2d(
            x.contiguous(memory_format=torch.channels_last), theta, padding="same"
        )
        result = _ChannelsFirst.apply(last)  # type: ignore[no-untyped-call]
    return result


def for_products(x: Tensor) -> Tensor:
    """``x`` in the type that autocast multiplies in: cast once, not in every product."""
    device = x.device.type
    return x.to(torch.get_autocast_dtype(device)) if torch.is_autocast_enabled(device) else x


def in_order_for(width: int, x: Tensor) -> Tensor:
    """``x`` (b, c, h, w) in the order in memory in which a stack of convolutions is quickest.

    On a CPU that is channels last, which all layers behind keep; elsewhere it is as it was. So it
    is where ``width`` is no multiple of 16: with the channels last, in bfloat16 and on a processor
    with AVX-512 but no AMX, the library's gradient of a dilated kernel is then wrong or NaN (oneDNN
    3.12 in torch 2.13).

    Args:
        width: channels of the stack's inner layers.
        x: what its first layer takes.
    """
    if x.device.type != "cpu" or width % 16:
        return x
    return x.contiguous(memory_format=torch.channels_last)


class _Convolution(torch.autograd.Function):
    """dℓ/dX is dℓ/dY convolved with Θ, its channels for its filters and both axes turned round."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, theta: Tensor) -> Tensor:
        ctx.save_for_backward(x, theta)
        return functional.conv2d(x, theta, padding="same")

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor | None]:
        x, theta = ctx.saved_tensors
        of_x = of_theta = None
        if ctx.needs_input_grad[0]:
            turned = theta.transpose(0, 1).flip(2, 3)
            of_x = functional.conv2d(gradients[0], turned, padding="same")
        if ctx.needs_input_grad[1]:
            padding = theta.shape[-1] // 2
            of_theta = conv2d_weight(  # type: ignore[no-untyped-call]
                x, theta.shape, gradients[0], padding=padding
            )
        return of_x, of_theta


class _ChannelsFirst(torch.autograd.Function):
    """(b, f, h, w), channels last in memory, to the same with channels first."""

    @staticmethod
    def forward(_: Any, last: Tensor) -> Tensor:
        first = torch.empty_like(last, memory_format=torch.contiguous_format)
        nodes = last.permute(0, 2, 3, 1).flatten(1, 2)  # (b, h w, f), a view
        for to, sample in zip(first.flatten(2), nodes, strict=True):
            to.copy_(sample.T)  # of two axes at a time: only these are copied by blocks
        return first

    @staticmethod
    @once_differentiable
    def backward(_: Any, *gradients: Tensor) -> Tensor:
        return gradients[0]
