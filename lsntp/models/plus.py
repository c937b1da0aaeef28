"""LS-NTP plus: its LS-Conv and its learned graph, inside a network at full resolution.

Shapes: b batch, T history steps, K horizon steps, F frames of a longer history, w channels of the
context, H x W the domain's grid, h x w the grid of the nodes, N = h * w nodes.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from lsntp.config import LsntpConfig
from lsntp.grid import Grid
from lsntp.models.context import Context
from lsntp.models.forced import (
    Share,
    Told,
    day_before,
    forcings_of,
    frames_needed,
    zero_at_first,
)
from lsntp.models.graph import Graph
from lsntp.models.learned_graph import LearnedGraph, check_buildable, nearest_node
from lsntp.models.recurrence import Recurrence

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
    """LS-Conv on coarse nodes in the middle of a residual network; every change is a switch.

    With a_t the normalised field of step t (with ``anomalies`` its anomaly from the climatology
    times ``gain``) and U all that is given, history, forcings and static fields:

        g   = GELU(Blocks(Nodes(Blocks(Conv(U))))), the ``context``, with LS-Conv on ``nodes`` in
              its middle (:class:`lsntp.models.context.Context`),
        a_k = a_0 + Conv(g)_k + c_k,  k = 1 … K.

    c is zero without ``yesterday``. With it the history goes back F ≥ T frames, the analyses of
    the same hours a day before belong to U, and c are learned shares of their changes
    (:class:`lsntp.models.forced.DayBefore`).

    With ``recurrence`` the frames follow one another, through LS-ConvLSTM beside the context
    (:class:`lsntp.models.recurrence.Recurrence`); Conv(g) and c then give the change from frame to
    frame, Conv(g)_k + c_k - c_{k-1}.

    Without ``residual`` a_0 is left out, and so is the frame before; without ``context`` and
    ``nodes``, g.

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
        self.frames = frames_needed(architecture, history=history, horizon=horizon, day=day)
        self.day_before = day_before(architecture, day, horizon)
        self.share = Share(horizon) if self.day_before else None
        self.told = Told.by(architecture)
        self.stride = stride = architecture.stride
        self.node_shape = (-(-shape[0] // stride), -(-shape[1] // stride))
        self._make_embedding(None if grid is None else self.node_grid(grid))
        self.strength = (
            nn.Parameter(torch.full((1,), STRENGTH))
            if architecture.strength == "learned" and self.E is not None
            else None
        )
        known = len(self.told.known) if architecture.forcings else 0
        static = len(self.told.static)
        self.context: Context | None = None
        self.context_head: nn.Conv2d | None = None
        if architecture.context or architecture.nodes:
            inputs = history + (history + horizon) * known + static
            inputs += self.day_before.channels if self.day_before else 0
            self.context = Context(inputs, architecture)
            self.context_head = zero_at_first(nn.Conv2d(architecture.width, horizon, 3, padding=1))
        self.recurrence = (
            Recurrence(
                1 + 2 * known + static,
                architecture,
                horizon=horizon,
                node_shape=self.node_shape,
                has_context=self.context is not None,
            )
            if architecture.recurrence
            else None
        )

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
        earlier = history[:, :, 0]
        usual = None
        if self.architecture.anomalies and known_future is not None:
            usual = known_future[:, :, 0]
            earlier = (earlier - usual[:, : self.frames]) * self.architecture.gain
        if known_future is not None:
            recent = known_future[:, self.frames - self.history :]
            known_future = forcings_of(recent, self.architecture)
        context = self._context(earlier, known_future, static, graph)
        changes = self._changes(context, earlier)
        if self.recurrence is not None:
            frames = earlier[:, -self.history :, None]
            beside = self._beside(known_future, static, len(history))
            forecast: Tensor = self.recurrence(frames, beside, changes, context, graph)
        else:
            forecast = changes
            if self.architecture.residual:
                forecast = forecast + earlier[:, -1:]
        if usual is not None:
            forecast = forecast / self.architecture.gain + usual[:, self.frames :]
        return forecast[:, :, None]

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
        """What u_t of the recurrence holds beside a_t: parts (b, T + K - 1, c, H, W)."""
        steps = self.history + self.horizon - 1
        parts = []
        if self.architecture.forcings and known_future is not None:
            parts += [known_future[:, :-1], known_future[:, 1:]]
        if static is not None:
            parts.append(static.expand(batch, steps, *static.shape))
        return parts

    def _context(
        self, earlier: Tensor, known_future: Tensor | None, static: Tensor | None, graph: Graph
    ) -> Tensor | None:
        """The context g (b, w, H, W), if there is one; ``earlier`` is (b, F, H, W)."""
        if self.context is None:
            return None
        parts = [earlier[:, -self.history :]]
        if self.day_before is not None:
            parts.append(self.day_before.of(earlier))
        if self.architecture.forcings and known_future is not None:
            parts.append(known_future.flatten(1, 2))
        if static is not None:
            parts.append(static.expand(len(earlier), *static.shape))
        context: Tensor = self.context(torch.cat(parts, dim=1), graph)
        return context

    def _changes(self, context: Tensor | None, earlier: Tensor) -> Tensor:
        """Conv(g) and the shares of yesterday (b, K, H, W): of every frame, or from the last."""
        changes = earlier.new_zeros(len(earlier), self.horizon, *self.shape)
        if context is not None and self.context_head is not None:
            changes = changes + self.context_head(context)  # float32: exact under autocast
        if self.day_before is not None and self.share is not None:
            shares: Tensor = self.share(self.day_before.changes(earlier))
            if self.recurrence is not None and self.architecture.residual:
                shares = torch.diff(shares, dim=1, prepend=torch.zeros_like(shares[:, :1]))
            changes = changes + shares
        return changes
