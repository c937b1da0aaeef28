"""LS-NTP: a ConvLSTM encoder-decoder whose convolution is LS-Conv.

Equations as in Xu et al., Neural Networks 155 (2022) 242-257, doi 10.1016/j.neunet.2022.07.022.
Shapes: b batch, T history steps, K horizon steps, c channels, d hidden channels, H x W the
domain's grid, h x w the grid of the recurrence, N = h * w nodes, row-major over (h, w).
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from lsntp.config import LsntpConfig
from lsntp.errors import ModelError
from lsntp.grid import Grid
from lsntp.models.cell import LSConvLSTM, State, stepwise
from lsntp.models.forced import is_complete
from lsntp.models.graph import Graph
from lsntp.models.learned_graph import LearnedGraph, check_buildable, nearest_node


class LSNTP(LearnedGraph):
    """LS-NTP; ``architecture.configuration`` names the equations it follows.

    Encoder: two layers over the history. Decoder: two layers, the third starting from the
    last state of the first, the fourth from the last state of the second (Fig. 5). A
    convolution turns every decoder state into a frame. ``paper`` is the published equations,
    ``official`` the authors' code; every difference is a switch of
    :class:`~lsntp.config.LsntpConfig`, which says which side it reproduces.

    Where the publication is silent, both do as the authors' code: one group in GroupNorm, a
    3 x 3 head, and with ``downsample`` one stride-2 3 x 3 convolution in front and a
    transposed one as the head. There, ``even_grid: extend`` replicates one row or column of
    an axis of even length and cuts it back afterwards, so that every cell is seen and
    forecast.

    E is shared by the four layers, and A is computed once per forward.

    Args:
        architecture: widths and switches.
        shape: (H, W).
        history: T.
        horizon: K.
        channels: c of the history.
        grid: where the cells are; needed for a ``reach_km`` between 0 and ``all``.

    Raises:
        ModelError: if the architecture does not fit the grid, T, K or c.
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
    ) -> None:
        super().__init__(architecture)
        self.shape, self.history, self.horizon, self.channels = shape, history, horizon, channels
        _check_fits(architecture, shape, history, horizon, channels, grid)
        hidden = architecture.hidden
        self.front: nn.Conv2d | None = None
        self.head: nn.Conv2d | nn.ConvTranspose2d
        if architecture.downsample:
            self.front = nn.Conv2d(channels, channels, kernel_size=3, stride=2)
            self.head = nn.ConvTranspose2d(hidden, 1, kernel_size=3, stride=2)
            self.node_shape = (shape[0] // 2, shape[1] // 2)
        else:
            self.head = nn.Conv2d(hidden, 1, kernel_size=3, padding=1)
            self.node_shape = shape
        self._make_embedding(None if grid is None else self.node_grid(grid))
        into_decoder = {"none": 0, "zeros": hidden, "forecast": 1}[architecture.decoder_input]
        self.encoder1 = LSConvLSTM(channels, architecture, self.node_shape)
        self.encoder2 = LSConvLSTM(hidden, architecture, self.node_shape)
        self.decoder3 = LSConvLSTM(into_decoder, architecture, self.node_shape)
        self.decoder4 = LSConvLSTM(hidden, architecture, self.node_shape)

    def forward(
        self, history: Tensor, known_future: Tensor | None = None, static: Tensor | None = None
    ) -> Tensor:
        """The next K frames (b, K, 1, H, W), in the units of the training target.

        Args:
            history: the last T frames (b, T, c, H, W), normalised.
            known_future: not used by these configurations; must be None.
            static: not used by these configurations; must be None.

        Raises:
            ModelError: if the history has another shape than built for or holds NaN.
        """
        self._check(history, known_future, static)
        graph = self._graph()
        x = self._to_nodes(history)
        states1, last1 = self.encoder1(x, None, graph, steps=self.history)
        _, last2 = self.encoder2(states1, None, graph, steps=self.history)
        if self.architecture.decoder_input == "forecast":
            return self._feed_back(x[:, -1], last1, last2, graph)
        states3, _ = self.decoder3(None, last1, graph, steps=self.horizon)
        states4, _ = self.decoder4(states3, last2, graph, steps=self.horizon)
        return self._to_frames(states4)

    def _feed_back(self, x: Tensor, state3: State, state4: State, graph: Graph) -> Tensor:
        """K frames (b, K, 1, H, W), the first from the last analysis X_T (b, c, h, w).

        Each later one is made from the frame before it. The states are those of the encoder.
        """
        frames: list[Tensor] = []
        for step in range(self.horizon):
            if step:
                x = self._to_nodes(frames[-1])[:, 0]
            state3 = self.decoder3.step(x, state3, graph)
            state4 = self.decoder4.step(state3.hidden, state4, graph)
            frames.append(self._to_frames(state4.hidden[:, None]))
        return torch.cat(frames, dim=1)

    def node_of(self, row: int, column: int) -> int:
        """The node nearest to a cell of the grid; of two, the one before it."""
        height, width = self.node_shape
        first, stride = (0, 1) if self.front is None else (1, 2)
        return nearest_node(row, first, stride, height) * width + nearest_node(
            column, first, stride, width
        )

    def node_grid(self, grid: Grid) -> Grid:
        """The grid of the nodes: the cells themselves, or the middle ones of every 3 x 3."""
        if self.front is None:
            return grid
        return Grid(grid.latitude[1::2], grid.longitude[1::2])

    def _to_nodes(self, history: Tensor) -> Tensor:
        """(b, T, c, H, W) -> (b, T, c, h, w)."""
        if self.front is None:
            return history
        height, width = self.shape
        to_odd = (0, (width + 1) % 2, 0, (height + 1) % 2)  # left, right, top, bottom
        odd = functional.pad(history.flatten(0, 1), to_odd, mode="replicate")
        return stepwise(self.front, odd.view(*history.shape[:3], *odd.shape[-2:]))

    def _to_frames(self, states: Tensor) -> Tensor:
        """(b, K, d, h, w) -> (b, K, 1, H, W)."""
        height, width = self.shape
        return stepwise(self.head, states)[..., :height, :width]

    def _check(self, history: Tensor, known_future: Tensor | None, static: Tensor | None) -> None:
        expected = (self.history, self.channels, *self.shape)
        faults = []
        if history.ndim != 5 or tuple(history.shape[1:]) != expected:
            faults.append(
                f"a history (b, T, c, H, W) with (T, c, H, W) = {expected}, found shape "
                f"{tuple(history.shape)}: train it for this domain"
            )
        if not is_complete(history):
            faults.append("a complete history, found NaN or infinite values")
        if known_future is not None or static is not None:
            faults.append(
                "a history alone, having no known-future or static inputs, found "
                f"known_future={known_future is not None}, static={static is not None}"
            )
        if faults:
            raise ModelError(
                f"LS-NTP `{self.architecture.configuration}` expects {'; '.join(faults)}."
            )


def _check_fits(
    architecture: LsntpConfig,
    shape: tuple[int, int],
    history: int,
    horizon: int,
    channels: int,
    grid: Grid | None,
) -> None:
    """Refuse what the architecture cannot be built for, naming every fault and its cure."""
    faults = []
    if architecture.downsample and min(shape) < 2:
        faults.append(f"at least 2 x 2 cells to downsample, found {shape}")
    even = [size for size in shape if size % 2 == 0]
    if architecture.downsample and architecture.even_grid == "refuse" and even:
        faults.append(
            f"axes of odd length to downsample as the authors' code does, found {shape}; set "
            "even_grid: extend"
        )
    if architecture.decoder_steps == "history" and history != horizon:
        faults.append(
            f"as many output as input steps, as the authors' code gives, found history {history} "
            f"and horizon {horizon}; set decoder_steps: horizon"
        )
    if architecture.decoder_input == "forecast" and channels != 1:
        faults.append(
            f"one input channel to feed forecasts back into, found {channels}; set "
            "decoder_input: none"
        )
    check_buildable("LS-NTP", architecture, shape, grid, faults)
