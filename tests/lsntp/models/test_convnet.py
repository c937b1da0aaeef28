"""The plain residual network: what it starts from, what it sees, how large it is."""

import pytest
import torch

from lsntp.config import ConvnetConfig
from lsntp.errors import ModelError
from lsntp.models.forced import Told
from lsntp.models.registry import build_network, parameter_count, told_by

T, K, H, W = 3, 2, 5, 7


def build(**settings):
    torch.manual_seed(0)
    architecture = ConvnetConfig(name="convnet", width=4, blocks=2, **settings)
    return build_network(architecture, shape=(H, W), history=T, horizon=K, day=4)


def inputs(frames=T):
    generator = torch.Generator().manual_seed(1)
    shapes = ((2, frames, 1, H, W), (2, frames + K, 2, H, W), (2, H, W))
    return tuple(torch.randn(shape, generator=generator) for shape in shapes)


def shake(network):
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(0.3 * torch.randn(parameter.shape, generator=generator))
    return network.eval()


def test_untrained_it_is_persistence_with_the_climatological_increment():
    history, known, static = inputs()
    expected = history[:, -1:] + known[:, T:, :1] - known[:, T - 1 : T, :1]
    torch.testing.assert_close(build()(history, known, static), expected)


def test_alone_and_untrained_it_is_persistence():
    history, _, _ = inputs()
    network = build(forced=False)
    assert told_by(network.architecture) == Told()
    torch.testing.assert_close(network(history), history[:, -1:].expand(-1, K, -1, -1, -1))


def test_untrained_with_yesterday_it_adds_half_of_the_change_of_the_day_before():
    network = build(yesterday=True)
    assert network.frames == 5  # a day of four steps, and now
    history, known, static = inputs(frames=5)
    anomalies = (history - known[:, :5, :1])[:, :, 0]
    change = anomalies[:, [1, 2]] - anomalies[:, [0, 0]]  # steps -3 and -2 less step -4
    expected = known[:, 5:, 0] + anomalies[:, -1:] + change / 2
    torch.testing.assert_close(network(history, known, static)[:, :, 0], expected)
    # steps -4, -3 and -2 are channels more, and a share for each lead
    assert parameter_count(network) - parameter_count(build()) == 3 * 4 * 9 + K


@pytest.mark.parametrize("index", [0, 1, 2])
def test_every_input_counts(index):
    network = shake(build())
    before = network(*inputs())
    changed = list(inputs())
    changed[index] = changed[index] + torch.linspace(0, 1, W)
    assert not torch.allclose(network(*changed), before)


def test_parameter_count_by_formula():
    # channels in: 3 frames, 5 steps of 2 forcings, 2 static fields; kernels 3 x 3 with biases
    stem = 15 * 4 * 9 + 4
    block = 2 * 4 + 2 * (4 * 4 * 9 + 4)
    head = 4 * K * 9 + K
    assert parameter_count(build()) == stem + 2 * block + head
    assert parameter_count(build(forced=False)) == stem - 12 * 4 * 9 + 2 * block + head


@pytest.mark.parametrize(
    ("place", "wrong", "message"),
    [
        (0, torch.zeros(2, T + 1, 1, H, W), "history of shape"),
        (1, None, "known_future of shape .* found none"),
        (1, torch.zeros(2, T, 2, H, W), "known_future"),
        (2, torch.zeros(3, H, W), "static of shape"),
        (0, torch.full((2, T, 1, H, W), float("nan")), "complete history"),
    ],
)
def test_an_input_that_does_not_fit_is_refused_by_name(place, wrong, message):
    given = list(inputs())
    given[place] = wrong
    with pytest.raises(ModelError, match=message):
        build()(*given)


def test_an_input_that_is_not_asked_for_is_refused():
    history, known, _ = inputs()
    with pytest.raises(ModelError, match="known_future of none"):
        build(forced=False)(history, known)


def test_gain_and_climatology_act_as_in_plus():
    history, known, static = inputs()
    untrained = build(gain=2.0, climatology="change")
    expected = history[:, -1:] + known[:, T:, :1] - known[:, T - 1 : T, :1]
    torch.testing.assert_close(untrained(history, known, static), expected)
    network = shake(untrained)
    seen = []
    network.stem.register_forward_pre_hook(lambda _, arguments: seen.append(arguments[0]))
    network(history, known, static)
    torch.testing.assert_close(seen[0][:, :T], 2 * (history - known[:, :T, :1])[:, :, 0])
    usual = known[:, :, 0]
    torch.testing.assert_close(seen[0][:, T:-2:2], 2 * (usual - usual.mean(dim=1, keepdim=True)))
