"""The loop over epochs and batches, on Lightning Fabric."""

import logging
import math
import time
from collections.abc import Callable, Sequence
from contextlib import closing, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn, Protocol, runtime_checkable

import numpy as np
import torch
from lightning.fabric import Fabric
from lightning.fabric.plugins.environments.lightning import LightningEnvironment
from lightning.fabric.strategies.ddp import DDPStrategy
from torch import Tensor, distributed, nn
from tqdm import tqdm

from lsntp.config import TrainingConfig
from lsntp.progress import open_bar
from lsntp.times import Times
from lsntp.training.checkpoints import Checkpoints
from lsntp.training.compiled import compiled_batch, is_compiled
from lsntp.training.devices import split_step, step_windows
from lsntp.training.fit_log import write_log
from lsntp.training.fit_state import FitState, moving_average, random_state, set_random_state
from lsntp.training.losses import LOSS, training_loss
from lsntp.training.not_finite import Batch, refusal
from lsntp.training.recorded import RecordedPass

Told = tuple[Tensor | None, Tensor | None]

FABRIC_PRECISION: Any = {"float32": "32-true", "bfloat16": "bf16-mixed"}

_log = logging.getLogger(__name__)


class Examples(Protocol):
    """What a fit needs of :class:`lsntp.training_data.windows.Windows`."""

    init_times: Times

    def __len__(self) -> int:
        """How many windows there are."""

    def order(self, numbers: np.random.Generator) -> list[int]:
        """All windows once, in an order that ``numbers`` alone decides."""

    def batch(self, indices: Sequence[int]) -> tuple[Tensor, Tensor]:
        """History (B, T, 1, H, W) and target (B, K, 1, H, W), normalised."""


@runtime_checkable
class Telling(Protocol):
    """Examples with more than the history, as :mod:`lsntp.training_data.forced_windows`.

    Nothing but ``told`` makes them so: whatever else a wrapper lacks, its network is told.
    """

    def told(self, indices: Sequence[int]) -> Told:
        """``known_future`` (B, T + K, f, H, W) and ``static`` (s, H, W), or None."""


