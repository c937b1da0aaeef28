"""Fitting a network with Lightning: resumable, reproducible, within a budget."""

import datetime as dt
import logging
import math
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import torch
from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback, EarlyStopping, ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger
from lightning.pytorch.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset, Sampler
from tqdm import tqdm

from lsntp.config import TrainingConfig
from lsntp.errors import ModelError, StorageError
from lsntp.progress import open_bar
from lsntp.times import Times, format_time
from lsntp.training_data.windows import Windows

CHECKPOINTS = "checkpoints"
BEST, LAST = "best", "last"
VAL_LOSS = "val_loss"
CHATTER = ("lightning.pytorch.utilities.rank_zero", "lightning.fabric.utilities.seed")
EXPECTED_WARNINGS = (
    r"`isinstance\(treespec, LeafSpec\)` is deprecated",  # Lightning's own, with torch 2.13
    r".*does not have many workers.*",  # the windows are in memory: workers would only copy them
    r"Checkpoint directory .* exists and is not empty",  # that is what a resumed fit looks like
)

Batch = tuple[Tensor, Tensor, Tensor]

_log = logging.getLogger(__name__)


class Examples(Dataset[Batch]):
    """Windows as (history (T, 1, H, W), target (K, 1, H, W), index), normalised.

    The index lets a bad window be named.
    """

    def __init__(self, windows: Windows) -> None:
        self.windows = windows
        self.init_times = windows.init_times

    def __len__(self) -> int:
        return len(self.windows)

    def __getitem__(self, index: int) -> Batch:
        return self.__getitems__([index])[0]

    def __getitems__(self, indices: list[int]) -> list[Batch]:
        """Many at once; what a DataLoader asks for."""
        history, target = self.windows.batch(indices)
        return list(zip(history, target, torch.tensor(indices), strict=True))


@dataclass(frozen=True, eq=False)
class Fitted:
    """What came of a fit: the network holds the best epoch's weights.

    Attributes:
        epochs: finished, those before a resume included.
        validation_loss: the best epoch's MSE on the transformed target.
        accelerator: what it ran on.
    """

    epochs: int
    validation_loss: float
    accelerator: str


def fit_network(
    network: nn.Module,
    training: Windows,
    validation: Windows,
    *,
    config: TrainingConfig,
    folder: Path,
    description: str,
) -> Fitted:
    """Minimise the MSE on the transformed target; stop early on the validation block.

    A fit that was killed left ``checkpoints/last.ckpt`` in ``folder`` and goes on from
    there; it ends with the weights it would have had undisturbed. Uses the GPU if there is one.

    Args:
        network: trained in place.
        training: windows of the training block.
        validation: windows of a later block of time.
        config: epochs, budget, optimiser, patience, seed.
        folder: for checkpoints and the CSV log.
        description: of the progress bar.

    Raises:
        ModelError: if the loss stops being finite; names the batch's initial times.
        StorageError: if a checkpoint cannot be written.
    """
    checkpoints = folder / CHECKPOINTS
    best = ModelCheckpoint(
        checkpoints,
        BEST,
        monitor=VAL_LOSS,
        save_last=True,
        save_on_train_epoch_end=True,
        enable_version_counter=False,
    )
    early = EarlyStopping(VAL_LOSS, patience=config.patience)
    module = NetworkFit(network, training.init_times, validation.init_times, config)
    train_loader = DataLoader(
        Examples(training), config.batch_size, sampler=EpochShuffle(len(training), config.seed)
    )
    with _quiet(), _deterministic():
        trainer = Trainer(
            accelerator="auto",
            devices=1,
            deterministic=True,
            max_epochs=config.epochs,
            max_time=dt.timedelta(minutes=config.max_minutes) if config.max_minutes else None,
            gradient_clip_val=config.gradient_clip,
            callbacks=[
                best,
                early,
                FitProgress(description, config.epochs, len(train_loader)),
            ],
            logger=CSVLogger(folder, name="log"),
            log_every_n_steps=max(1, min(50, len(train_loader))),
            num_sanity_val_steps=0,
            enable_model_summary=False,
            enable_progress_bar=False,
        )
        try:
            trainer.fit(
                module,
                train_loader,
                DataLoader(Examples(validation), config.batch_size),
                ckpt_path=_resumable(checkpoints),
                weights_only=True,
            )
        except OSError as error:
            raise StorageError(
                f"Expected to write checkpoints and logs in {folder}: {error}. Free space or "
                "fix permissions and run `lsntp train` again; it goes on where it stopped."
            ) from error
    _restore_best(network, checkpoints / f"{BEST}.ckpt")
    return Fitted(
        epochs=trainer.current_epoch,
        validation_loss=float(early.best_score),
        accelerator=_accelerator(trainer.strategy.root_device),
    )


