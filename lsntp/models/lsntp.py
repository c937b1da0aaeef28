"""LS-NTP: a ConvLSTM encoder-decoder whose convolution is LS-Conv.

Equations as in Xu et al., Neural Networks 155 (2022) 242-257, doi 10.1016/j.neunet.2022.07.022.
Shapes: b batch, T history steps, K horizon steps, c channels, d hidden channels, H x W the
domain's grid, h x w the grid of the recurrence, N = h * w nodes, row-major over (h, w).
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from lsntp.config import LsntpConfig
from lsntp.errors import ModelError
from lsntp.models.lsconv import LSConv, adaptive_adjacency


class State(NamedTuple):
    """What a recurrent layer remembers: H and C, each (b, d, h, w)."""

    hidden: Tensor
    cell: Tensor


class LSConvLSTM(nn.Module):
    """A ConvLSTM layer with LS-Conv in the place of the convolution.

    i_t = σ(W_xi ⋆ X_t + W_hi ⋆ H_{t-1} + W_ci ∘ C_{t-1} + b_i)
    f_t = σ(W_xf ⋆ X_t + W_hf ⋆ H_{t-1} + W_cf ∘ C_{t-1} + b_f)
    C̃_t = tanh(W_xc ⋆ X_t + W_hc ⋆ H_{t-1} + b_c)
    C_t = f_t ∘ C_{t-1} + i_t ∘ C̃_t
    o_t = σ(W_xo ⋆ X_t + W_ho ⋆ H_{t-1} + W_co ∘ C_t + b_o)
    H_t = o_t ∘ tanh(C_t)

    The four W_x· share one LS-Conv (one attention, 4d filters in the order i, f, C̃, o), the
    four W_h· another. ∘ is element-wise, so the peepholes W_c· have one weight per channel
    and cell, as in ConvLSTM.

    Args:
        channels: of X; 0 for a layer whose input is always zero, which then has no W_x:
            LS-Conv of zero is zero.
        hidden: d.
        kernel: side k of the LS-Conv kernels.
        shape: (h, w).
    """

    def __init__(self, channels: int, hidden: int, kernel: int, shape: tuple[int, int]) -> None:
        super().__init__()
        self.W_x = LSConv(channels, 4 * hidden, kernel) if channels else None
        self.W_h = LSConv(hidden, 4 * hidden, kernel)
        self.W_ci, self.W_cf, self.W_co = (_peephole(hidden, shape) for _ in range(3))
        self.b = nn.Parameter(torch.zeros(4 * hidden, 1, 1))

    def forward(
        self, inputs: Tensor | None, state: State | None, graph: Tensor, *, steps: int
    ) -> tuple[Tensor, State]:
        """Run ``steps`` steps.

        Args:
            inputs: X_1 … X_steps (b, steps, c, h, w); None for a layer without input.
            state: H_0 and C_0; None for zeros. A layer without input needs one.
            graph: I + A, (N, N).
            steps: at least 1.

        Returns:
            H_1 … H_steps (b, steps, d, h, w) and the last state.
        """
        driven = self._drive(inputs, graph, steps)
        states = []
        for gates in driven:
            state = self._step(gates, state, graph)
            states.append(state)
        return torch.stack([state.hidden for state in states], dim=1), states[-1]

    def _drive(self, inputs: Tensor | None, graph: Tensor, steps: int) -> tuple[Tensor, ...]:
        """W_x· ⋆ X_t + b· for every step, all steps in one LS-Conv: each (b, 4d, h, w)."""
        if self.W_x is None or inputs is None:
            return (self.b,) * steps
        driven = _stepwise(self.W_x, inputs, graph) + self.b
        return driven.unbind(dim=1)

    def _step(self, gates: Tensor, state: State | None, graph: Tensor) -> State:
        """One step from W_x· ⋆ X_t + b·; a state of zeros is not multiplied out."""
        if state is not None:
            gates = gates + self.W_h(state.hidden, graph)
        i, f, candidate, o = gates.chunk(4, dim=-3)
        previous = torch.zeros_like(i) if state is None else state.cell
        i = torch.sigmoid(i + self.W_ci * previous)
        f = torch.sigmoid(f + self.W_cf * previous)
        cell = f * previous + i * torch.tanh(candidate)
        o = torch.sigmoid(o + self.W_co * cell)
        return State(o * torch.tanh(cell), cell)


class LSNTP(nn.Module):
    """LS-NTP, configuration ``paper``: the published equations.

    Encoder: two layers over the history. Decoder: two layers, the third starting from the
    last state of the first, the fourth from the last state of the second (Fig. 5). A
    convolution turns every decoder state into a frame.

    Where the publication is silent, as in the authors' code: one group in GroupNorm,
    decoder inputs of zero, a 3 x 3 head, and with ``downsample`` one stride-2 3 x 3
    convolution in front and a transposed one as the head. There, an axis of even length is
    extended by one replicated row or column and cut back afterwards, so that every cell is
    seen and forecast. The decoder runs ``horizon`` steps, which may differ from the history.

    E is shared by the four layers, and A is computed once per forward.

    Args:
        architecture: widths and switches.
        shape: (H, W).
        history: T.
        horizon: K.
        channels: c of the history.
    """

    def __init__(
        self,
        architecture: LsntpConfig,
        *,
        shape: tuple[int, int],
        history: int,
        horizon: int,
        channels: int = 1,
    ) -> None:
        super().__init__()
        self.shape, self.history, self.horizon, self.channels = shape, history, horizon, channels
        hidden, kernel = architecture.hidden, architecture.kernel
        self.front: nn.Conv2d | None = None
        self.head: nn.Conv2d | nn.ConvTranspose2d
        if architecture.downsample:
            self.front = nn.Conv2d(channels, channels, kernel_size=3, stride=2)
            self.head = nn.ConvTranspose2d(hidden, 1, kernel_size=3, stride=2)
            self.node_shape = (shape[0] // 2, shape[1] // 2)
        else:
            self.head = nn.Conv2d(hidden, 1, kernel_size=3, padding=1)
            self.node_shape = shape
        if min(self.node_shape) < 1:
            raise ModelError(f"Expected at least 2 x 2 cells to downsample, found {shape}.")
        nodes = math.prod(self.node_shape)
        self.E = nn.Parameter(torch.empty(nodes, architecture.embedding))
        nn.init.xavier_normal_(self.E)
        self.encoder1 = LSConvLSTM(channels, hidden, kernel, self.node_shape)
        self.encoder2 = LSConvLSTM(hidden, hidden, kernel, self.node_shape)
        self.decoder3 = LSConvLSTM(0, hidden, kernel, self.node_shape)
        self.decoder4 = LSConvLSTM(hidden, hidden, kernel, self.node_shape)

    def forward(
        self, history: Tensor, known_future: Tensor | None = None, static: Tensor | None = None
    ) -> Tensor:
        """The next K frames (b, K, 1, H, W), in the units of the training target.

        Args:
            history: the last T frames (b, T, c, H, W), normalised.
            known_future: not used by this configuration; must be None.
            static: not used by this configuration; must be None.

        Raises:
            ModelError: if the history has another shape than built for or holds NaN.
        """
        self._check(history, known_future, static)
        graph = self._graph()
        x = self._to_nodes(history)
        states1, last1 = self.encoder1(x, None, graph, steps=self.history)
        _, last2 = self.encoder2(states1, None, graph, steps=self.history)
        states3, _ = self.decoder3(None, last1, graph, steps=self.horizon)
        states4, _ = self.decoder4(states3, last2, graph, steps=self.horizon)
        return self._to_frames(states4)

    def adjacency(self) -> Tensor:
        """A (N, N) as learned so far, without gradient; N nodes of :attr:`node_shape`."""
        return adaptive_adjacency(self.E.detach())

    def node_of(self, row: int, column: int) -> int:
        """The node of a cell of the domain's grid."""
        height, width = self.node_shape
        stride = 1 if self.front is None else 2
        return min(row // stride, height - 1) * width + min(column // stride, width - 1)

    def _graph(self) -> Tensor:
        """I + A."""
        adjacency = adaptive_adjacency(self.E)
        return adjacency + torch.eye(len(self.E), dtype=self.E.dtype, device=self.E.device)

    def _to_nodes(self, history: Tensor) -> Tensor:
        """(b, T, c, H, W) -> (b, T, c, h, w)."""
        if self.front is None:
            return history
        height, width = self.shape
        to_odd = (0, (width + 1) % 2, 0, (height + 1) % 2)  # left, right, top, bottom
        odd = functional.pad(history.flatten(0, 1), to_odd, mode="replicate")
        return _stepwise(self.front, odd.view(*history.shape[:3], *odd.shape[-2:]))

    def _to_frames(self, states: Tensor) -> Tensor:
        """(b, K, d, h, w) -> (b, K, 1, H, W)."""
        height, width = self.shape
        return _stepwise(self.head, states)[..., :height, :width]

    def _check(self, history: Tensor, known_future: Tensor | None, static: Tensor | None) -> None:
        expected = (self.history, self.channels, *self.shape)
        if history.ndim != 5 or tuple(history.shape[1:]) != expected:
            raise ModelError(
                f"LS-NTP was built for a history (b, T, c, H, W) with (T, c, H, W) = {expected}, "
                f"found shape {tuple(history.shape)}; train it for this domain."
            )
        if known_future is not None or static is not None:
            raise ModelError(
                "Expected a history alone: LS-NTP `paper` has no known-future or static inputs, "
                f"found known_future={known_future is not None}, static={static is not None}."
            )
        if not torch.isfinite(history).all():
            raise ModelError("Expected a complete history, found NaN or infinite values.")


def _stepwise(module: nn.Module, sequence: Tensor, *arguments: Tensor) -> Tensor:
    """``module`` on every step of (b, steps, c, h, w) at once."""
    flat: Tensor = module(sequence.flatten(0, 1), *arguments)
    return flat.view(*sequence.shape[:2], *flat.shape[1:])


def _peephole(hidden: int, shape: tuple[int, int]) -> nn.Parameter:
    """A weight per channel and cell (d, h, w), in the bounds of the authors' (1, d, 1, 1)."""
    bound = math.sqrt(6 / (hidden + 1))
    return nn.Parameter(torch.empty(hidden, *shape).uniform_(-bound, bound))
