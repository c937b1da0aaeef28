"""LS-NTP plus: every ingredient acts, and without it the network is the one without."""

import pytest
import torch
from torch import nn

from lsntp.config import LsntpConfig
from lsntp.errors import ModelError
from lsntp.grid import Grid
from lsntp.models.forced import Told
from lsntp.models.plus import STRENGTH
from lsntp.models.registry import build_network, parameter_count
from lsntp.training_data.forcings import KNOWN, STATIC

T, K, H, W = 3, 4, 6, 9
DAY = 3  # steps: lead 4 lies beyond it
SMALL = {"hidden": 4, "embedding": 3, "stem": 3, "width": 5, "context": 1, "stride": 2}
SMALL |= {"gain": 1.0, "climatology": "level"}
RECURRENT = {"recurrence": True, "nodes": 0}
BOTH = pytest.mark.parametrize("parts", [{}, RECURRENT], ids=["nodes", "recurrence"])


def build(**settings):
    torch.manual_seed(0)
    architecture = LsntpConfig.model_validate({"configuration": "plus", **SMALL, **settings})
    return build_network(architecture, shape=(H, W), history=T, horizon=K, day=DAY)


def inputs(network=None, *, batch=2):
    """History, known future and static fields, as far as the network asks for them."""
    generator = torch.Generator().manual_seed(1)
    frames = network.frames if network else T
    shapes = ((batch, frames, 1, H, W), (batch, frames + K, 2, H, W), (2, H, W))
    history, known, static = (torch.randn(shape, generator=generator) for shape in shapes)
    told = network.told if network else Told(KNOWN, STATIC)
    return history, known if told.known else None, static if told.static else None


def shake(network):
    """Weights as if trained: nothing is zero any more."""
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.2 * torch.randn(parameter.shape, generator=generator))
    return network.eval()


@pytest.mark.parametrize("shape", [(25, 53), (8, 12), (5, 7)])
@pytest.mark.parametrize("stride", [1, 2, 4])
@BOTH
def test_it_maps_history_to_horizon_on_any_grid(shape, stride, parts):
    architecture = LsntpConfig.model_validate(
        {"configuration": "plus", **SMALL, **parts, "stride": stride}
    )
    network = build_network(architecture, shape=shape, history=T, horizon=K)
    given = (torch.zeros(2, T, 1, *shape), torch.zeros(2, T + K, 2, *shape), torch.zeros(2, *shape))
    assert network(*given).shape == (2, K, 1, *shape)
    assert network.node_shape == (-(-shape[0] // stride), -(-shape[1] // stride))


@BOTH
def test_untrained_it_is_persistence_with_the_climatological_increment(parts):
    history, known, static = inputs()
    expected = history[:, -1:] + known[:, T:, :1] - known[:, T - 1 : T, :1]
    for settings in ({}, {"gain": 2.5, "climatology": "change"}):
        network = build(**parts, **settings)
        torch.testing.assert_close(network(history, known, static), expected)


@BOTH
def test_without_anomalies_it_starts_from_persistence(parts):
    network = build(anomalies=False, **parts)
    given = inputs()
    expected = given[0][:, -1:].expand(-1, K, -1, -1, -1)
    torch.testing.assert_close(network(*given), expected)


@BOTH
def test_without_residual_it_starts_from_the_climatology(parts):
    given = inputs()
    torch.testing.assert_close(build(residual=False, **parts)(*given), given[1][:, T:, :1])


def test_without_recurrence_every_frame_is_the_last_one_and_its_own_change():
    """A head of constants 1, 2, 3, 4 adds them to the anomaly, not to the frame before."""
    network = build()
    with torch.no_grad():
        network.context_head.bias.copy_(torch.arange(1.0, K + 1))
    history, known, static = inputs()
    found = network(history, known, static) - known[:, T:, :1]
    last = history[:, -1] - known[:, T - 1, :1]
    for step in range(K):
        torch.testing.assert_close(found[:, step], last + step + 1)


def test_with_recurrence_every_frame_adds_its_change_to_the_one_before():
    """The same constants, summed: 1, 3, 6, 10."""
    network = build(recurrence=True)
    with torch.no_grad():
        network.context_head.bias.copy_(torch.arange(1.0, K + 1))
    history, known, static = inputs()
    found = network(history, known, static) - known[:, T:, :1]
    last = history[:, -1] - known[:, T - 1, :1]
    for step, total in enumerate([1, 3, 6, 10]):
        torch.testing.assert_close(found[:, step], last + total)


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"stride": 1},
        {"strength": "one"},
        {"context": 0},
        {"context": 3},
        {"skip": False},
        {"yesterday": True},
        {"attention_layers": 3, "yesterday": True, "residual": False},
        {"recurrence": True},
        {**RECURRENT, "decoder_input": "none"},
        {**RECURRENT, "context": 0},
        {**RECURRENT, "yesterday": True, "context": 0, "residual": False},
        {
            **RECURRENT,
            "convolution": "joint",
            "attention_layers": 3,
            "peephole": "cell",
            "bias": False,
        },
    ],
)
def test_a_gradient_reaches_every_parameter(settings):
    network = shake(build(**settings, dropout=0.0))
    network.zero_grad()
    network(*inputs(network, batch=4)).square().sum().backward()
    without = [
        name
        for name, parameter in network.named_parameters()
        if parameter.grad is None or not parameter.grad.abs().sum() > 0
    ]
    assert without == []


def test_the_graph_is_i_plus_s_a():
    network = shake(build())
    nodes = torch.randn(2, 4, 3 * 5)
    s = network.strength.detach()
    expected = nodes + s * (nodes @ network.adjacency().T)
    torch.testing.assert_close(network._weighed_graph().mix(nodes), expected)
    assert build().strength.item() == pytest.approx(STRENGTH)


def test_a_graph_of_strength_zero_equals_none():
    network, without = shake(build()), build(long_range=False)
    with torch.no_grad():
        network.strength.zero_()
    tensors = network.state_dict()
    for name in ("E", "strength"):
        del tensors[name]
    without.load_state_dict(tensors)
    given = inputs()
    torch.testing.assert_close(network(*given), without.eval()(*given))


def test_a_chunked_graph_gives_what_a_dense_one_gives():
    dense, chunked = shake(build()), build(graph="chunked")
    chunked.load_state_dict(dense.state_dict())
    given = inputs()
    torch.testing.assert_close(dense(*given), chunked.eval()(*given), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("decoder_input", ["forecast", "none"])
def test_a_decoder_is_fed_with_its_own_forecast_only_where_configured(decoder_input):
    """The head's change of the first frame reaches later frames through the stem, or not."""
    network = shake(build(**RECURRENT, decoder_input=decoder_input, residual=False, dropout=0.0))
    given = inputs()
    seen = []
    network.recurrence.stem.register_forward_pre_hook(
        lambda _, arguments: seen.append(arguments[0][:, :1])
    )
    forecast = network(*given)
    own = forecast - given[1][:, T:, :1]  # anomalies again
    assert len(seen) == 1 + K  # all of the history at once, then a step each
    torch.testing.assert_close(seen[1], given[0][:, -1] - given[1][:, T - 1, :1])
    for step in range(1, K):
        expected = own[:, step - 1] if decoder_input == "forecast" else torch.zeros(2, 1, H, W)
        torch.testing.assert_close(seen[1 + step], expected, rtol=1e-4, atol=1e-4)


def test_a_step_sees_the_forcings_of_itself_and_the_next_one():
    network = shake(build(**RECURRENT))
    history, known, static = inputs()
    seen = []
    network.recurrence.stem.register_forward_pre_hook(
        lambda _, arguments: seen.append(arguments[0])
    )
    network(history, known, static)
    for step in range(K):
        torch.testing.assert_close(seen[1 + step][:, 1:3], known[:, T - 1 + step])
        torch.testing.assert_close(seen[1 + step][:, 3:5], known[:, T + step])
        torch.testing.assert_close(seen[1 + step][0, 5:], static)


@pytest.mark.parametrize(
    ("settings", "fewer"),
    [
        # stem: 2 · 2 channels to 3, context stem: (T + K) · 2 channels to 5, kernels 3 x 3
        ({"forcings": False}, 4 * 3 * 9 + (T + K) * 2 * 5 * 9),
        ({"static": False}, 2 * 3 * 9 + 2 * 5 * 9),
        # stem (3 + 14 + 2 channels), a block, the head of K frames, and its part of the merge
        (
            {"context": 0},
            (19 * 5 * 9 + 5) + (2 * 5 + 2 * (5 * 5 * 9 + 5)) + (5 * K * 9 + K) + 5 * 3,
        ),
        ({"strength": "one"}, 1),
        ({"long_range": False}, 1 + 3 * 5 * 3),
        ({"anomalies": False}, 0),
        ({"gain": 2.0}, 0),
        ({"climatology": "change"}, 0),
        ({"residual": False}, 0),
        ({"dropout": 0.0}, 0),
        ({"forget_bias": 0.0}, 0),
    ],
)
def test_what_an_ingredient_costs_with_recurrence(settings, fewer):
    whole = parameter_count(build(**RECURRENT))
    assert whole - parameter_count(build(**RECURRENT, **settings)) == fewer


# LS-Conv of 4 channels to 4: NSA 2 (4² + 4) + 2 · 8 and 4 · 4 · 9; a norm and a convolution more
LS_BLOCK = 8 + (56 + 144) + (4 * 4 * 9 + 4)
# down 3 x 3, up 4 x 4
PATH = 5 * 4 * 9 + 4 + 4 * 5 * 16 + 5


@pytest.mark.parametrize(
    ("settings", "fewer"),
    [
        ({"nodes": 1}, LS_BLOCK),
        ({"forcings": False}, (T + K) * 2 * 5 * 9),
        ({"static": False}, 2 * 5 * 9),
        ({"context": 0}, 2 * 5 + 2 * (5 * 5 * 9 + 5)),
        ({"strength": "one"}, 1),
        ({"long_range": False}, 1 + 3 * 5 * 3),
        ({"attention_layers": 0}, 2 * 56),
        ({"short_range": False}, 2 * 4 * 4 * 8),
        ({"anomalies": False}, 0),
        ({"residual": False}, 0),
        ({"dropout": 0.0}, 0),
    ],
)
def test_what_an_ingredient_costs(settings, fewer):
    assert parameter_count(build()) - parameter_count(build(**settings)) == fewer


def test_parameter_count_of_the_nodes_by_formula():
    context = (19 * 5 * 9 + 5) + (2 * 5 + 2 * (5 * 5 * 9 + 5)) + (5 * K * 9 + K)
    embedding, strength = 3 * 5 * 3, 1
    expected = context + PATH + 2 * LS_BLOCK + embedding + strength
    assert parameter_count(build()) == expected


def test_what_yesterday_costs():
    """Five channels more for the context, and a share for each lead."""
    assert parameter_count(build(yesterday=True)) - parameter_count(build()) == 5 * 5 * 9 + K


def test_parameter_count_of_the_recurrence_by_formula():
    # LS-Conv of 4 channels: NSA 2 (4² + 4) + 2 · 8 and 4 · 16 · 9; two in every layer,
    # peepholes 3 · 4, biases 16
    layer = 2 * (56 + 576) + 12 + 16
    stem, down, up = 7 * 3 * 9 + 3, 3 * 4 * 9 + 4, 4 * 3 * 16 + 3
    context = (19 * 5 * 9 + 5) + (2 * 5 + 2 * (5 * 5 * 9 + 5)) + (5 * K * 9 + K)
    merge, head = (2 * 3 + 5) * 3 + 3, 3 * 9 + 1
    embedding, strength = 3 * 5 * 3, 1
    parts = (4 * layer, stem, down, up, context, merge, head, embedding, strength)
    assert parameter_count(build(**RECURRENT)) == sum(parts)


@BOTH
@pytest.mark.parametrize("residual", [True, False])
def test_untrained_with_yesterday_it_adds_half_of_the_change_of_the_day_before(residual, parts):
    """Whether the frames are sums of changes or not: every lead takes its own once."""
    network = build(yesterday=True, residual=residual, **parts)
    assert network.frames == 1 + 2 * DAY  # lead 4 needs two days
    history, known, static = inputs(network)
    frames = (history - known[:, :-K, :1])[:, :, 0]  # anomalies of steps -6 … 0
    half = torch.stack(
        [
            (frames[:, 6 - 2] - frames[:, 6 - 3]) / 2,
            (frames[:, 6 - 1] - frames[:, 6 - 3]) / 2,
            (frames[:, 6 - 0] - frames[:, 6 - 3]) / 2,
            (frames[:, 6 - 2] - frames[:, 6 - 6]) / 2,
        ],
        dim=1,
    )
    first = frames[:, -1:] if residual else 0
    expected = known[:, -K:, 0] + first + half
    torch.testing.assert_close(network(history, known, static)[:, :, 0], expected)


def test_with_yesterday_only_the_context_sees_more_than_the_history():
    network = build(yesterday=True, **RECURRENT)
    history, known, static = inputs(network)
    given = {"recurrence.stem": [], "context": []}
    for name, calls in given.items():
        network.get_submodule(name).register_forward_pre_hook(
            lambda _, arguments, calls=calls: calls.append(arguments[0])
        )
    network(history, known, static)
    seen = {name.split(".")[-1]: calls[0] for name, calls in given.items()}
    anomalies = (history - known[:, :-K, :1])[:, :, 0]
    torch.testing.assert_close(seen["stem"].view(2, T, 7, H, W)[:, :, 0], anomalies[:, -T:])
    torch.testing.assert_close(seen["context"][:, :T], anomalies[:, -T:])
    # steps -6, -3 (origins), -2, -1, 0 (the leads' hours) of a history of seven
    torch.testing.assert_close(seen["context"][:, T : T + 5], anomalies[:, [0, 3, 4, 5, 6]])
    told = known[:, -(T + K) :].flatten(1, 2)
    torch.testing.assert_close(seen["context"][:, T + 5 : -2], told)
    torch.testing.assert_close(seen["context"][0, -2:], static)


def test_yesterday_without_the_length_of_a_day_is_refused():
    architecture = LsntpConfig.model_validate({"configuration": "plus", "yesterday": True})
    with pytest.raises(ModelError, match="the steps in a day"):
        build_network(architecture, shape=(H, W), history=T, horizon=K)


@pytest.mark.parametrize(
    "settings",
    [
        {"anomalies": False},
        {"residual": False},
        {"gain": 2.0},
        {"climatology": "change"},
        {"reach_km": 0},
        {**RECURRENT, "anomalies": False},
        {**RECURRENT, "residual": False},
        {**RECURRENT, "gate_activation": "relu"},
        {**RECURRENT, "reach_km": 0},
    ],
)
def test_a_switch_acts_on_the_same_weights(settings):
    parts = {key: value for key, value in settings.items() if key in RECURRENT}
    ours, others = shake(build(**parts)), build(**settings).eval()
    others.load_state_dict(ours.state_dict())
    given = inputs()
    assert not torch.allclose(ours(*given), others(*given))


def test_a_stride_is_that_of_the_recurrence_and_its_kernels_cover_it():
    network = build(stride=4, recurrence=True)
    assert network.node_shape == (2, 3)  # rows 0 and 4 of 6, columns 0, 4 and 8 of 9
    assert tuple(network.E.shape) == (2 * 3, 3)
    for part, times in ((network.recurrence, K), (network.context.nodes, 1)):
        assert (part.down.stride, part.down.kernel_size) == ((4, 4), (5, 5))
        assert (part.up.stride, part.up.kernel_size) == ((4, 4), (8, 8))
        raised = []
        hook = part.up.register_forward_pre_hook(
            lambda _, given, raised=raised: raised.append(given[0].shape)
        )
        network(*inputs())
        hook.remove()
        assert raised == [(2, 4, 2, 3)] * times


def test_a_third_attention_layer_acts_beside_the_same_two():
    two, three = shake(build()), shake(build(attention_layers=3))
    found = three.load_state_dict(two.state_dict(), strict=False)
    assert found.unexpected_keys == []
    assert {name.split(".")[-2] for name in found.missing_keys} == {"third"}
    given = inputs()
    assert not torch.allclose(two(*given), three(*given))


def test_dropout_acts_in_training_only():
    network = shake(build(dropout=0.5))
    given = inputs()
    torch.testing.assert_close(network(*given), network(*given))
    network.train()
    assert not torch.allclose(network(*given), network(*given))


def test_forget_bias_is_where_the_forget_gate_starts():
    layer = build(**RECURRENT, forget_bias=1.5).recurrence.encoder1
    assert layer.b.flatten().tolist() == [0.0] * 4 + [1.5] * 4 + [0.0] * 8


def test_what_is_not_asked_for_need_not_be_given():
    network = build(anomalies=False, forcings=False, static=False)
    history, known, static = inputs(network)
    assert known is None
    assert static is None
    assert network(history).shape == (2, K, 1, H, W)
    with pytest.raises(ModelError, match="static of none"):
        network(history, None, torch.zeros(2, H, W))


def test_missing_forcings_are_refused():
    with pytest.raises(ModelError, match=r"known_future of shape .* found none"):
        build()(inputs()[0])


def test_the_nodes_stand_on_every_second_cell_from_the_first():
    network = build()
    grid = Grid(50.0 - np_range(H), np_range(W))
    nodes = network.node_grid(grid)
    assert nodes.latitude.tolist() == [50.0, 48.0, 46.0]
    assert nodes.longitude.tolist() == [0.0, 2.0, 4.0, 6.0, 8.0]
    assert network.node_of(3, 4) == 1 * 5 + 2
    assert network.adjacency_column(7).shape == (15,)


def test_a_cell_belongs_to_the_nearest_node_also_at_stride_four():
    network = build(stride=4)
    nodes = network.node_grid(Grid(50.0 - np_range(H), np_range(W)))
    assert nodes.latitude.tolist() == [50.0, 46.0]
    assert nodes.longitude.tolist() == [0.0, 4.0, 8.0]
    rows = [network.node_of(row, 0) // 3 for row in range(H)]
    columns = [network.node_of(0, column) for column in range(W)]
    assert rows == [0, 0, 0, 1, 1, 1]
    assert columns == [0, 0, 0, 1, 1, 1, 1, 2, 2]


def np_range(count):
    return torch.arange(count, dtype=torch.float64).numpy()


@pytest.mark.parametrize(
    ("settings", "arguments", "message"),
    [
        ({}, {"channels": 2}, "one input channel, found 2"),
        ({"reach_km": 500.0}, {}, "a grid to measure reach_km on"),
    ],
)
def test_what_cannot_be_built_is_refused(settings, arguments, message):
    architecture = LsntpConfig.model_validate({"configuration": "plus", **SMALL, **settings})
    with pytest.raises(ModelError, match=message):
        build_network(architecture, shape=(H, W), history=T, horizon=K, **arguments)


def test_it_learns():
    """A field that moves two cells a step: persistence does not help, the network does."""
    network = build(dropout=0.0, anomalies=False, forcings=False, static=False)
    generator = torch.Generator().manual_seed(5)
    wave = torch.randn(8, 1, H, W + 2 * (T + K), generator=generator).cumsum(-1) / 3
    frames = [wave[..., 2 * step : 2 * step + W] for step in range(T + K)]
    sequence = torch.stack(frames, dim=1)
    history, target = sequence[:, :T], sequence[:, T:]
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-2)
    losses = []
    for _ in range(60):
        loss = nn.functional.l1_loss(network(history), target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] / 2


def test_a_change_anywhere_reaches_every_cell_through_the_graph_alone():
    """Kernels that see their own node only: what comes from afar came along the graph."""
    network = shake(build(context=0, stride=1, dropout=0.0, short_range=False, attention_layers=0))
    for module in network.modules():
        if isinstance(module, nn.GroupNorm):
            module.forward = lambda x: x  # it looks at every cell
    history, known, static = inputs()
    shaken = history.clone()
    shaken[:, -1, 0, 0, 0] += 1
    far = (network(shaken, known, static) - network(history, known, static))[..., -1, -1]
    assert far.abs().min() > 0
    with torch.no_grad():
        network.strength.zero_()
    far = (network(shaken, known, static) - network(history, known, static))[..., -1, -1]
    assert far.abs().max() == 0


def test_inside_an_anomaly_is_larger_by_the_gain_and_the_climatology_has_no_place():
    network = build(gain=3.0, climatology="change")
    history, known, static = inputs()
    seen = []
    network.context.register_forward_pre_hook(lambda _, arguments: seen.append(arguments[0]))
    plain = network(history, known, static)
    anomalies = (history - known[:, :T, :1])[:, :, 0]
    torch.testing.assert_close(seen[0][:, :T], 3 * anomalies)
    told = seen[0][:, T : T + 2 * (T + K)].unflatten(1, (T + K, 2))
    usual = known[:, :, 0]
    torch.testing.assert_close(told[:, :, 0], 3 * (usual - usual.mean(dim=1, keepdim=True)))
    torch.testing.assert_close(told[:, :, 1], known[:, :, 1])
    # Warmer everywhere and always, climatology too: the forecast is warmer by as much, no more.
    warmer = known + torch.tensor([7.0, 0.0]).view(2, 1, 1)
    torch.testing.assert_close(network(history + 7, warmer, static), plain + 7)
