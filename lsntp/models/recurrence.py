"""LS-ConvLSTM over the steps of history and horizon, between two paths at full resolution.

Shapes: b batch, T history steps, K horizon steps, d hidden channels, w channels of the context,
H x W the domain's grid, h x w the grid of the nodes.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from lsntp.config import LsntpConfig
from lsntp.models.cell import LSConvLSTM
from lsntp.models.context import ascent, descent
from lsntp.models.forced import zero_at_first
from lsntp.models.graph import Graph


class Recurrence(nn.Module):
    """Frames that follow one another, each out of the one before it.

    With u_t a frame and what is told of its step and the next one:

        e_t = GELU(Conv(u_t)),  X_t = GELU(Conv(e_t)), the second one with ``stride``,
        H_t = two layers of LS-ConvLSTM over X for t = -(T-1) … 0, and two others for
              t = 0 … K-1, which start from the last states of the first (Fig. 5),
        a_{t+1} = a_t + Conv(GELU(Conv1@1[e_t, Up(H_t)] + W g)) + r_{t+1},  t = 0 … K-1.

    Args:
        inputs: channels of u_t, the frame included.
        architecture: its widths and switches.
        horizon: K.
        node_shape: (h, w).
        has_context: whether there is g.
    """

    def __init__(
        self,
        inputs: int,
        architecture: LsntpConfig,
        *,
        horizon: int,
        node_shape: tuple[int, int],
        has_context: bool,
    ) -> None:
        super().__init__()
        self.architecture, self.horizon = architecture, horizon
        stem, hidden, stride = architecture.stem, architecture.hidden, architecture.stride
        self.stem = nn.Conv2d(inputs, stem, kernel_size=3, padding=1)
        self.down = descent(stem, hidden, stride)
        self.encoder1, self.encoder2, self.decoder3, self.decoder4 = (
            _layer(architecture, node_shape) for _ in range(4)
        )
        self.up = ascent(hidden, stem, stride)
        self.merge = nn.Conv2d(2 * stem, stem, kernel_size=1)
        self.context_merge = (
            nn.Conv2d(architecture.width, stem, kernel_size=1, bias=False) if has_context else None
        )
        self.head = zero_at_first(nn.Conv2d(stem, 1, kernel_size=3, padding=1))

    def forward(
        self,
        frames: Tensor,
        beside: list[Tensor],
        changes: Tensor,
        context: Tensor | None,
        graph: Graph,
    ) -> Tensor:
        """a_1 … a_K (b, K, H, W).

        Args:
            frames: a_{-(T-1)} … a_0 (b, T, 1, H, W).
            beside: what u_t holds beside the frame: parts (b, T + K - 1, c, H, W).
            changes: r (b, K, H, W).
            context: g (b, w, H, W), if there is one.
            graph: of the nodes.
        """
        steps = frames.shape[1]
        inputs = torch.cat([frames, *(part[:, :steps] for part in beside)], dim=2)
        x = functional.gelu(self.down(functional.gelu(self.stem(inputs.flatten(0, 1)))))
        x = x.view(*inputs.shape[:2], *x.shape[1:])
        states, state3 = self.encoder1(x, None, graph, steps=steps)
        _, state4 = self.encoder2(states, None, graph, steps=steps)
        aside = None
        if context is not None and self.context_merge is not None:
            aside = self.context_merge(context)
        frame, forecast = frames[:, -1], []
        for step in range(self.horizon):
            seen = frame
            if step and self.architecture.decoder_input == "none":
                seen = torch.zeros_like(frame)
            inputs = torch.cat([seen, *(part[:, steps - 1 + step] for part in beside)], dim=1)
            details = functional.gelu(self.stem(inputs))
            state3 = self.decoder3.step(functional.gelu(self.down(details)), state3, graph)
            state4 = self.decoder4.step(state3.hidden, state4, graph)
            raised = self.up(state4.hidden)[..., : frame.shape[-2], : frame.shape[-1]]
            merged = self.merge(torch.cat([details, raised], dim=1))
            if aside is not None:
                merged = merged + aside
            change = self.head(functional.gelu(merged)) + changes[:, step : step + 1]  # float32
            frame = frame + change if self.architecture.residual else change
            forecast.append(frame)
        return torch.cat(forecast, dim=1)


def _layer(architecture: LsntpConfig, shape: tuple[int, int]) -> LSConvLSTM:
    """A recurrent layer that remembers at first as long as ``forget_bias`` says."""
    layer = LSConvLSTM(architecture.hidden, architecture, shape)
    if layer.b is not None:
        with torch.no_grad():
            layer.b[architecture.hidden : 2 * architecture.hidden] = architecture.forget_bias
    return layer
