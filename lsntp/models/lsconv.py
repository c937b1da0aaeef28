"""LS-Conv: one operator for long-range (graph) and short-range (kernel) correlations.

Equations as in Xu et al., Neural Networks 155 (2022) 242-257, doi 10.1016/j.neunet.2022.07.022.
Shapes: b batch, c channels, f filters, h x w grid, N = h * w nodes, row-major over (h, w).
"""

import torch
from torch import Tensor, nn
from torch.nn import functional


def adaptive_adjacency(embedding: Tensor) -> Tensor:
    """Long-range adaptive graph constructor (LAGC): A = SoftMax(ReLU(E Eᵀ)), by rows.

    Args:
        embedding: E, one learned vector per node (N, e).

    Returns:
        A (N, N), every row positive with sum 1. It takes the place of D^-½ A D^-½.
    """
    return torch.softmax(torch.relu(embedding @ embedding.T), dim=1)


class NodeSpatialAttention(nn.Module):
    """Node-based spatial attention (NSA): weighs every node before the graph sees it.

    X₁ = ReLU(GroupNorm(Conv1@1(X))), X₂ = ReLU(GroupNorm(Conv1@1(X₁))),
    NSA(X) = X · Sigmoid(X₂), so the attention lies in [½, 1). GroupNorm has one group,
    as in the authors' code: all channels and cells of a sample together.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = _normalised_pointwise(channels)
        self.second = _normalised_pointwise(channels)

    def forward(self, x: Tensor) -> Tensor:
        """NSA(X), (b, c, h, w) as ``x``."""
        x1 = self.first(x)
        x2 = self.second(x1)
        return x * torch.sigmoid(x2)


class LSConv(nn.Module):
    """X ⋆ Θ: the graph product of the attended nodes, then a k x k convolution.

    X = [NSA(X)]_(nm,c), L = (I + A) X,
    (X ⋆ Θ)(i, j, :) = Σ_p Σ_q [L Θ_pq]_(n,m,f)(i - p, j - q, :).

    The k² products L Θ_pq, shifted and summed, are one ordinary convolution of L with the
    kernel Θ; it is centred and padded with zeros, so the grid keeps its size. PyTorch
    counts p and q the other way round, which only renames the learned Θ_pq. There is no
    bias: LS-Conv of zero is zero.
    """

    def __init__(self, channels: int, filters: int, kernel: int) -> None:
        super().__init__()
        self.attention = NodeSpatialAttention(channels)
        self.theta = nn.Parameter(torch.empty(filters, channels, kernel, kernel))
        nn.init.xavier_normal_(self.theta)

    def forward(self, x: Tensor, graph: Tensor) -> Tensor:
        """X ⋆ Θ.

        Args:
            x: (b, c, h, w).
            graph: I + A, (N, N).

        Returns:
            (b, f, h, w).
        """
        nodes = self.attention(x).flatten(2)  # (b, c, N), so (I + A) acts from the right
        long_range = (nodes @ graph.T).view_as(x)
        return functional.conv2d(long_range, self.theta, padding="same")


def _normalised_pointwise(channels: int) -> nn.Sequential:
    """ReLU(GroupNorm(Conv1@1(·)))."""
    return nn.Sequential(
        nn.Conv2d(channels, channels, kernel_size=1), nn.GroupNorm(1, channels), nn.ReLU()
    )
