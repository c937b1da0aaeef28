"""Networks that are told more than the history: what is known of each step, and what lies there.

Shapes: b batch, T history steps, K horizon steps, f known channels, s static channels, H x W grid.
The channels are those of :mod:`lsntp.training_data.forcings`; the climatology comes first.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from lsntp.errors import ModelError
from lsntp.training_data.forcings import KNOWN, STATIC


@dataclass(frozen=True)
class Told:
    """Which inputs a network takes beside its history.

    Attributes:
        known: whether ``known_future`` (b, T + K, f, H, W) is needed.
        static: whether ``static`` (s, H, W) is needed.
    """

    known: bool
    static: bool

    def check(
        self,
        history: Tensor,
        known_future: Tensor | None,
        static: Tensor | None,
        *,
        steps: tuple[int, int],
        shape: tuple[int, int],
    ) -> None:
        """Refuse inputs that do not fit a network built for ``steps`` (T, K) and ``shape`` (H, W).

        Raises:
            ModelError: naming what was expected and found, or if the history is incomplete.
        """
        self._check("history", history, (steps[0], 1, *shape), batch=True)
        known_shape = (sum(steps), len(KNOWN), *shape) if self.known else None
        self._check("known_future", known_future, known_shape, batch=True)
        self._check("static", static, (len(STATIC), *shape) if self.static else None, batch=False)
        if not torch.isfinite(history).all():
            raise ModelError("Expected a complete history, found NaN or infinite values.")

    def _check(
        self, name: str, found: Tensor | None, expected: tuple[int, ...] | None, *, batch: bool
    ) -> None:
        if found is None and expected is None:
            return
        if found is None or expected is None or tuple(found.shape[int(batch) :]) != expected:
            wanted = (
                "none" if expected is None else f"shape {('b', *expected) if batch else expected}"
            )
            shape = "none" if found is None else f"shape {tuple(found.shape)}"
            raise ModelError(
                f"Expected {name} of {wanted} for this network, found {shape}; train it for this "
                "domain, and give it what its configuration names."
            )


class ResidualBlock(nn.Module):
    """X + Conv(Dropout(GELU(Conv(GroupNorm(X))))), both 3 x 3; the identity at first.

    Args:
        channels: of X.
        dilation: of the first convolution: how far it looks.
        dropout: share of channels dropped between the two.
    """

    def __init__(self, channels: int, *, dilation: int = 1, dropout: float = 0.0) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(1, channels)
        self.first = nn.Conv2d(
            channels, channels, kernel_size=3, padding=dilation, dilation=dilation
        )
        self.dropout = nn.Dropout2d(dropout)
        self.second = zero_at_first(nn.Conv2d(channels, channels, kernel_size=3, padding=1))

    def forward(self, x: Tensor) -> Tensor:
        """(b, channels, H, W), as ``x``."""
        inner: Tensor = self.second(self.dropout(functional.gelu(self.first(self.norm(x)))))
        return x + inner


DILATIONS = (1, 2, 4, 2)
"""Of consecutive blocks, over and over: cells up to 18 steps away after four."""


def residual_blocks(count: int, channels: int, dropout: float) -> nn.Sequential:
    """``count`` blocks that look further by turns."""
    return nn.Sequential(
        *(
            ResidualBlock(channels, dilation=DILATIONS[n % len(DILATIONS)], dropout=dropout)
            for n in range(count)
        )
    )


def zero_at_first(layer: nn.Conv2d) -> nn.Conv2d:
    """``layer`` with weights and bias zero: what it adds is nothing until it is trained."""
    nn.init.zeros_(layer.weight)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer
