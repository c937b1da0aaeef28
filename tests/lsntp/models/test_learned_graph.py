"""What every configuration with a learned adjacency lets others read."""

import pytest
import torch

from lsntp.config import LsntpConfig
from lsntp.errors import ModelError
from lsntp.models.learned_graph import LearnedGraph
from lsntp.models.registry import build_network

SMALL = {"hidden": 2, "embedding": 3}


@pytest.fixture(params=["paper", "official", "plus"])
def network(request):
    torch.manual_seed(0)
    architecture = LsntpConfig.model_validate({"configuration": request.param, **SMALL})
    return build_network(architecture, shape=(5, 7), history=3, horizon=3)


def test_every_configuration_has_a_learned_graph_over_its_nodes(network):
    assert isinstance(network, LearnedGraph)
    adjacency = network.adjacency()
    count = network.node_shape[0] * network.node_shape[1]
    assert adjacency.shape == (count, count)
    torch.testing.assert_close(adjacency.sum(dim=1), torch.ones(count))
    torch.testing.assert_close(network.adjacency_column(1), adjacency[:, 1])


def test_every_cell_has_its_node(network):
    nodes = {network.node_of(row, column) for row in range(5) for column in range(7)}
    assert nodes == set(range(network.node_shape[0] * network.node_shape[1]))


@pytest.mark.parametrize("configuration", ["paper", "plus"])
def test_without_long_range_there_is_no_adjacency_to_read(configuration):
    architecture = LsntpConfig.model_validate(
        {"configuration": configuration, "long_range": False, **SMALL}
    )
    network = build_network(architecture, shape=(5, 7), history=3, horizon=3)
    assert network.E is None
    with pytest.raises(ModelError, match="without LAGC"):
        network.adjacency()
