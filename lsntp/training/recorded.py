"""The forward and backward pass of a batch, recorded once as a CUDA graph and replayed.

A recurrent network is thousands of kernels of some microseconds each, and launching them one by
one takes several times as long as they run. A graph launches them at once: the same kernels on
the same numbers, in the same order.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from lsntp.training.fit_state import random_state, set_random_state
from lsntp.training.not_finite import Batch

WARM_UPS = 2
"""Passes before the recording, in which libraries choose their kernels and take their memory."""

Pass = Callable[[Batch, Tensor], Tensor]
"""Of a batch and the share () that its loss has in the step: adds the gradients of the loss times
the share to those of the parameters, and gives the loss ()."""


class RecordedPass:
    """``work`` on batches of one size.

    While it is in use the gradients stay where they are in memory: they are set to zero, never to
    None. Neither weights nor random numbers are other ones for the recording.

    Args:
        work: what is recorded; it must not look at a number on the device.
        network: whose parameters ``work`` gives gradients to; on a GPU.
        batch: one of the size that is recorded.

    Raises:
        RuntimeError: if ``work`` cannot be recorded, or there is no memory for it.
    """

    def __init__(self, work: Pass, network: nn.Module, batch: Batch) -> None:
        self._batch = Batch(
            batch.init_times,
            batch.history.clone(),
            batch.target.clone(),
            tuple(None if part is None else part.clone() for part in batch.told),  # type: ignore[arg-type]
        )
        self._share = torch.ones((), device=batch.history.device)
        self._graph = torch.cuda.CUDAGraph()
        drawn = random_state()
        try:
            aside = torch.cuda.Stream()  # type: ignore[no-untyped-call]
            aside.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(aside):
                for _ in range(WARM_UPS):
                    work(self._batch, self._share)
            torch.cuda.current_stream().wait_stream(aside)
            network.zero_grad(set_to_none=False)
            with torch.cuda.graph(self._graph):
                self._loss = work(self._batch, self._share).detach()
        finally:
            set_random_state(drawn)

    def __call__(self, batch: Batch, share: float) -> Tensor:
        """As ``work``; the loss () is overwritten by the next call."""
        for to, tensor in zip(_tensors(self._batch), _tensors(batch), strict=True):
            to.copy_(tensor)
        self._share.fill_(share)
        self._graph.replay()
        return self._loss


def _tensors(batch: Batch) -> list[Tensor]:
    return [part for part in (batch.history, batch.target, *batch.told) if part is not None]
