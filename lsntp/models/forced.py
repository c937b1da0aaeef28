"""Networks that are told more than the history: what is known of each step, and what lies there.

Shapes: b batch, T history steps, K horizon steps, f known channels, s static channels, H x W grid.
The channels are those of :mod:`lsntp.training_data.forcings`; the climatology comes first.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Self, TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from lsntp.config import ConvnetConfig, LsntpConfig
from lsntp.errors import ModelError
from lsntp.training_data.forcings import CALENDAR, HEIGHT, KNOWN, STATIC

SYNC_IS_AN_ERROR = 2
"""The mode ``"error"`` of ``torch.cuda.set_sync_debug_mode``, as torch tells it."""

Layer = TypeVar("Layer", nn.Conv2d, nn.ConvTranspose2d)


@dataclass(frozen=True)
class Told:
    """Which inputs a network takes beside its history, by the names of their channels.

    Attributes:
        known: of ``known_future`` (b, T + K, f, H, W); none where it takes no such input.
        static: of ``static`` (s, H, W); none where it takes no such input.
    """

    known: tuple[str, ...] = ()
    static: tuple[str, ...] = ()

    @classmethod
    def by(cls, architecture: LsntpConfig | ConvnetConfig) -> Self:
        """What the switches ask for."""
        if isinstance(architecture, ConvnetConfig):
            return cls(KNOWN, STATIC) if architecture.forced else cls()
        known = KNOWN if architecture.needs_climatology else ()
        static = STATIC if architecture.static else ()
        return cls(
            known + CALENDAR if architecture.calendar else known,
            (*static, HEIGHT) if architecture.orography else static,
        )

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
        known_shape = (sum(steps), len(self.known), *shape) if self.known else None
        static_shape = (len(self.static), *shape) if self.static else None
        self._check("known_future", known_future, known_shape, batch=True)
        self._check("static", static, static_shape, batch=False)
        if not is_complete(history):
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


def forcings_of(known_future: Tensor, architecture: LsntpConfig | ConvnetConfig) -> Tensor:
    """The forcings (b, T + K, f, H, W) as a network sees them.

    With ``climatology: change`` that channel is less its mean over the steps, times ``gain``.

    Args:
        known_future: (b, T + K, f, H, W), the climatology first.
        architecture: its ``climatology`` and ``gain`` count here.
    """
    if architecture.climatology == "level":
        return known_future
    usual = known_future[:, :, :1]
    change = (usual - usual.mean(dim=1, keepdim=True)) * architecture.gain
    return torch.cat([change, known_future[:, :, 1:]], dim=2)


@dataclass(frozen=True)
class DayBefore:
    """The analyses of the same hours a day before a forecast, which its history holds.

    With L the lead in steps and d = day * ceil(L / day), the whole days that cover it, the change
    of a day before is a_{L-d} - a_{-d}; every step of it lies at or before the initial time.

    Attributes:
        day: steps in 24 hours.
        horizon: K.
    """

    day: int
    horizon: int

    @property
    def frames(self) -> int:
        """How long a history must be to hold them, its last step 0 included."""
        return 1 + self._days[-1]

    @cached_property
    def channels(self) -> int:
        """How many frames :meth:`of` gives."""
        return len(self._steps)

    def of(self, frames: Tensor) -> Tensor:
        """All of them (b, channels, H, W), the earliest first, out of ``frames`` (b, F, H, W)."""
        return _picked(frames, [step - 1 for step in self._steps])

    def changes(self, frames: Tensor) -> Tensor:
        """a_{L-d} - a_{-d} for L = 1 … K (b, K, H, W), out of ``frames`` (b, F, H, W)."""
        ends = [lead - whole - 1 for lead, whole in enumerate(self._days, start=1)]
        begins = [-whole - 1 for whole in self._days]
        return _picked(frames, ends) - _picked(frames, begins)

    @cached_property
    def _days(self) -> tuple[int, ...]:
        """The d of L = 1 … K."""
        return tuple(self.day * -(-lead // self.day) for lead in range(1, self.horizon + 1))

    @cached_property
    def _steps(self) -> tuple[int, ...]:
        """Every L - d and -d once, ascending."""
        ends = {lead - whole for lead, whole in enumerate(self._days, start=1)}
        return tuple(sorted(ends | {-whole for whole in self._days}))


def _picked(frames: Tensor, steps: list[int]) -> Tensor:
    """These frames (b, len(steps), H, W), without a list of numbers that must reach the device."""
    return torch.stack([frames[:, step] for step in steps], dim=1)


def day_before(
    architecture: LsntpConfig | ConvnetConfig, day: int | None, horizon: int
) -> DayBefore | None:
    """The analyses of a day before, where ``yesterday`` asks for them.

    Args:
        architecture: its ``yesterday`` counts here.
        day: steps in 24 hours, if that is known.
        horizon: K.

    Raises:
        ModelError: if they are asked for and ``day`` is not known.
    """
    if not architecture.yesterday:
        return None
    if day is None:
        raise ModelError(
            "Expected the steps in a day of a network with architecture.yesterday, found none; "
            "pass day."
        )
    return DayBefore(day, horizon)


def frames_needed(
    architecture: LsntpConfig | ConvnetConfig, *, history: int, horizon: int, day: int | None
) -> int:
    """How long a history the network takes: T, or as far as ``yesterday`` looks back."""
    before = day_before(architecture, day, horizon)
    return max(history, before.frames if before else 0)


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


class Share(nn.Module):
    """A learned share, one number a lead and one half at first, of the change of a day before.

    Args:
        horizon: K.
    """

    def __init__(self, horizon: int) -> None:
        super().__init__()
        self.share = nn.Parameter(torch.full((horizon, 1, 1), 0.5))

    def forward(self, changes: Tensor) -> Tensor:
        """(b, K, H, W), as ``changes``."""
        return self.share * changes


def is_complete(history: Tensor) -> bool:
    """Whether every value is finite; taken for granted where nobody may wait for the GPU to say so.

    That is while it records its kernels, and in the pass before (:mod:`lsntp.training.recorded`);
    a gap then makes the loss NaN.
    """
    return _may_not_wait(history) or bool(torch.isfinite(history).all())


def _may_not_wait(tensor: Tensor) -> bool:
    return tensor.is_cuda and (
        torch.cuda.is_current_stream_capturing()
        or torch.cuda.get_sync_debug_mode() == SYNC_IS_AN_ERROR
    )


def residual_blocks(count: int, channels: int, dropout: float) -> nn.Sequential:
    """``count`` blocks that look further by turns."""
    return nn.Sequential(
        *(
            ResidualBlock(channels, dilation=DILATIONS[n % len(DILATIONS)], dropout=dropout)
            for n in range(count)
        )
    )


def zero_at_first(layer: Layer) -> Layer:
    """``layer`` with weights and bias zero: what it adds is nothing until it is trained."""
    nn.init.zeros_(layer.weight)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer
