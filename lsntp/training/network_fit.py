"""Fitting a network: resumable to the bit, reproducible, within a budget.

What holds. On a CPU, with the same torch and the same number of threads, equal seeds give equal
weights, and a fit that was killed and run again ends with the weights, optimiser, random
numbers, log and best epoch of an undisturbed one. Another number of threads may sum in another
order, so the last digits may differ; a fit that goes on with another number says so. The windows
are in memory: there are no loading workers whose number could matter. On a GPU torch's
deterministic algorithms are used. ``max_minutes`` counts the time that went into the weights,
over all runs of a fit; a fit that it ends stops where the clock says, so repeating it gives other
weights.
"""

import hashlib
import json
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from lsntp.config import TrainingConfig
from lsntp.training.checkpoints import Checkpoints
from lsntp.training.fit_loop import Examples, FitLoop
from lsntp.training.fit_state import StoppedBy
from lsntp.training.unfinished import CHECKPOINTS

LOG = "metrics.csv"

_log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Fitted:
    """What came of a fit: the network holds the best epoch's weights.

    Attributes:
        epochs: finished, those before a resume included.
        validation_loss: the best epoch's MSE on the transformed target.
        accelerator: what it ran on.
        seconds: that went into the weights, earlier runs included; work lost is not counted.
        stopped_by: what ended it: its epochs, its patience or its minutes.
    """

    epochs: int
    validation_loss: float
    accelerator: str
    seconds: float
    stopped_by: StoppedBy


def fit_network(
    network: nn.Module,
    training: Examples,
    validation: Examples,
    *,
    config: TrainingConfig,
    folder: Path,
    description: str,
    identity: str = "",
) -> Fitted:
    """Minimise the MSE on the transformed target; stop early on the validation block.

    A fit that was killed left checkpoints in ``folder``, one an epoch and one every
    ``checkpoint_minutes``. Called again, it goes on from the last good one and ends as it would
    have undisturbed. Uses the GPU if there is one.

    Args:
        network: trained in place; torch was seeded before it was made.
        training: windows of the training block.
        validation: windows of a later block of time.
        config: epochs, budget, optimiser, patience, seed.
        folder: for checkpoints and the log ``metrics.csv``.
        description: of the progress bar.
        identity: names what else decides the weights, such as the digest of the data;
            checkpoints made under another one are not used.

    Raises:
        ModelError: if a loss or gradient stops being finite; names the batch's initial times.
        StorageError: if a checkpoint cannot be written; the last good one stays.
    """
    described = _digest(identity, config, network, len(training), len(validation))
    loop_of = (network, training, validation, config)
    with _deterministic():
        loop = FitLoop(*loop_of, Checkpoints(folder / CHECKPOINTS, described))
        loop.resume()
        loop.run(description, folder / LOG)
    network.load_state_dict(loop.state.best)
    progress = loop.state.progress
    if progress.stopped_by == "max_minutes":
        _log.warning(
            "%s: training.max_minutes (%g) ended the fit in epoch %d of %d.",
            *(description, config.max_minutes, progress.epoch, config.epochs),
        )
    return Fitted(
        epochs=progress.epoch,
        validation_loss=progress.best_loss,
        accelerator=loop.accelerator,
        seconds=progress.seconds,
        stopped_by=progress.stopped_by,
    )


def _digest(
    identity: str, config: TrainingConfig, network: nn.Module, training: int, validation: int
) -> str:
    """Of all that must be equal for a checkpoint to be gone on from."""
    settings = config.model_dump(mode="json", exclude={"checkpoint_minutes"})
    tensors = {
        name: [list(tensor.shape), str(tensor.dtype)]
        for name, tensor in network.state_dict().items()
    }
    text = json.dumps([identity, settings, tensors, training, validation], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


@contextmanager
def _deterministic() -> Iterator[None]:
    """Use torch's deterministic algorithms; the global switch is undone afterwards."""
    before = torch.are_deterministic_algorithms_enabled()
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS asks for it
    torch.use_deterministic_algorithms(True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before)
