"""The long-range half of LS-Conv: the learned adjacency and the product (I + A) X.

Equations as in Xu et al., Neural Networks 155 (2022) 242-257, doi 10.1016/j.neunet.2022.07.022.
Shapes: b batch, c channels, N = h * w nodes, row-major over (h, w), e length of an embedding.

Two forms of one function: :class:`DenseGraph` holds A, N² numbers, and is the quicker one;
:class:`ChunkedGraph` makes rows of A when they are needed, and again for the gradient, so
that its memory is linear in N.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from lsntp.grid import EARTH_RADIUS_KM, Grid

DENSE_NODES = 10_000
"""Up to here ``auto`` holds A: 400 MB in float32, about four times that while training."""

CHUNK_BYTES = 32 * 2**20
"""Size of a block of rows of A; a few such blocks exist at a time."""


def adaptive_adjacency(embedding: Tensor) -> Tensor:
    """Long-range adaptive graph constructor (LAGC): A = SoftMax(ReLU(E Eᵀ)), by rows.

    Args:
        embedding: E, one learned vector per node (N, e).

    Returns:
        A (N, N), every row positive with sum 1, in the precision of E even under autocast. It
        takes the place of D^-½ A D^-½.
    """
    with torch.autocast(embedding.device.type, enabled=False):
        return torch.softmax(torch.relu(embedding @ embedding.T), dim=1)


@dataclass(frozen=True, eq=False)
class Reach:
    """Which pairs of nodes are near enough to keep their entry in the adjacency.

    Attributes:
        places: unit vectors from the Earth's centre to the nodes (N, 3).
        distance_km: great-circle distance up to which a pair is kept.
    """

    places: Tensor
    distance_km: float

    def keeps(self, rows: slice = slice(None)) -> Tensor:
        """(rows, N): True where the great circle is no longer than ``distance_km``."""
        angle = self.distance_km / EARTH_RADIUS_KM
        longest = (2 * math.sin(angle / 2)) ** 2 if angle < math.pi else math.inf
        chord = torch.zeros((), dtype=self.places.dtype, device=self.places.device)
        for axis in self.places.unbind(dim=1):
            chord = chord + (axis[rows, None] - axis) ** 2
        return chord <= longest  # of the straight lines under the arcs, squared


def node_places(grid: Grid) -> Tensor:
    """Unit vectors (N, 3) float64 of the cells of a grid."""
    latitude = torch.deg2rad(torch.from_numpy(grid.latitude))[:, None]
    longitude = torch.deg2rad(torch.from_numpy(grid.longitude))[None, :]
    axes = (
        torch.cos(latitude) * torch.cos(longitude),
        torch.cos(latitude) * torch.sin(longitude),
        torch.sin(latitude).expand(grid.shape),
    )
    return torch.stack(axes, dim=-1).flatten(0, 1)


class Graph(Protocol):
    """I + A of one forward pass."""

    @property
    def embedding(self) -> Tensor | None:
        """E (N, e); None where there is no graph."""

    def mix(self, nodes: Tensor) -> Tensor:
        """(I + A) X for X as (b, c, N), from the right: no axis is moved."""


@dataclass(frozen=True, eq=False)
class NoGraph:
    """A = 0: L = X."""

    embedding: Tensor | None = None

    def mix(self, nodes: Tensor) -> Tensor:
        """X (b, c, N) as it is."""
        return nodes


@dataclass(frozen=True, eq=False)
class DenseGraph:
    """I + A (N, N), made once and used by every LS-Conv of a forward pass."""

    matrix: Tensor
    embedding: Tensor | None = None

    @classmethod
    def of(cls, embedding: Tensor, reach: Reach | None) -> "DenseGraph":
        """I + A of E (N, e), with A as :func:`adaptive_adjacency` and zero beyond ``reach``."""
        adjacency = adaptive_adjacency(embedding)
        if reach is not None:
            adjacency = adjacency * reach.keeps()
        identity = torch.eye(len(embedding), dtype=adjacency.dtype, device=adjacency.device)
        return cls(adjacency + identity, embedding)

    def mix(self, nodes: Tensor) -> Tensor:
        """(I + A) X for X as (b, c, N)."""
        return nodes @ self.matrix.T


@dataclass(frozen=True, eq=False)
class ChunkedGraph:
    """I + A as a function of E, a block of rows at a time, forward and backward.

    Attributes:
        embedding: E (N, e).
        log_total: log Σ_j exp(ReLU(E Eᵀ))_ij of every row (N,), made once a forward pass.
        reach: which pairs count; None for all.
        rows: in a block.
    """

    embedding: Tensor
    log_total: Tensor
    reach: Reach | None
    rows: int

    @classmethod
    def of(cls, embedding: Tensor, reach: Reach | None, rows: int | None = None) -> "ChunkedGraph":
        """The graph of E (N, e).

        Args:
            embedding: E.
            reach: which pairs count; None for all.
            rows: of A at a time; by default as many as fit :data:`CHUNK_BYTES`.
        """
        rows = rows or max(1, CHUNK_BYTES // (embedding.element_size() * len(embedding)))
        return cls(embedding, _log_totals(embedding.detach(), rows), reach, rows)

    def mix(self, nodes: Tensor) -> Tensor:
        """(I + A) X for X as (b, c, N)."""
        product: Tensor = _ChunkedProduct.apply(  # type: ignore[no-untyped-call]
            nodes, self.embedding, self.log_total, self.reach, self.rows
        )
        return nodes + product


def make_graph(
    embedding: Tensor, kind: Literal["auto", "dense", "chunked"], reach: Reach | None
) -> Graph:
    """I + A in the form asked for.

    Args:
        embedding: E (N, e).
        kind: ``dense`` holds A, ``chunked`` never does; ``auto`` is dense up to
            :data:`DENSE_NODES`.
        reach: which pairs count; None for all.
    """
    if kind == "dense" or (kind == "auto" and len(embedding) <= DENSE_NODES):
        return DenseGraph.of(embedding, reach)
    return ChunkedGraph.of(embedding, reach)


def adjacency_column(embedding: Tensor, node: int, reach: Reach | None = None) -> Tensor:
    """A_in (N,): the weights with which every node i listens to node n (Fig. 11 and 12).

    Args:
        embedding: E (N, e).
        node: n.
        reach: which pairs count; None for all. The sum is no more than N.
    """
    rows = max(1, CHUNK_BYTES // (embedding.element_size() * len(embedding)))
    scores = torch.relu(embedding @ embedding[node])
    column = torch.exp(scores - _log_totals(embedding, rows))
    return column if reach is None else column * reach.keeps(slice(node, node + 1))[0]


class _ChunkedProduct(torch.autograd.Function):
    """A X from E and X, with A = M ∘ P, P = SoftMax(ReLU(S)), S = E Eᵀ and M the reach.

    With G = dℓ/d(AX), both as (b c, N), and δ_i = Σ G_i (AX)_i over b c:

        dℓ/dX = G A,    Q = M ∘ (Gᵀ X),    dℓ/dS = P ∘ (Q - δ) where S > 0,
        dℓ/dE = (dℓ/dS + dℓ/dSᵀ) E.

    δ is the row sum Σ_j Q_ij P_ij of the softmax's gradient, so a block of rows needs no
    other block.
    """

    @staticmethod
    def forward(
        ctx: Any,
        nodes: Tensor,
        embedding: Tensor,
        log_total: Tensor,
        reach: Reach | None,
        rows: int,
    ) -> Tensor:
        with torch.autocast(nodes.device.type, enabled=False):
            x = nodes.detach().to(embedding.dtype).reshape(-1, len(embedding))
            product = torch.empty_like(x)
            buffers = _Buffers.of(embedding, rows)
            for block in _blocks(len(embedding), rows):
                _, weights = buffers.fill(embedding, log_total, block)
                if reach is not None:
                    weights *= reach.keeps(block)
                product[:, block] = x @ weights.T
        ctx.save_for_backward(x, embedding, log_total, product)
        ctx.reach, ctx.rows, ctx.dtype = reach, rows, nodes.dtype
        return product.view(nodes.shape).to(nodes.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        x, embedding, log_total, product = ctx.saved_tensors
        shape = gradients[0].shape
        with torch.autocast(x.device.type, enabled=False):
            gradient = gradients[0].to(x.dtype).reshape(x.shape)
            delta = (gradient * product).sum(dim=0)
            of_x = torch.zeros_like(x)
            of_e = torch.zeros_like(embedding)
            buffers = _Buffers.of(embedding, ctx.rows)
            for block in _blocks(len(embedding), ctx.rows):
                score, weights = buffers.fill(embedding, log_total, block)
                kept = None if ctx.reach is None else ctx.reach.keeps(block)
                mine = gradient[:, block]
                of_x.addmm_(mine, weights if kept is None else weights * kept)
                if not ctx.needs_input_grad[1]:
                    continue
                weights *= score.sign_()  # P where S > 0, else 0
                of_score = torch.mm(mine.T, x, out=score)
                if kept is not None:
                    of_score *= kept
                of_score -= delta[block, None]
                of_score *= weights
                of_e[block] += of_score @ embedding
                of_e.addmm_(of_score.T, embedding[block])
        of_nodes = of_x.view(shape).to(ctx.dtype)
        return of_nodes, of_e if ctx.needs_input_grad[1] else None, None, None, None


@dataclass(frozen=True, eq=False)
class _Buffers:
    """Two blocks of rows that are filled again and again: fresh memory costs more than the sums."""

    score: Tensor
    weights: Tensor

    @classmethod
    def of(cls, embedding: Tensor, rows: int) -> "_Buffers":
        shape = (min(rows, len(embedding)), len(embedding))
        return cls(embedding.new_empty(shape), embedding.new_empty(shape))

    def fill(self, embedding: Tensor, log_total: Tensor, block: slice) -> tuple[Tensor, Tensor]:
        """ReLU(S) and P, both (rows, N), of a block of rows."""
        count = block.stop - block.start
        score = torch.mm(embedding[block], embedding.T, out=self.score[:count]).clamp_min_(0)
        weights = torch.sub(score, log_total[block, None], out=self.weights[:count]).exp_()
        return score, weights


def _log_totals(embedding: Tensor, rows: int) -> Tensor:
    """Σ_j exp(ReLU(E Eᵀ))_ij of every row (N,), as a logarithm, which does not overflow."""
    with torch.autocast(embedding.device.type, enabled=False):
        buffers = _Buffers.of(embedding, rows)
        totals = embedding.new_empty(len(embedding))
        for block in _blocks(len(embedding), rows):
            score = buffers.score[: block.stop - block.start]
            torch.mm(embedding[block], embedding.T, out=score).clamp_min_(0)
            largest = score.amax(dim=1, keepdim=True)
            exponential = torch.sub(score, largest, out=buffers.weights[: len(score)]).exp_()
            totals[block] = exponential.sum(dim=1).log_() + largest[:, 0]
        return totals


def _blocks(count: int, rows: int) -> Iterator[slice]:
    return (slice(first, min(first + rows, count)) for first in range(0, count, rows))