class FitLoop:
    """Everything the loop must remember is in ``state``, and all of it in every checkpoint.

    With several processes each holds the same state and goes through its own part of every
    step's windows; the gradients are those of the mean over the whole step, however uneven the
    parts. What the clock decides is decided by the first process, which alone writes.

    Args:
        network: moved to the GPU if there is one, and trained in place.
        training: windows of the training block.
        validation: windows of a later block.
        config: how to fit.
        checkpoints: where the state is kept.
        devices: processes; more than one only inside :func:`lsntp.training.ranks.run_ranks`.
    """

    def __init__(
        self,
        network: nn.Module,
        training: Examples,
        validation: Examples,
        config: TrainingConfig,
        checkpoints: Checkpoints,
        devices: int = 1,
    ) -> None:
        self.training = training
        self.validation = validation
        self.config = config
        self.loss = LOSS[config.loss]
        self.checkpoints = checkpoints
        self.step_windows = step_windows(config)
        self.batches = -(-len(training) // self.step_windows)
        self.steps = config.epochs * self.batches
        self.rate = rate_factor(self.steps, config)
        self.fabric = _fabric(config, devices)
        optimizer = torch.optim.AdamW(
            network.parameters(),
            lr=config.learning_rate,
            betas=(0.9, config.beta2),
            weight_decay=config.weight_decay,
        )
        if devices > 1:
            self._freeze_unused(network)
        self.module, self.optimizer = self.fabric.setup(network, optimizer)
        if devices > 1:
            # Its buckets are laid out anew after the first backward pass; made before the first
            # step, sums are taken in the same order in a fit that goes on.
            self._first_gradients(self.module)
            optimizer.zero_grad()
        average = moving_average(network, config.ema) if config.ema is not None else None
        self.state = FitState(network, optimizer, average)
        self._is_to_be_recorded = config.cuda_graphs and _can_record(self.fabric)
        if config.cuda_graphs and not self._is_to_be_recorded:
            _log.info("training.cuda_graphs is for one GPU alone; this fit does without.")
        if config.compile and not is_compiled(config):
            _log.info("training.compile is for a CPU; this fit does without.")
        self._recorded: RecordedPass | None = None
        self._clock = self._saved = time.monotonic()

    @property
    def step(self) -> int:
        """Optimiser steps done."""
        progress = self.state.progress
        return progress.epoch * self.batches + progress.batch

    @property
    def accelerator(self) -> str:
        """What it runs on."""
        device = self.fabric.device
        return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type

    def resume(self) -> None:
        """Go on from the last good checkpoint, if there is one."""
        content = self.checkpoints.load() if self.fabric.is_global_zero else None
        content = self.fabric.broadcast(content)
        if content is None:
            return
        self.state.load(content)
        drawn = [content["random"], *content["random_of_others"]]
        if self.fabric.global_rank < len(drawn):
            set_random_state(drawn[self.fabric.global_rank])
        progress = self.state.progress
        _log.info(
            "Going on after %d of %d epochs and %d of %d batches, which took %.1f minutes.",
            *(progress.epoch, self.config.epochs, progress.batch, self.batches),
            progress.seconds / 60,
        )
        for name, now in self._environment().items():
            then = content["environment"][name]
            if then != now:
                _log.warning(
                    "The fit goes on with %s %s, its checkpoint was made with %s: the last digits "
                    "of the weights may differ from those of an undisturbed fit.",
                    *(name, now, then),
                )

    def run(self, description: str, log: Path) -> None:
        """Train until the epochs, the patience or the minutes are used up.

        Args:
            description: of the progress bar.
            log: CSV file, one row an epoch; never ahead of the last checkpoint.
        """
        progress = self.state.progress
        self._write_log(log)
        with closing(self._open_bar(description)) as bar:
            while not progress.stopped_by:
                self._train_epoch(bar)
                self._finish_epoch(bar)
                self._save()
                self._write_log(log)

    def _train_epoch(self, bar: "tqdm[NoReturn]") -> None:
        """The batches that are left of the epoch in hand, as long as there is time."""
        progress, size = self.state.progress, self.step_windows
        order = epoch_order(self.training, self.config.seed, progress.epoch)
        self.state.network.train()
        while progress.batch < self.batches and not (progress.batch and self._is_time_up()):
            indices = order[progress.batch * size : (progress.batch + 1) * size]
            progress.loss_sum += self._train_step(indices) * len(indices)
            progress.windows += len(indices)
            progress.batch += 1
            bar.update()
            if self._agreed(time.monotonic() - self._saved >= 60 * self.config.checkpoint_minutes):
                self._save()

    def _train_step(self, indices: list[int]) -> float:
        """One step of the optimiser; the loss over its windows, those of all processes.

        Raises:
            ModelError: if loss or gradient are not finite, or a step that should be recorded cannot
                be; the weights are not touched.
        """
        for group in self.optimizer.param_groups:
            group["lr"] = self.config.learning_rate * self.rate(self.step)
        fabric = self.fabric
        parts = split_step(
            indices, size=self.config.batch_size, ranks=fabric.world_size, rank=fabric.global_rank
        )
        if self._is_to_be_recorded and len(parts[0]) == self.config.batch_size:
            self._record(self._batch(self.training, parts[0]))
        self.optimizer.zero_grad(set_to_none=self._recorded is None)
        total = torch.zeros((), device=fabric.device)
        for number, part in enumerate(parts, start=1):
            # A process without windows takes part with one that counts for nothing.
            batch, share = self._batch(self.training, part or indices[:1]), len(part) / len(indices)
            waits = fabric.world_size > 1 and number < len(parts)
            with (
                fabric.no_backward_sync(self.module) if waits else nullcontext(),
                compiled_batch(self.config, len(part)),
            ):
                # DDP takes the mean over the processes; ours is over the windows.
                counts = share * fabric.world_size
                if self._recorded is not None and len(part) == self.config.batch_size:
                    loss = self._recorded(batch, counts)
                else:
                    loss = self._backward(batch, counts)
            total = total + (loss.detach() * share if share else 0)
        norm = nn.utils.clip_grad_norm_(
            self.state.network.parameters(), self.config.gradient_clip or math.inf
        )
        # One transfer from the device for both.
        loss_value, norm_value = torch.stack((self._summed(total), norm)).tolist()
        self._check_finite("loss", loss_value, self.training, indices)
        self._check_finite("gradient norm", norm_value, self.training, indices)
        self.optimizer.step()
        if self.state.average is not None:
            self.state.average.update_parameters(self.state.network)
        return float(loss_value)

    def _backward(self, batch: Batch, share: float | Tensor) -> Tensor:
        """The loss, whose gradients are added with this share of them."""
        forecast = self.module(batch.history, *batch.told)
        loss = training_loss(self.config, forecast, batch.target)
        self.fabric.backward(loss * share)
        return loss

    def _record(self, batch: Batch) -> None:
        """From here on replay what is done with a batch of this size.

        Raises:
            ModelError: if it cannot be recorded.
        """
        self._is_to_be_recorded = False
        self._recorded = RecordedPass(self._backward, self.state.network, batch)
        _log.info("The kernels of a step of %d windows are recorded.", len(batch))

    def _finish_epoch(self, bar: "tqdm[NoReturn]") -> None:
        """Validate, remember the best, decide whether to go on."""
        progress, config = self.state.progress, self.config
        loss = self._validation_loss()
        row = {
            "epoch": progress.epoch + 1,
            "step": self.step,
            "learning_rate": self.optimizer.param_groups[0]["lr"],
            "train_loss": progress.loss_sum / progress.windows,
            "val_loss": loss,
        }
        progress.history.append(row)
        progress.epoch += 1
        progress.batch, progress.windows, progress.loss_sum = 0, 0, 0.0
        if loss < progress.best_loss or config.keep == "last":
            self.state.keep_best(progress.epoch, loss)
        if progress.epoch >= config.epochs:
            progress.stopped_by = "epochs"
        elif progress.epoch - progress.best_epoch >= config.patience:
            progress.stopped_by = "patience"
        elif self._is_time_up():
            progress.stopped_by = "max_minutes"
        bar.set_postfix(epoch=progress.epoch, val_loss=f"{loss:.4g}", refresh=False)

    def _validation_loss(self) -> float:
        """The loss over the validation windows, in float32, as forecasts are made."""
        network = self.state.candidate.eval()
        size, count = self.config.batch_size, len(self.validation)
        parts = [range(first, min(first + size, count)) for first in range(0, count, size)]
        own = torch.zeros(len(parts), dtype=torch.float64, device=self.fabric.device)
        with torch.no_grad():
            for number in range(self.fabric.global_rank, len(parts), self.fabric.world_size):
                batch = self._batch(self.validation, parts[number])
                own[number] = self.loss(network(batch.history, *batch.told), batch.target)
        total = 0.0
        for part, loss in zip(parts, self._summed(own).tolist(), strict=True):
            self._check_finite("validation loss", loss, self.validation, part)
            total += loss * len(part)
        return total / count

    def _check_finite(
        self, what: str, value: float, windows: Examples, indices: Sequence[int]
    ) -> None:
        if not math.isfinite(value):
            moment = (
                f"epoch {self.state.progress.epoch + 1}, step {self.step + 1} of {self.steps}, at "
                f"the learning rate {self.optimizer.param_groups[0]['lr']:.3g}"
            )
            batch = self._batch(windows, indices)
            raise refusal(what, value, batch, self.state.network, moment=moment)

    def _batch(self, windows: Examples, indices: Sequence[int]) -> Batch:
        positions, device = list(indices), self.fabric.device
        history, target = windows.batch(positions)
        batch = Batch(windows.init_times[positions], history.to(device), target.to(device))
        if not isinstance(windows, Telling):
            return batch
        known_future, static = windows.told(positions)
        return replace(batch, told=(_to(known_future, device), _to(static, device)))

    def _is_time_up(self) -> bool:
        budget = self.config.max_minutes
        self._count_time()
        return budget is not None and self._agreed(self.state.progress.seconds >= 60 * budget)

    def _count_time(self) -> None:
        now = time.monotonic()
        self.state.progress.seconds += now - self._clock
        self._clock = now

    def _save(self) -> None:
        self._count_time()
        drawn: list[Any] = [random_state()]
        if self.fabric.world_size > 1:
            drawn *= self.fabric.world_size
            distributed.all_gather_object(drawn, random_state())
        if self.fabric.is_global_zero:
            extra = {"environment": self._environment(), "random_of_others": drawn[1:]}
            self.checkpoints.save(self.state.to_dict() | extra)
        self._saved = time.monotonic()

    def _write_log(self, log: Path) -> None:
        if self.fabric.is_global_zero:
            write_log(log, self.state.progress.history)

    def _open_bar(self, description: str) -> "tqdm[NoReturn]":
        if self.fabric.is_global_zero:
            return open_bar(description, total=self.steps, done=self.step)
        return tqdm(disable=True)

    def _environment(self) -> dict[str, str | int]:
        """What the last digits of the weights depend on."""
        return {
            "torch": str(torch.__version__),
            "threads": torch.get_num_threads(),
            "accelerator": self.accelerator,
            "devices": self.fabric.world_size,
            "accumulate": self.config.accumulate,
            "compile": is_compiled(self.config),
        }

    # --- what the processes have in common ---------------------------------------------------

    def _agreed(self, claim: bool) -> bool:
        """What the first process says, whose clock counts."""
        return bool(self.fabric.broadcast(claim)) if self.fabric.world_size > 1 else claim

    def _summed(self, values: Tensor) -> Tensor:
        """The sum over the processes, on all of them."""
        return torch.as_tensor(self.fabric.all_reduce(values, reduce_op="sum"))

    def _first_gradients(self, module: nn.Module) -> None:
        """A backward pass that draws no random numbers and changes no buffers."""
        batch = self._batch(self.training, [0])
        module.eval()
        self.fabric.backward(self.loss(module(batch.history, *batch.told), batch.target))

    def _freeze_unused(self, network: nn.Module) -> None:
        """Keep parameters that no gradient reaches out of the exchange, which waits for all."""
        network.to(self.fabric.device)
        self._first_gradients(network)
        unused = [name for name, p in network.named_parameters() if p.grad is None]
        for name in unused:
            network.get_parameter(name).requires_grad_(False)
        network.zero_grad()
        if unused and self.fabric.is_global_zero:
            _log.warning("No gradient reaches %s: not trained.", ", ".join(unused))


def _fabric(config: TrainingConfig, devices: int) -> Fabric:
    """One process, or this one's place among several, which the environment tells."""
    fabric = Fabric(
        accelerator="cuda" if torch.cuda.is_available() else "cpu",
        devices=devices,
        precision=FABRIC_PRECISION[config.precision],
        strategy=DDPStrategy(cluster_environment=LightningEnvironment()) if devices > 1 else "auto",
    )
    if devices > 1:
        fabric.launch()
    return fabric


def _can_record(fabric: Fabric) -> bool:
    """Whether a step is the kernels of one GPU, with no exchange between processes."""
    return fabric.world_size == 1 and fabric.device.type == "cuda"


def _to(part: Tensor | None, device: torch.device) -> Tensor | None:
    return None if part is None else part.to(device)


def rate_factor(steps: int, config: TrainingConfig) -> Callable[[int], float]:
    """Of an optimiser step (from 0), the share of ``learning_rate`` that it is made with.

    It rises to 1 along a line, then falls to 0 along half a cosine (Loshchilov and Hutter, 2017,
    eq. 5, without restarts) or, with ``decay: none``, stays.

    Args:
        steps: optimiser steps of the whole fit.
        config: ``warmup`` is the share of them that it rises for, ``decay`` what comes then.
    """
    rising = max(1, round(config.warmup * steps))

    def factor(step: int) -> float:
        if step < rising:
            return (step + 1) / rising
        if config.decay == "none":
            return 1.0
        progress = min(1.0, (step - rising) / max(1, steps - rising))
        return 0.5 * (1.0 + math.cos(math.pi * progress))

    return factor


def epoch_order(windows: Examples, seed: int, epoch: int) -> list[int]:
    """An order of all windows that depends on seed and epoch (from 0) alone."""
    return windows.order(np.random.default_rng((seed, epoch)))
