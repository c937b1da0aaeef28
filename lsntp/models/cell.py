"""The recurrent layer of LS-NTP: a ConvLSTM whose convolution is LS-Conv.

Equations as in Xu et al., Neural Networks 155 (2022) 242-257, doi 10.1016/j.neunet.2022.07.022;
divergences of the authors' code are switches of :class:`lsntp.config.LsntpConfig`.
Shapes: b batch, c input channels, d hidden channels, h x w grid of the recurrence.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

from lsntp.config import LsntpConfig
from lsntp.models.gates import advance
from lsntp.models.graph import Graph
from lsntp.models.lsconv import DaggConv, LSConv


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

    ∘ is element-wise. Filters are in the order i, f, C̃, o. By the switches of ``architecture``:

    - ``convolution: separate``: the four W_x· share one LS-Conv (one attention, 4d filters), the
      four W_h· another. ``joint``: one LS-Conv W_xh of the channels [X, H], X first; then
      W_x· ⋆ X + W_h· ⋆ H above reads W_xh· ⋆ [X, H].
    - ``peephole: cell``: W_c· have one weight per channel and cell, as in ConvLSTM;
      ``channel``: one per channel.
    - ``bias: false``: no b·.
    - ``gate_activation: relu``: ReLU(W ⋆ ·) in the place of every W ⋆ ·.

    What is zero throughout (H_0, an input that is None) is not multiplied out.

    Args:
        channels: c of X; 0 for a layer without input, which then has no W_x:
            LS-Conv of zero is zero.
        architecture: widths and switches.
        shape: (h, w).
    """

    def __init__(self, channels: int, architecture: LsntpConfig, shape: tuple[int, int]) -> None:
        super().__init__()
        hidden = architecture.hidden
        self.channels = channels
        self.W_x = self.W_h = self.W_xh = None
        if architecture.convolution == "joint":
            self.W_xh = make_operator(architecture, channels + hidden)
        else:
            self.W_x = make_operator(architecture, channels) if channels else None
            self.W_h = make_operator(architecture, hidden)
        peephole = shape if architecture.peephole == "cell" else (1, 1)
        self.W_ci, self.W_cf, self.W_co = (_peephole(hidden, peephole) for _ in range(3))
        self.b = nn.Parameter(torch.zeros(4 * hidden, 1, 1)) if architecture.bias else None

    def forward(
        self, inputs: Tensor | None, state: State | None, graph: Graph, *, steps: int
    ) -> tuple[Tensor, State]:
        """Run ``steps`` steps.

        Args:
            inputs: X_1 … X_steps (b, steps, c, h, w); None for zeros or a layer without input.
            state: H_0 and C_0; None for zeros. One of ``inputs`` and ``state`` is needed.
            graph: I + A.
            steps: at least 1.

        Returns:
            H_1 … H_steps (b, steps, d, h, w) and the last state.
        """
        frames: tuple[Tensor | None, ...] = (None,) * steps
        from_inputs: tuple[Tensor | None, ...] = (None,) * steps
        if inputs is not None:
            frames = inputs.unbind(dim=1)
            if self.W_x is not None:  # does not depend on the state: all steps in one LS-Conv
                from_inputs = stepwise(self.W_x, inputs, graph).unbind(dim=1)
        states = []
        for x, from_input in zip(frames, from_inputs, strict=True):
            state = self._advance(x, from_input, state, graph)
            states.append(state)
        return torch.stack([state.hidden for state in states], dim=1), states[-1]

    def step(self, x: Tensor | None, state: State | None, graph: Graph) -> State:
        """One step, for inputs that depend on earlier outputs.

        Args:
            x: X (b, c, h, w); None for zeros or a layer without input.
            state: H and C of the step before; None for zeros. One of the two is needed.
            graph: I + A.

        Returns:
            H and C, each (b, d, h, w).
        """
        from_input = None if self.W_x is None or x is None else self.W_x(x, graph)
        return self._advance(x, from_input, state, graph)

    def _advance(
        self, x: Tensor | None, from_input: Tensor | None, state: State | None, graph: Graph
    ) -> State:
        """One step, given W_x· ⋆ X where that is an LS-Conv of its own."""
        terms = (from_input, self.b, self._convolve(x, state, graph))
        first, *others = (term for term in terms if term is not None)
        gates = sum(others, first)  # (b, 4d, h, w)
        previous = None if state is None else state.cell
        return State(*advance(gates, previous, self.W_ci, self.W_cf, self.W_co))

    def _convolve(self, x: Tensor | None, state: State | None, graph: Graph) -> Tensor | None:
        """W_h· ⋆ H, or W_xh· ⋆ [X, H] of those of the two that are not zero."""
        hidden = None if state is None else state.hidden
        result: Tensor | None = None
        if self.W_h is not None and hidden is not None:
            result = self.W_h(hidden, graph)
        elif self.W_xh is not None and x is not None and hidden is not None:
            result = self.W_xh(torch.cat([x, hidden], dim=1), graph)
        elif self.W_xh is not None and x is not None:
            result = self.W_xh(x, graph, slice(0, self.channels))
        elif self.W_xh is not None and hidden is not None:
            result = self.W_xh(hidden, graph, slice(self.channels, None))
        return result


def make_operator(architecture: LsntpConfig, channels: int) -> LSConv | DaggConv:
    """X ⋆ Θ of ``channels`` c to the 4d filters of the four gates."""
    filters, relu = 4 * architecture.hidden, architecture.gate_activation == "relu"
    if architecture.operator == "dagg":
        return DaggConv(channels, filters, architecture.embedding, relu=relu)
    return LSConv(
        channels,
        filters,
        architecture.kernel if architecture.short_range else 1,
        attention_layers=architecture.attention_layers,
        relu=relu,
    )


def stepwise(module: nn.Module, sequence: Tensor, *arguments: object) -> Tensor:
    """``module`` on every step of (b, steps, c, h, w) at once: (b, steps, f, h', w')."""
    flat: Tensor = module(sequence.flatten(0, 1), *arguments)
    return flat.view(*sequence.shape[:2], *flat.shape[1:])


def _peephole(hidden: int, shape: tuple[int, int]) -> nn.Parameter:
    """A weight per channel and cell (d, h, w), in the bounds of the authors' (1, d, 1, 1)."""
    bound = math.sqrt(6 / (hidden + 1))
    return nn.Parameter(torch.empty(hidden, *shape).uniform_(-bound, bound))