class NetworkFit(LightningModule):
    """The loss, and the optimiser that lowers it."""

    def __init__(
        self,
        network: nn.Module,
        training_times: Times,
        validation_times: Times,
        config: TrainingConfig,
    ) -> None:
        super().__init__()
        self.network = network
        self.training_times = training_times
        self.validation_times = validation_times
        self.config = config

    def training_step(self, batch: Batch, _: int) -> Tensor:
        """The MSE of a batch."""
        loss = self._loss(batch, self.training_times)
        self.log("train_loss", loss, on_step=False, on_epoch=True, prog_bar=True)
        return loss

    def validation_step(self, batch: Batch, _: int) -> None:
        """Log the MSE; Lightning averages over windows."""
        self.log(VAL_LOSS, self._loss(batch, self.validation_times), prog_bar=True)

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        """AdamW, warmed up linearly, then annealed to zero along a cosine."""
        optimizer = torch.optim.AdamW(
            self.network.parameters(),
            lr=self.config.learning_rate,
            weight_decay=self.config.weight_decay,
        )
        factor = warmup_cosine(int(self.trainer.estimated_stepping_batches), self.config.warmup)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, factor)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def _loss(self, batch: Batch, init_times: Times) -> Tensor:
        history, target, index = batch
        loss = functional.mse_loss(self.network(history), target)
        if not torch.isfinite(loss):
            named = ", ".join(format_time(init_times[i]) for i in index.tolist())
            raise ModelError(
                f"Expected a finite loss, found {loss.item()} in epoch {self.current_epoch} on "
                f"the windows that start at {named}; lower training.learning_rate or set "
                "training.gradient_clip, and look for extreme fields at these times."
            )
        return loss


def warmup_cosine(steps: int, warmup: float) -> Callable[[int], float]:
    """Learning-rate factor of an optimiser step: linear to 1 at ``warmup * steps``, cosine to 0.

    Args:
        steps: optimiser steps of the whole fit.
        warmup: share of them, 0 to 1.
    """
    rising = max(1, round(warmup * steps))

    def factor(step: int) -> float:
        if step < rising:
            return (step + 1) / rising
        progress = min(1.0, (step - rising) / max(1, steps - rising))
        return 0.5 * (1.0 + math.cos(math.pi * progress))

    return factor


class FitProgress(Callback):
    """One bar over all batches of all epochs, on standard error."""

    def __init__(self, description: str, epochs: int, batches: int) -> None:
        self.description = description
        self.epochs = epochs
        self.batches = batches
        self.bar: tqdm[NoReturn] | None = None

    def on_train_start(self, trainer: Trainer, *_: Any) -> None:
        """Open the bar where an earlier run stopped."""
        self.bar = open_bar(
            self.description, total=self.epochs * self.batches, done=trainer.global_step
        )

    def on_train_batch_end(self, *_: Any) -> None:
        """One batch further."""
        if self.bar is not None:
            self.bar.update()

    def on_validation_end(self, trainer: Trainer, *_: Any) -> None:
        """Show the validation loss of the epoch."""
        if self.bar is not None:
            loss = f"{float(trainer.callback_metrics[VAL_LOSS]):.4g}"
            self.bar.set_postfix(epoch=trainer.current_epoch + 1, val_loss=loss, refresh=False)

    def on_train_end(self, *_: Any) -> None:
        """Close the bar."""
        if self.bar is not None:
            self.bar.close()

    def on_exception(self, *_: Any) -> None:
        """Close the bar of a fit that failed."""
        self.on_train_end()


class EpochShuffle(Sampler[int]):
    """A permutation that depends on seed and epoch alone, so that a resumed fit repeats it."""

    def __init__(self, size: int, seed: int) -> None:
        self.size = size
        self.seed = seed
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Called by Lightning before each epoch."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self.size

    def __iter__(self) -> Iterator[int]:
        yield from np.random.default_rng((self.seed, self.epoch)).permutation(self.size).tolist()


def _resumable(checkpoints: Path) -> Path | None:
    """The checkpoint to go on from, if it and the best one, which may stay the best, are whole."""
    last = checkpoints / f"{LAST}.ckpt"
    if not last.exists():
        return None
    for path in (last, checkpoints / f"{BEST}.ckpt"):
        try:
            torch.load(path, map_location="cpu", weights_only=True)
        except Exception as error:  # a torn file raises almost anything
            _log.warning("Start again: %s is damaged (%s).", path, error)
            return None
    _log.info("Going on from %s.", last)
    return last


def _restore_best(network: nn.Module, best: Path) -> None:
    """Copy the best epoch's weights back into the network."""
    state: dict[str, Any] = torch.load(best, map_location="cpu", weights_only=True)["state_dict"]
    network.load_state_dict(
        {name.removeprefix("network."): tensor for name, tensor in state.items()}
    )


def _accelerator(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


@contextmanager
def _quiet() -> Iterator[None]:
    """Without Lightning's advertisements and the warnings that do not apply here."""
    loggers = [logging.getLogger(name) for name in CHATTER]
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.WARNING)
        with warnings.catch_warnings():
            for message in EXPECTED_WARNINGS:
                warnings.filterwarnings("ignore", message)
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


@contextmanager
def _deterministic() -> Iterator[None]:
    """Undo the trainer's global switch afterwards."""
    before = torch.are_deterministic_algorithms_enabled()
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before)
