"""A fit at one moment: all that a checkpoint must hold for the fit to go on as if undisturbed."""

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.swa_utils import AveragedModel

StoppedBy = Literal["", "epochs", "patience", "max_minutes"]


@dataclass
class Progress:
    """How far a fit has come.

    Attributes:
        epoch: epochs finished, their validation included.
        batch: batches done in the epoch in hand; also the position of the sampler, whose order
            depends on seed and epoch alone.
        windows: windows in them.
        loss_sum: of the loss over these windows.
        best_epoch: the epoch of the best validation loss, from 1; 0 before there is one.
        best_loss: the best validation loss.
        history: one row an epoch, for the log.
        seconds: spent in the fit, earlier runs included.
        stopped_by: why the fit is at its end; empty while it is not.
    """

    epoch: int = 0
    batch: int = 0
    windows: int = 0
    loss_sum: float = 0.0
    best_epoch: int = 0
    best_loss: float = math.inf
    history: list[dict[str, float]] = field(default_factory=list)
    seconds: float = 0.0
    stopped_by: StoppedBy = ""


@dataclass(eq=False)
class FitState:
    """Weights, optimiser, average, best weights, progress and random numbers.

    Attributes:
        network: as the optimiser steps it.
        optimizer: with its moments. The learning rate is a function of the step.
        average: of the weights over the steps, if asked for.
        progress: the plain numbers.
        best: the weights of the best epoch by name; empty before there is one.
    """

    network: nn.Module
    optimizer: Optimizer
    average: AveragedModel | None
    progress: Progress = field(default_factory=Progress)
    best: dict[str, Tensor] = field(default_factory=dict)

    @property
    def candidate(self) -> nn.Module:
        """The network to validate and keep: the average, where there is one."""
        if self.average is None:
            return self.network
        candidate: nn.Module = self.average.module
        return candidate

    def keep_best(self, epoch: int, loss: float) -> None:
        """Remember the candidate's weights as the best so far."""
        self.progress.best_epoch, self.progress.best_loss = epoch, loss
        self.best = {name: t.detach().clone() for name, t in self.candidate.state_dict().items()}

    def to_dict(self) -> dict[str, Any]:
        """For a checkpoint; the random numbers are those of this process."""
        return {
            "network": self.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "average": self.average.state_dict() if self.average is not None else None,
            "best": self.best,
            "progress": asdict(self.progress),
            "random": random_state(),
        }

    def load(self, content: Mapping[str, Any]) -> None:
        """Be what :meth:`to_dict` stored; random numbers are left to :func:`set_random_state`."""
        self.network.load_state_dict(content["network"])
        self.optimizer.load_state_dict(content["optimizer"])
        if self.average is not None:
            self.average.load_state_dict(content["average"])
        self.best = dict(content["best"])
        self.progress = Progress(**content["progress"])


def moving_average(network: nn.Module, decay: float) -> AveragedModel:
    """A copy of ``network`` that follows it exponentially.

    After its n-th update it is d·average + (1 − d)·weights with d = min(decay, n / (9 + n)), so
    that the random start is soon forgotten; the first update copies the weights.

    Args:
        network: on its final device.
        decay: between 0 and 1; the memory is about 1 / (1 − decay) steps.
    """
    return AveragedModel(network, multi_avg_fn=_exponential(decay))


def _exponential(decay: float) -> Callable[[Any, Any, Tensor | int], None]:
    @torch.no_grad()
    def update(averages: Any, weights: Any, updates: Tensor | int) -> None:
        number = 1 + int(updates)
        share = 1 - min(decay, number / (9 + number))
        for average, weight in zip(averages, weights, strict=True):
            average.lerp_(weight, share)

    return update


def random_state() -> dict[str, Any]:
    """Of every generator that a network may draw from in training, on this process's device."""
    cuda = [torch.cuda.get_rng_state()] if torch.cuda.is_available() else []
    return {"cpu": torch.get_rng_state(), "cuda": cuda}


def set_random_state(state: Mapping[str, Any]) -> None:
    """Draw as the process would have whose :func:`random_state` this is."""
    torch.set_rng_state(state["cpu"])
    if torch.cuda.is_available() and state["cuda"]:
        torch.cuda.set_rng_state(state["cuda"][0])
