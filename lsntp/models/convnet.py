"""A plain residual convolutional network, to compare LS-NTP with.

Shapes: b batch, T history steps, K horizon steps, H x W grid.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from lsntp.config import ConvnetConfig
from lsntp.models.convolution import in_order_for
from lsntp.models.forced import (
    Share,
    Told,
    day_before,
    forcings_of,
    frames_needed,
    residual_blocks,
    zero_at_first,
)


class ConvNet(nn.Module):
    """All frames and forcings as channels, residual blocks, K frames added to the last one.

    y_{t+k} = y_t + Conv(GELU(Blocks(Conv([history, known_future, static]))))_k, where with
    ``forced`` y is the anomaly from the climatology. With ``yesterday`` the history is longer:
    its last T frames are seen, and those of the same hours a day before, of whose change
    each of the K frames takes a learned share.

    Args:
        architecture: widths.
        shape: (H, W).
        history: T.
        horizon: K.
        day: steps in 24 hours; needed with ``yesterday``.

    Attributes:
        frames: F, how long a history :meth:`forward` takes; T, or more with ``yesterday``.
    """

    def __init__(
        self,
        architecture: ConvnetConfig,
        *,
        shape: tuple[int, int],
        history: int,
        horizon: int,
        day: int | None = None,
    ) -> None:
        super().__init__()
        self.architecture = architecture
        self.shape, self.history, self.horizon = shape, history, horizon
        self.day_before = day_before(architecture, day, horizon)
        self.frames = frames_needed(architecture, history=history, horizon=horizon, day=day)
        self.told = Told.by(architecture)
        channels, width = history, architecture.width
        self.share: Share | None = None
        if self.day_before is not None:
            channels += self.day_before.channels
            self.share = Share(horizon)
        if architecture.forced:
            channels += (history + horizon) * len(self.told.known) + len(self.told.static)
        self.stem = nn.Conv2d(channels, width, kernel_size=3, padding=1)
        self.blocks = residual_blocks(architecture.blocks, width, architecture.dropout)
        self.head = zero_at_first(nn.Conv2d(width, horizon, kernel_size=3, padding=1))

    def forward(
        self, history: Tensor, known_future: Tensor | None = None, static: Tensor | None = None
    ) -> Tensor:
        """The next K frames (b, K, 1, H, W), in the units of the history.

        Args:
            history: the last F frames (b, F, 1, H, W), normalised.
            known_future: (b, F + K, f, H, W) with ``forced``, else None.
            static: (s, H, W) with ``forced``, else None.

        Raises:
            ModelError: if an input does not fit.
        """
        steps = (self.frames, self.horizon)
        self.told.check(history, known_future, static, steps=steps, shape=self.shape)
        frames = history[:, :, 0]
        channels: list[Tensor] = []
        if known_future is not None and static is not None:
            frames = (frames - known_future[:, : self.frames, 0]) * self.architecture.gain
            recent = known_future[:, self.frames - self.history :]
            told = forcings_of(recent, self.architecture)
            channels = [told.flatten(1, 2), static.expand(len(history), *static.shape)]
        if self.day_before is not None:
            channels.append(self.day_before.of(frames))
        given = torch.cat([frames[:, -self.history :], *channels], dim=1)
        x = self.stem(in_order_for(self.architecture.width, given))
        forecast: Tensor = frames[:, -1:] + self.head(functional.gelu(self.blocks(x))).float()
        if self.day_before is not None and self.share is not None:
            forecast = forecast + self.share(self.day_before.changes(frames))
        if known_future is not None:
            forecast = forecast / self.architecture.gain + known_future[:, self.frames :, 0]
        return forecast[:, :, None]
