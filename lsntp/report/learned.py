"""What a trained network has learned about one place, for a page and for a figure."""

from typing import NamedTuple

from lsntp.config import Domain, LsntpConfig
from lsntp.errors import ModelError
from lsntp.grid import Floats, Grid
from lsntp.training.loading import load_forecaster
from lsntp.training.versions import ModelVersion


class LearnedColumn(NamedTuple):
    """A column of the learned adjacency.

    Attributes:
        node: (row, column) of the node that stands for the cell asked for.
        node_grid: (h, w), of the nodes.
        weights: (h, w), with which every node takes from this one.
    """

    node: tuple[int, int]
    node_grid: Grid
    weights: Floats


def networks_with_a_graph(domain: Domain) -> list[str]:
    """The domain's networks that learn an adjacency, in the order of its file."""
    return [
        name
        for name, network in domain.networks.items()
        if isinstance(network.architecture, LsntpConfig) and network.architecture.long_range
    ]


def learned_column(domain: Domain, version: ModelVersion, cell: tuple[int, int]) -> LearnedColumn:
    """The column of the node that stands for a cell of the domain's grid.

    Raises:
        ModelError: if the version is no network that learns an adjacency.
    """
    from lsntp.models.learned_graph import LearnedGraph
    from lsntp.training.network import NetworkForecaster

    forecaster = load_forecaster(version, domain)
    network = forecaster.network if isinstance(forecaster, NetworkForecaster) else None
    if not isinstance(network, LearnedGraph):
        raise ModelError(f"Expected a network that learns an adjacency, found {version.version}.")
    node = network.node_of(*cell)
    row, column = divmod(node, network.node_shape[1])
    weights: Floats = network.adjacency_column(node).double().cpu().numpy()
    grid = network.node_grid(domain.target_grid)
    return LearnedColumn((row, column), grid, weights.reshape(network.node_shape))
