"""A network with a learned adjacency, and what others may read of it.

Shapes: H x W the domain's grid, h x w the grid of the nodes, N = h * w nodes, row-major over
(h, w), e length of an embedding.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from lsntp.config import LsntpConfig
from lsntp.errors import ModelError
from lsntp.grid import Grid
from lsntp.models.graph import (
    Graph,
    NoGraph,
    Reach,
    adaptive_adjacency,
    adjacency_column,
    make_graph,
    node_places,
)


class LearnedGraph(nn.Module):
    """What every configuration of LS-NTP has: E, and the graph made of it.

    A subclass sets :attr:`node_shape` and then calls :meth:`_make_embedding`.

    Args:
        architecture: its ``long_range``, ``embedding``, ``reach_km`` and ``graph`` count here.

    Attributes:
        node_shape: (h, w).
        E: (N, e); None without LAGC.
    """

    node_shape: tuple[int, int]
    E: nn.Parameter | None
    places: Tensor | None

    def __init__(self, architecture: LsntpConfig) -> None:
        super().__init__()
        self.architecture = architecture

    def node_of(self, row: int, column: int) -> int:
        """The node that stands for a cell of the domain's grid."""
        raise NotImplementedError

    def node_grid(self, grid: Grid) -> Grid:
        """The grid (h, w) of the nodes on the domain's ``grid``."""
        raise NotImplementedError

    def adjacency(self) -> Tensor:
        """A (N, N) as learned so far, without gradient; N nodes of :attr:`node_shape`.

        Raises:
            ModelError: if the network has no LAGC.
        """
        adjacency = adaptive_adjacency(self._embedding())
        reach = self._reach()
        return adjacency if reach is None else adjacency * reach.keeps()

    def adjacency_column(self, node: int) -> Tensor:
        """A_in (N,): how much every node takes from node n; memory O(N).

        Raises:
            ModelError: if the network has no LAGC.
        """
        return adjacency_column(self._embedding(), node, self._reach())

    def _make_embedding(self, node_grid: Grid | None) -> None:
        """Draw E, and note where the nodes are, if that is known."""
        self.E = None
        if self.architecture.long_range:
            nodes = math.prod(self.node_shape)
            self.E = nn.Parameter(torch.empty(nodes, self.architecture.embedding))
            nn.init.xavier_normal_(self.E)
        places = None if node_grid is None else node_places(node_grid)
        self.register_buffer("places", places, persistent=False)

    def _embedding(self) -> Tensor:
        if self.E is None:
            raise ModelError(
                "Expected a network that learns an adjacency, found one without LAGC "
                "(architecture.long_range: false)."
            )
        return self.E.detach()

    def _reach(self) -> Reach | None:
        reach_km = self.architecture.reach_km
        if reach_km == "all":
            return None
        if self.places is None:
            raise ModelError("Expected the grid of a network with architecture.reach_km.")
        return Reach(self.places, reach_km)

    def _graph(self) -> Graph:
        """I + A."""
        if self.E is None:
            return NoGraph()
        if self.architecture.reach_km == 0:
            return NoGraph(self.E)
        return make_graph(self.E, self.architecture.graph, self._reach())


def nearest_node(cell: int, first: int, stride: int, count: int) -> int:
    """Along one axis, the node nearest to a cell; of two, the one before it.

    Args:
        cell: its index.
        first: the cell where the first node stands.
        stride: cells from one node to the next.
        count: of nodes.
    """
    return min(max((cell - first + (stride - 1) // 2) // stride, 0), count - 1)


def check_buildable(
    what: str,
    architecture: LsntpConfig,
    shape: tuple[int, int],
    grid: Grid | None,
    faults: Sequence[str] = (),
) -> None:
    """Refuse what the architecture cannot be built for, naming every fault and its cure.

    Args:
        what: is to be built.
        architecture: its ``reach_km`` counts here.
        shape: (H, W).
        grid: where the cells are, if that is known.
        faults: what else is not as it must be, as "…, found …".

    Raises:
        ModelError: if there is any fault.
    """
    found = list(faults)
    if architecture.reach_km not in (0, "all") and grid is None:
        found.append("a grid to measure reach_km on, found none")
    if grid is not None and grid.shape != shape:
        found.append(f"a grid of the shape {shape}, found {grid}")
    if found:
        raise ModelError(
            f"{what} cannot be built as configured under architecture: expected "
            f"{'; expected '.join(found)}."
        )
