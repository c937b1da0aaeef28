"""The forward and backward pass of a batch, recorded once as a CUDA graph and replayed.

A recurrent network is thousands of kernels of some microseconds each, and launching them one by
one takes several times as long as they run. A graph launches them at once: the same kernels on
the same numbers, in the same order.
"""

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from lsntp.errors import ModelError
from lsntp.training.fit_state import random_state, set_random_state
from lsntp.training.not_finite import Batch

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
        ModelError: if ``work`` cannot be recorded. Only if the recording itself fails, and not the
            pass before it in which whatever waits for the device is refused, may the device be of
            no more use to this process.
        torch.OutOfMemoryError: if there is no memory for ``work`` as it is.
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
        drawn, stream = random_state(), torch.cuda.current_stream()
        aside = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        aside.wait_stream(stream)
        try:
            with torch.cuda.stream(aside):
                work(self._batch, self._share)
            self._record(work, network, aside)
        finally:
            torch.cuda.set_stream(stream)
            set_random_state(drawn)

    def _record(self, work: Pass, network: nn.Module, aside: torch.cuda.Stream) -> None:
        try:
            with torch.cuda.stream(aside), _no_waiting():
                work(self._batch, self._share)
            torch.cuda.current_stream().wait_stream(aside)
            network.zero_grad(set_to_none=False)
            with torch.cuda.graph(self._graph):
                self._loss = work(self._batch, self._share).detach()
        except RuntimeError as error:
            raise ModelError(
                "Expected a step whose kernels can be recorded as a CUDA graph, found: "
                f"{first_cause(error)}; set training.cuda_graphs: false. A fit that has a "
                "checkpoint goes on from it."
            ) from error

    def __call__(self, batch: Batch, share: float) -> Tensor:
        """As ``work``; the loss () is overwritten by the next call."""
        for to, tensor in zip(_tensors(self._batch), _tensors(batch), strict=True):
            to.copy_(tensor)
        self._share.fill_(share)
        self._graph.replay()
        return self._loss


def _tensors(batch: Batch) -> list[Tensor]:
    return [part for part in (batch.history, batch.target, *batch.told) if part is not None]


@contextmanager
def _no_waiting() -> Iterator[None]:
    """Refuse what waits for the device, while it still harms nothing."""
    before = torch.cuda.get_sync_debug_mode()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Synchronization debug mode")  # that it may miss some
        torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode(before)


def first_cause(error: BaseException) -> str:
    """The first line of the error that all others came of, without its full stop.

    The end of a recording that was broken raises an error of its own in the place of the first.
    """
    while error.__context__ is not None:
        error = error.__context__
    first, *_ = str(error).splitlines() or [type(error).__name__]
    return first.rstrip(".")
