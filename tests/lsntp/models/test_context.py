"""The path through the nodes: nothing at first, and with its skip or without."""

import torch

from tests.lsntp.models.test_plus import H, W, build, inputs, shake


def test_nodes_add_nothing_at_first_and_act_when_trained():
    network = build()
    x = torch.randn(2, 5, H, W, generator=torch.Generator().manual_seed(3))
    path, graph = network.context.nodes, network._weighed_graph()
    torch.testing.assert_close(path(x, graph), x)
    shake(network)
    assert not torch.allclose(path(x, graph), x)


def test_without_skip_only_what_went_through_the_nodes_is_left():
    """By the same weights, the path with a skip less the field that came in."""
    whole, through = shake(build()), build(skip=False).eval()
    through.load_state_dict(whole.state_dict())
    x = torch.randn(2, 5, H, W, generator=torch.Generator().manual_seed(3))
    graph = whole._weighed_graph()
    torch.testing.assert_close(through.context.nodes(x, graph), whole.context.nodes(x, graph) - x)


def test_without_skip_the_first_gradient_reaches_the_head():
    """A head of zeros behind nodes of zeros would never learn."""
    network = build(skip=False, dropout=0.0)
    network(*inputs(batch=4)).square().sum().backward()
    assert network.context_head.weight.grad.abs().sum() > 0
