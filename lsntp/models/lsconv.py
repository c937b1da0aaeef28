"""LS-Conv: one operator for long-range (graph) and short-range (kernel) correlations.

Equations as in Xu et al., Neural Networks 155 (2022) 242-257, doi 10.1016/j.neunet.2022.07.022;
divergences of the authors' code are switches of :class:`lsntp.config.LsntpConfig`.
Shapes: b batch, c channels, f filters, h x w grid, N = h * w nodes, row-major over (h, w).
"""

import torch
from torch import Tensor, nn

from lsntp.models.convolution import convolve, for_products
from lsntp.models.graph import Graph

ALL = slice(None)
"""Of the channels of X: none is known to be zero."""


class NodeSpatialAttention(nn.Module):
    """Node-based spatial attention (NSA): weighs every node before the graph sees it.

    X₁ = ReLU(GroupNorm(Conv1@1(X))), X₂ = ReLU(GroupNorm(Conv1@1(X₁))),
    NSA(X) = X · Sigmoid(X₂), so the attention lies in [½, 1). GroupNorm has one group,
    as in the authors' code: all channels and cells of a sample together.

    With three layers, as in the authors' code, NSA(X) = X · Sigmoid(Conv1@1(X₂)), and the
    attention lies in (0, 1).

    Args:
        channels: c.
        layers: 2 or 3.
    """

    def __init__(self, channels: int, layers: int = 2) -> None:
        super().__init__()
        self.first = _normalised_pointwise(channels)
        self.second = _normalised_pointwise(channels)
        self.third = nn.Conv2d(channels, channels, kernel_size=1) if layers == 3 else None

    def forward(self, x: Tensor, channels: slice = ALL) -> Tensor:
        """NSA(X), (b, c, h, w) as ``x``.

        Args:
            x: the ``channels`` of X; all others are zero, and so is NSA(X) there. They still
                have a part in GroupNorm, through the bias of the first layer.
            channels: which channels of X these are.
        """
        weight, bias = (self.first.get_parameter(f"0.{name}") for name in ("weight", "bias"))
        x1 = self.first[1:](_pointwise(x, weight[:, channels], bias))
        weight, bias = (self.second.get_parameter(f"0.{name}") for name in ("weight", "bias"))
        x2 = self.second[1:](_pointwise(x1, weight, bias))
        if self.third is None:
            return x * torch.sigmoid(x2[:, channels])
        weight, bias = (self.third.get_parameter(name) for name in ("weight", "bias"))
        return x * torch.sigmoid(_pointwise(x2, weight[channels], bias[channels]))


class LSConv(nn.Module):
    """X ⋆ Θ: the graph product of the attended nodes, then a k x k convolution (LSI).

    X = [NSA(X)]_(nm,c), L = (I + A) X,
    (X ⋆ Θ)(i, j, :) = Σ_p Σ_q [L Θ_pq]_(n,m,f)(i - p, j - q, :).

    The k² products L Θ_pq, shifted and summed, are one ordinary convolution of L with the
    kernel Θ; it is centred and padded with zeros, so the grid keeps its size. PyTorch
    counts p and q the other way round, which only renames the learned Θ_pq. There is no
    bias: LS-Conv of zero is zero, and channels that are zero need no product.

    Args:
        channels: c.
        filters: f.
        kernel: k; 1 is LS-Conv without LSI.
        attention_layers: of NSA; 0 for LS-Conv without NSA.
        relu: whether ReLU follows, as in the authors' code.
    """

    def __init__(
        self,
        channels: int,
        filters: int,
        kernel: int,
        *,
        attention_layers: int = 2,
        relu: bool = False,
    ) -> None:
        super().__init__()
        self.attention = (
            NodeSpatialAttention(channels, attention_layers) if attention_layers else None
        )
        self.theta = nn.Parameter(torch.empty(filters, channels, kernel, kernel))
        nn.init.xavier_normal_(self.theta)
        self.relu = relu

    def forward(self, x: Tensor, graph: Graph, channels: slice = ALL) -> Tensor:
        """X ⋆ Θ.

        Args:
            x: (b, c, h, w); only the ``channels`` of X that are not zero throughout.
            graph: I + A.
            channels: which channels of X these are.

        Returns:
            (b, f, h, w).
        """
        x = for_products(x).contiguous()
        attended = x if self.attention is None else self.attention(x, channels)
        long_range = graph.mix(attended.flatten(2)).view_as(x)  # (b, c, N) -> (b, c, h, w)
        result = convolve(long_range, self.theta[:, channels])
        return result.relu_() if self.relu else result


class DaggConv(nn.Module):
    """AGCRN's node-adaptive graph convolution, in place of LS-Conv in DAGG-ConvLSTM.

    Z_n = X_n Θ⁰_n + (A X)_n Θ¹_n with Θᵏ_n = Σ_e E_ne Θᵏ_e, every node its own weights. No
    attention, no kernel; the node-wise bias of AGCRN is left to the cell's own.

    References:
        Bai et al., NeurIPS 2020, arXiv 2007.02842, eq. 4 and 5.

    Args:
        channels: c.
        filters: f.
        embedding: e.
        relu: whether ReLU follows, as behind LS-Conv in the authors' code.
    """

    def __init__(self, channels: int, filters: int, embedding: int, *, relu: bool = False) -> None:
        super().__init__()
        spread = (2 / (channels + filters)) ** 0.5  # Xavier's, for each Θᵏ_e
        self.theta = nn.Parameter(torch.empty(embedding, 2, channels, filters).normal_(std=spread))
        self.relu = relu

    def forward(self, x: Tensor, graph: Graph, channels: slice = ALL) -> Tensor:
        """Z (b, f, h, w).

        Args:
            x: (b, c, h, w); only the ``channels`` of X that are not zero throughout.
            graph: I + A, with its E (N, e).
            channels: which channels of X these are.
        """
        nodes = x.flatten(2)  # (b, c, N)
        theta = torch.einsum("ne,ekcf->kncf", graph.embedding, self.theta[:, :, channels])
        own = torch.einsum("bcn,ncf->bfn", nodes, theta[0])  # (b, f, N)
        others = torch.einsum("bcn,ncf->bfn", graph.mix(nodes) - nodes, theta[1])
        result = (own + others).view(len(x), -1, *x.shape[2:])
        return torch.relu(result) if self.relu else result


def _pointwise(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Conv1@1(X), (b, f, h, w), as one matrix product a sample.

    It keeps the layout of ``x`` (b, c, h, w), where a convolution on a CPU changes it and back:
    the same sums in less than half of the time in bfloat16.
    """
    nodes = x.flatten(2)
    matrices = weight.flatten(1).expand(len(x), *weight.shape[:2])  # (b, f, c)
    mixed = torch.baddbmm(bias[:, None], matrices, nodes)
    return mixed.view(len(x), -1, *x.shape[2:])


def _normalised_pointwise(channels: int) -> nn.Sequential:
    """ReLU(GroupNorm(Conv1@1(·)))."""
    return nn.Sequential(
        nn.Conv2d(channels, channels, kernel_size=1),
        nn.GroupNorm(1, channels),
        nn.ReLU(inplace=True),
    )
