"""What to say when a loss or a gradient is not finite."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from lsntp.errors import ModelError
from lsntp.times import Times, format_time

NAMED = 5
"""How many parameters a message names."""


@dataclass(frozen=True, eq=False)
class Batch:
    """Windows of one step, with what names them.

    Attributes:
        init_times: (B,).
        history: (B, T, 1, H, W), normalised.
        target: (B, K, 1, H, W), normalised.
        told: nothing, or known future (B, T + K, f, H, W) and static fields (s, H, W), each or
            None: what the network takes behind the history.
    """

    init_times: Times
    history: Tensor
    target: Tensor
    told: tuple[()] | tuple[Tensor | None, Tensor | None] = ()

    def __len__(self) -> int:
        return int(self.init_times.size)

    def told_of(self, index: int) -> tuple[()] | tuple[Tensor | None, Tensor | None]:
        """``told`` of one window, with its axis."""
        if not self.told:
            return ()
        known_future, static = self.told
        return None if known_future is None else known_future[index : index + 1], static


def refusal(
    what: str, found: float, batch: Batch, network: nn.Module, *, moment: str
) -> ModelError:
    """The error that stops a fit: which windows, which parameters, when, and what to do.

    Args:
        what: that should have been finite.
        found: inf or NaN.
        batch: it was found on.
        network: as it was then, with its gradients.
        moment: epoch, step and learning rate, in words.
    """
    finite = _are_finite(batch, network)
    named = _times(batch.init_times)
    remedy = (
        "Lower training.learning_rate or set training.gradient_clip; if that does not help, look "
        "for extreme fields at these times"
    )
    if 0 < sum(finite) < len(batch):
        guilty = batch.init_times[[not is_finite for is_finite in finite]]
        named += f" (it is {_times(guilty)} whose loss is not finite)"
        remedy = "Look for extreme fields in these windows; the rest of the batch is finite"
    parameters = _parameters(network)
    gradients = f"; not finite are the gradients of {parameters}" if parameters else ""
    return ModelError(
        f"Expected a finite {what}, found {found} in {moment}, on the windows with init_time "
        f"{named}{gradients}. {remedy}. No version was stored."
    )


def _are_finite(batch: Batch, network: nn.Module) -> Sequence[bool]:
    """Whether the loss of each window is finite (B,); one at a time, since B may be large."""
    losses = []
    with torch.no_grad():
        for index in range(len(batch)):
            history, target = batch.history[index : index + 1], batch.target[index : index + 1]
            losses.append((network(history, *batch.told_of(index)) - target).square().mean())
    return [bool(torch.isfinite(loss)) for loss in losses]


def _parameters(network: nn.Module) -> str:
    """Those whose gradient is not finite."""
    names = [
        name
        for name, parameter in network.named_parameters()
        if parameter.grad is not None and not torch.isfinite(parameter.grad).all()
    ]
    return ", ".join(names[:NAMED]) + (" and others" if len(names) > NAMED else "")


def _times(times: Times) -> str:
    return ", ".join(map(format_time, times))
