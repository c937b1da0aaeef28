"""Fitting a network: resumable to the bit, reproducible, within a budget.

What holds. On a CPU, with the same torch and the same number of threads, equal seeds give equal
weights, and a fit that was killed and run again ends with the weights, optimiser, random
numbers, log and best epoch of an undisturbed one. Another number of threads may sum in another
order, so the last digits may differ; a fit that goes on with another number says so. So it does
with another split of the same step over devices and accumulated batches, and
``compile``. How many of the windows' fields fit into memory decides nothing but the time, and there
are no loading workers whose number could matter. On a GPU torch's
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
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn

from lsntp.config import TrainingConfig
from lsntp.errors import ModelError
from lsntp.training.checkpoints import Checkpoints
from lsntp.training.compiled import compiled_layers
from lsntp.training.devices import UNDECISIVE, count_devices, step_windows
from lsntp.training.fit_loop import Examples, FitLoop
from lsntp.training.fit_state import Progress, StoppedBy
from lsntp.training.ranks import run_ranks
from lsntp.training.unfinished import CHECKPOINTS

LOG = "metrics.csv"

_log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Fitted:
    """What came of a fit: the network holds the best epoch's weights.

    Attributes:
        epochs: finished, those before a resume included.
        validation_loss: the best epoch's loss on the transformed target.
        accelerator: what it ran on.
        devices: on how many of them, a process each.
        seconds: that went into the weights, earlier runs included; work lost is not counted.
        stopped_by: what ended it: its epochs, its patience or its minutes.
    """

    epochs: int
    validation_loss: float
    accelerator: str
    devices: int
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
    """Minimise ``config.loss`` of the transformed target; stop early on the validation block.

    A fit that was killed left checkpoints in ``folder``, one an epoch and one every
    ``checkpoint_minutes``. Called again, it goes on from the last good one and ends as it would
    have undisturbed. Uses the GPU if there is one; with several devices
    (:func:`~lsntp.training.devices.count_devices`) every one gets a process of its own, for
    which ``network`` and windows must be picklable, and a lost one ends the others.

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
        ConfigError: if more GPUs are asked for than there are, or ``compile`` has no compiler or
            a torch whose compiled gradients are wrong.
        ModelError: if a loss or gradient stops being finite; names the batch's initial times. Or
            if ``cuda_graphs`` are asked for and a step cannot be recorded.
        RankLostError: if one of several processes was killed; run again.
        StorageError: if a checkpoint cannot be written; the last good one stays.
    """
    described = _digest(identity, config, network, len(training), len(validation))
    checkpoints = Checkpoints(folder / CHECKPOINTS, described)
    devices = count_devices(config)
    work = partial(
        _run, network, training, validation, config, checkpoints, folder / LOG, description
    )
    if devices == 1:
        loop = work()
        best, progress, accelerator = loop.state.best, loop.state.progress, loop.accelerator
    else:
        state = torch.get_rng_state()
        run_ranks(partial(_run_rank, work, config.seed, state, devices), devices)
        best, progress, accelerator = _end_of(checkpoints)
    network.load_state_dict(best)
    if progress.stopped_by == "max_minutes":
        _log.warning(
            "%s: training.max_minutes (%g) ended the fit in epoch %d of %d.",
            *(description, config.max_minutes, progress.epoch, config.epochs),
        )
    return Fitted(
        epochs=progress.epoch,
        validation_loss=progress.best_loss,
        accelerator=accelerator,
        devices=devices,
        seconds=progress.seconds,
        stopped_by=progress.stopped_by,
    )


def _run(
    network: nn.Module,
    training: Examples,
    validation: Examples,
    config: TrainingConfig,
    checkpoints: Checkpoints,
    log: Path,
    description: str,
    *,
    devices: int = 1,
) -> FitLoop:
    """The fit in this process, alone or as one of several."""
    with _deterministic(), compiled_layers(network, config):
        loop = FitLoop(network, training, validation, config, checkpoints, devices)
        loop.resume()
        loop.run(description, log)
    return loop


def _run_rank(work: "partial[FitLoop]", seed: int, state: Tensor, devices: int) -> None:
    """One process's part; the first draws the random numbers that a fit alone would draw."""
    rank = int(os.environ["LOCAL_RANK"])
    torch.manual_seed(seed + rank)
    if rank == 0:
        torch.set_rng_state(state)
    work(devices=devices)


def _end_of(checkpoints: Checkpoints) -> tuple[dict[str, Tensor], Progress, str]:
    """Best weights, progress and accelerator of a fit that other processes finished."""
    content = checkpoints.load()
    if content is None:
        raise ModelError(
            f"Expected the last checkpoint of the fit in {checkpoints.folder}, found none that is "
            "good; leave that folder alone while a fit is at work, and run it again."
        )
    progress = Progress(**content["progress"])
    return content["best"], progress, content["environment"]["accelerator"]


def _digest(
    identity: str, config: TrainingConfig, network: nn.Module, training: int, validation: int
) -> str:
    """Of all that must be equal for a checkpoint to be gone on from."""
    settings = config.model_dump(mode="json", exclude=set(UNDECISIVE))
    settings["batch_size"] = step_windows(config)
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
