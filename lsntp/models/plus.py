"""LS-NTP plus: its cells and its learned graph, with a path at full resolution beside them.

Shapes: b batch, T history steps, K horizon steps, w channels of the context, d hidden channels,
H x W the domain's grid, h x w the grid of the recurrence, N = h * w nodes.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from lsntp.config import LsntpConfig
from lsntp.grid import Grid
from lsntp.models.cell import LSConvLSTM, State
from lsntp.models.forced import Share, Told, day_before, residual_blocks, zero_at_first
from lsntp.models.graph import Graph
from lsntp.models.learned_graph import LearnedGraph, check_buildable, nearest_node
from lsntp.training_data.forcings import KNOWN, STATIC

STRENGTH = 0.1
"""Of the graph term at first, where it is learned: at 0 no gradient would reach E."""


@dataclass(frozen=True, eq=False)
class WeighedGraph:
    """I + s A.

    Attributes:
        graph: I + A.
        strength: s (1,).
    """

    graph: Graph
    strength: Tensor

    @property
    def embedding(self) -> Tensor | None:
        """E (N, e); None where there is no graph."""
        return self.graph.embedding

    def mix(self, nodes: Tensor) -> Tensor:
        """(I + s A) X for X as (b, c, N)."""
        return nodes + self.strength * (self.graph.mix(nodes) - nodes)


class LSNTPPlus(LearnedGraph):
    """LS-NTP with more inputs, increments and a second path; every change is a switch.

    With a_t the normalised field of step t (its anomaly from the climatology with
    ``anomalies``), u_t = [a_t, forcings of t and t + 1, static fields]:

        e_t = GELU(Conv(u_t)),  X_t = GELU(Conv(e_t)), the second one with ``stride``,
        H_t = two layers of LS-ConvLSTM over X for t = -(T-1) … 0, and two others for
              t = 0 … K-1, which start from the last states of the first (Fig. 5),
        g   = GELU(Blocks(Conv(all history, forcings and static fields))), the ``context``,
        a_{t+1} = a_t + Conv(GELU(Conv1@1[e_t, Up(H_t)] + W g)) + Conv(g)_{t+1},  t = 0 … K-1,

    where Up is a transposed convolution with ``stride``. With ``decoder_input: forecast`` the a_t
    of t > 0 in u_t are the network's own; with ``none`` they are zero. Without ``residual`` the
    a_t on the right of the last line is left out; without ``context``, so is g. With ``yesterday``
    the history goes back F ≥ T frames; the analyses of the same hours a day before join the
    inputs of the context, and a_t for t > 0 gains c_t - c_{t-1}, where c are learned shares of
    their changes (:class:`lsntp.models.forced.DayBefore`).

    Args:
        architecture: configuration ``plus``.
        shape: (H, W).
        history: T.
        horizon: K.
        channels: of the history; 1.
        grid: where the cells are; needed for a ``reach_km`` between 0 and ``all``.
        day: steps in 24 hours; needed with ``yesterday``.

    Attributes:
        frames: F, how long a history :meth:`forward` takes; T, or more with ``yesterday``.

    Raises:
        ModelError: if the architecture does not fit the grid or the channels.
    """

    def __init__(
        self,
        architecture: LsntpConfig,
        *,
        shape: tuple[int, int],
        history: int,
        horizon: int,
        channels: int = 1,
        grid: Grid | None = None,
        day: int | None = None,
    ) -> None:
        super().__init__(architecture)
        faults = [] if channels == 1 else [f"one input channel, found {channels}"]
        check_buildable("LS-NTP plus", architecture, shape, grid, faults)
        self.shape, self.history, self.horizon = shape, history, horizon
        self.day_before = day_before(architecture, day, horizon)
        self.share = Share(horizon) if self.day_before else None
        self.frames = max(history, self.day_before.frames if self.day_before else 0)
        self.told = Told(known=architecture.needs_climatology, static=architecture.static)
        self.stride = stride = architecture.stride
        self.node_shape = (-(-shape[0] // stride), -(-shape[1] // stride))
        self._make_embedding(None if grid is None else self.node_grid(grid))
        self.strength = (
            nn.Parameter(torch.full((1,), STRENGTH))
            if architecture.strength == "learned" and self.E is not None
            else None
        )
        stem, hidden, width = architecture.stem, architecture.hidden, architecture.width
        known = len(KNOWN) if architecture.forcings else 0
        static = len(STATIC) if architecture.static else 0
        self.stem = nn.Conv2d(1 + 2 * known + static, stem, kernel_size=3, padding=1)
        self.down = nn.Conv2d(stem, hidden, max(3, stride + 1), stride, padding=max(1, stride // 2))
        self.encoder1, self.encoder2, self.decoder3, self.decoder4 = (
            _layer(architecture, self.node_shape) for _ in range(4)
        )
        reach = 2 * stride if stride > 1 else 1
        self.up = nn.ConvTranspose2d(hidden, stem, reach, stride, padding=reach // 4)
        self.context: nn.Sequential | None = None
        self.context_head: nn.Conv2d | None = None
        if architecture.context:
            inputs = history + (history + horizon) * known + static
            inputs += self.day_before.channels if self.day_before else 0
            self.context = nn.Sequential(
                nn.Conv2d(inputs, width, kernel_size=3, padding=1),
                *residual_blocks(architecture.context, width, architecture.dropout),
                nn.GELU(),
            )
            self.context_head = zero_at_first(nn.Conv2d(width, horizon, 3, padding=1))
            self.context_merge = nn.Conv2d(width, stem, kernel_size=1, bias=False)
        self.merge = nn.Conv2d(2 * stem, stem, kernel_size=1)
        self.head = zero_at_first(nn.Conv2d(stem, 1, kernel_size=3, padding=1))

    def forward(
        self, history: Tensor, known_future: Tensor | None = None, static: Tensor | None = None
    ) -> Tensor:
        """The next K frames (b, K, 1, H, W), in the units of the history.

        Args:
            history: the last F frames (b, F, 1, H, W), normalised.
            known_future: (b, F + K, f, H, W) with ``anomalies`` or ``forcings``, else None.
            static: (s, H, W) with ``static``, else None.

        Raises:
            ModelError: if an input does not fit.
        """
        steps = (self.frames, self.horizon)
        self.told.check(history, known_future, static, steps=steps, shape=self.shape)
        graph = self._weighed_graph()
        usual = known_future[:, :, :1] if known_future is not None else None
        frames = history
        if self.architecture.anomalies and usual is not None:
            frames = history - usual[:, : self.frames]
        if known_future is not None:
            known_future = known_future[:, self.frames - self.history :]
        earlier, frames = frames[:, :, 0], frames[:, -self.history :]
        beside = self._beside(known_future, static, len(history))
        inputs = torch.cat([frames, *(part[:, : self.history] for part in beside)], dim=2)
        details = functional.gelu(self.stem(inputs.flatten(0, 1)))
        x = functional.gelu(self.down(details))
        x = x.view(*inputs.shape[:2], *x.shape[1:])
        states, state3 = self.encoder1(x, None, graph, steps=self.history)
        _, state4 = self.encoder2(states, None, graph, steps=self.history)
        forecast = self._decode(
            frames[:, -1],
            [part[:, self.history - 1 :] for part in beside],
            self._context(frames, earlier, known_future, static),
            self._given(earlier),
            (state3, state4),
            graph,
        )
        if self.architecture.anomalies and usual is not None:
            forecast = forecast + usual[:, self.frames :]
        return forecast

    def node_of(self, row: int, column: int) -> int:
        """The node nearest to a cell of the grid; of two, the one before it."""
        rows, columns = self.node_shape
        return nearest_node(row, 0, self.stride, rows) * columns + nearest_node(
            column, 0, self.stride, columns
        )

    def node_grid(self, grid: Grid) -> Grid:
        """The grid of the nodes: every cell, or every ``stride``-th one from the first."""
        return Grid(grid.latitude[:: self.stride], grid.longitude[:: self.stride])

    def _weighed_graph(self) -> Graph:
        graph = self._graph()
        return graph if self.strength is None else WeighedGraph(graph, self.strength)

    def _beside(
        self, known_future: Tensor | None, static: Tensor | None, batch: int
    ) -> list[Tensor]:
        """What u_t holds beside a_t: parts (b, T + K - 1, c, H, W)."""
        steps = self.history + self.horizon - 1
        parts = []
        if self.architecture.forcings and known_future is not None:
            parts += [known_future[:, :-1], known_future[:, 1:]]
        if static is not None:
            parts.append(static.expand(batch, steps, *static.shape))
        return parts

    def _context(
        self,
        frames: Tensor,
        earlier: Tensor,
        known_future: Tensor | None,
        static: Tensor | None,
    ) -> Tensor | None:
        """The context g (b, w, H, W), if there is one; ``earlier`` is (b, F, H, W)."""
        if self.context is None:
            return None
        parts = [frames.flatten(1, 2)]
        if self.day_before is not None:
            parts.append(self.day_before.of(earlier))
        if self.architecture.forcings and known_future is not None:
            parts.append(known_future.flatten(1, 2))
        if static is not None:
            parts.append(static.expand(len(frames), *static.shape))
        context: Tensor = self.context(torch.cat(parts, dim=1))
        return context

    def _given(self, earlier: Tensor) -> Tensor | None:
        """What the day before adds to each frame, (b, K, H, W), out of ``earlier`` (b, F, H, W)."""
        if self.day_before is None or self.share is None:
            return None
        shares = self.share(self.day_before.changes(earlier))
        if not self.architecture.residual:
            return shares
        return torch.diff(shares, dim=1, prepend=torch.zeros_like(shares[:, :1]))

    def _decode(
        self,
        frame: Tensor,
        beside: list[Tensor],
        context: Tensor | None,
        given: Tensor | None,
        states: tuple[State, State],
        graph: Graph,
    ) -> Tensor:
        """a_1 … a_K (b, K, 1, H, W) from a_0 (b, 1, H, W)."""
        height, width = self.shape
        state3, state4 = states
        direct = aside = None
        if context is not None and self.context_head is not None:
            direct, aside = self.context_head(context).float(), self.context_merge(context)
        forecast: list[Tensor] = []
        for step in range(self.horizon):
            seen = frame
            if step and self.architecture.decoder_input == "none":
                seen = torch.zeros_like(frame)
            inputs = torch.cat([seen, *(part[:, step] for part in beside)], dim=1)
            details = functional.gelu(self.stem(inputs))
            state3 = self.decoder3.step(functional.gelu(self.down(details)), state3, graph)
            state4 = self.decoder4.step(state3.hidden, state4, graph)
            raised = self.up(state4.hidden)[..., :height, :width]
            merged = self.merge(torch.cat([details, raised], dim=1))
            if aside is not None:
                merged = merged + aside
            change = self.head(functional.gelu(merged)).float()  # sums stay exact under autocast
            for part in (direct, given):
                if part is not None:
                    change = change + part[:, step : step + 1]
            frame = frame + change if self.architecture.residual else change
            forecast.append(frame)
        return torch.stack(forecast, dim=1)


def _layer(architecture: LsntpConfig, shape: tuple[int, int]) -> LSConvLSTM:
    """A recurrent layer that remembers at first as long as ``forget_bias`` says."""
    layer = LSConvLSTM(architecture.hidden, architecture, shape)
    if layer.b is not None:
        with torch.no_grad():
            layer.b[architecture.hidden : 2 * architecture.hidden] = architecture.forget_bias
    return layer
