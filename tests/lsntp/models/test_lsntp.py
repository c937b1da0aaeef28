"""LS-NTP against its published equations, written out the slow way, and its invariants."""

import itertools
import math
from collections.abc import Iterator, Mapping

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

import lsntp.models.graph as module_under_test
from lsntp.config import LsntpConfig
from lsntp.errors import ModelError
from lsntp.models.graph import DenseGraph
from lsntp.models.lsntp import LSNTP

Parameters = Mapping[str, Tensor]


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(11)


def _network(
    shape: tuple[int, int] = (4, 3),
    *,
    history: int = 3,
    horizon: int = 3,
    channels: int = 1,
    hidden: int = 2,
    kernel: int = 3,
    downsample: bool = False,
) -> LSNTP:
    """A small float64 network whose every parameter is random, biases included."""
    architecture = LsntpConfig.model_validate(
        {"hidden": hidden, "embedding": 5, "kernel": kernel, "downsample": downsample}
    )
    network = LSNTP(
        architecture, shape=shape, history=history, horizon=horizon, channels=channels
    ).double()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.normal_(std=0.7)
    return network


def _history(network: LSNTP, batch: int = 2) -> Tensor:
    shape = (batch, network.history, network.channels, *network.shape)
    return torch.randn(shape, dtype=torch.float64)


# --- the equations, one node, one kernel entry and one step at a time ----------------------
# Fields are (n, m, c) as in the lectures; nothing below calls the package.


def _below(parameters: Parameters, prefix: str) -> Parameters:
    start = prefix + "."
    return {key[len(start) :]: v for key, v in parameters.items() if key.startswith(start)}


def _slow_norm_relu(field: Tensor, p: Parameters) -> Tensor:
    """ReLU(GroupNorm(Conv1@1(field))), one group."""
    mixed = field @ p["0.weight"][:, :, 0, 0].T + p["0.bias"]
    spread = ((mixed - mixed.mean()) ** 2).mean()
    normal = (mixed - mixed.mean()) / torch.sqrt(spread + 1e-5) * p["1.weight"] + p["1.bias"]
    return normal * (normal > 0)


def _slow_attention(field: Tensor, p: Parameters) -> Tensor:
    x1 = _slow_norm_relu(field, _below(p, "first"))
    x2 = _slow_norm_relu(x1, _below(p, "second"))
    return field * (1 / (1 + torch.exp(-x2)))


def _slow_adjacency(embedding: Tensor) -> Tensor:
    rows = []
    for node in embedding:
        similarity = torch.stack([(node * other).sum() for other in embedding])
        weights = torch.exp(similarity * (similarity > 0))
        rows.append(weights / weights.sum())
    return torch.stack(rows)


def _slow_lsconv(field: Tensor, p: Parameters, adjacency: Tensor) -> Tensor:
    """(X ⋆ Θ)(i, j, :) = Σ_p Σ_q [L Θ_pq]_(n,m,f)(i - p, j - q, :), p and q centred."""
    n, m, c = field.shape
    kernel = p["theta"].permute(2, 3, 1, 0).flip(0, 1)  # Θ_pq (k, k, c, f), counted as printed
    k = len(kernel)
    nodes = _slow_attention(field, _below(p, "attention")).reshape(n * m, c)
    total = [[torch.zeros(kernel.shape[3], dtype=field.dtype)] * m for _ in range(n)]
    for row, column in itertools.product(range(k), range(k)):
        graph_convolution = (nodes + adjacency @ nodes) @ kernel[row, column]
        image = graph_convolution.reshape(n, m, -1)
        for i, j in itertools.product(range(n), range(m)):
            source = (i - (row - k // 2), j - (column - k // 2))
            if 0 <= source[0] < n and 0 <= source[1] < m:
                total[i][j] = total[i][j] + image[source]
    return torch.stack([torch.stack(line) for line in total])


def _slow_cell(
    x: Tensor | None, h: Tensor, c: Tensor, p: Parameters, adjacency: Tensor
) -> tuple[Tensor, Tensor]:
    d = h.shape[-1]
    from_input = None if x is None else _slow_lsconv(x, _below(p, "W_x"), adjacency)
    from_state = _slow_lsconv(h, _below(p, "W_h"), adjacency)

    def gate(position: int) -> Tensor:
        part = slice(position * d, (position + 1) * d)
        value = from_state[..., part] + p["b"][part, 0, 0]
        return value if from_input is None else value + from_input[..., part]

    def peephole(name: str, cell: Tensor) -> Tensor:
        return p[name].permute(1, 2, 0) * cell

    def sigma(value: Tensor) -> Tensor:
        return 1 / (1 + torch.exp(-value))

    i = sigma(gate(0) + peephole("W_ci", c))
    f = sigma(gate(1) + peephole("W_cf", c))
    new = f * c + i * torch.tanh(gate(2))
    o = sigma(gate(3) + peephole("W_co", new))
    return o * torch.tanh(new), new


def _slow_front(frame: Tensor, p: Parameters) -> Tensor:
    """The stride-2 convolution of a frame (H, W, c), its even axes first made odd."""
    if frame.shape[0] % 2 == 0:
        frame = torch.cat([frame, frame[-1:]], dim=0)
    if frame.shape[1] % 2 == 0:
        frame = torch.cat([frame, frame[:, -1:]], dim=1)
    n, m = frame.shape[0] // 2, frame.shape[1] // 2
    return torch.stack(
        [
            torch.stack(
                [
                    torch.einsum(
                        "uvc,fcuv->f", frame[2 * i : 2 * i + 3, 2 * j : 2 * j + 3], p["weight"]
                    )
                    + p["bias"]
                    for j in range(m)
                ]
            )
            for i in range(n)
        ]
    )


def _slow_head(h: Tensor, p: Parameters, shape: tuple[int, int], *, coarse: bool) -> Tensor:
    """A frame (H, W) from a state (n, m, d)."""
    n, m, _ = h.shape
    frame = [[p["bias"][0]] * (2 * m + 1) for _ in range(2 * n + 1)]
    for i, j, u, v in itertools.product(range(n), range(m), range(3), range(3)):
        if coarse:  # state (i, j) spreads over nine cells
            value = (h[i, j] * p["weight"][:, 0, u, v]).sum()
            frame[2 * i + u][2 * j + v] = frame[2 * i + u][2 * j + v] + value
        elif 0 <= i + u - 1 < n and 0 <= j + v - 1 < m:  # cell (i, j) gathers nine states
            value = (h[i + u - 1, j + v - 1] * p["weight"][0, :, u, v]).sum()
            frame[i][j] = frame[i][j] + value
    return torch.stack([torch.stack(line[: shape[1]]) for line in frame[: shape[0]]])


def _slow_forecast(network: LSNTP, p: Parameters, sample: Tensor) -> Tensor:
    """The whole network on one sample (T, c, H, W), every layer beside the others at each step."""
    adjacency = _slow_adjacency(p["E"])
    coarse = "front.weight" in p
    n, m = (size // 2 for size in network.shape) if coarse else network.shape
    zero = torch.zeros(n, m, len(p["encoder1.b"]) // 4, dtype=sample.dtype)
    h1, c1, h2, c2 = zero, zero, zero, zero
    for frame in sample:
        x = frame.permute(1, 2, 0)
        if coarse:
            x = _slow_front(x, _below(p, "front"))
        h1, c1 = _slow_cell(x, h1, c1, _below(p, "encoder1"), adjacency)
        h2, c2 = _slow_cell(h1, h2, c2, _below(p, "encoder2"), adjacency)
    frames = []
    for _ in range(network.horizon):
        h1, c1 = _slow_cell(None, h1, c1, _below(p, "decoder3"), adjacency)
        h2, c2 = _slow_cell(h1, h2, c2, _below(p, "decoder4"), adjacency)
        frames.append(_slow_head(h2, _below(p, "head"), network.shape, coarse=coarse))
    return torch.stack(frames)[:, None]


@pytest.mark.parametrize(
    "settings_",
    [
        {"shape": (4, 3), "kernel": 3, "history": 3, "horizon": 2},
        {"shape": (3, 4), "kernel": 5, "history": 2, "horizon": 3, "channels": 2},
        {"shape": (2, 3), "kernel": 1, "history": 2, "horizon": 2, "hidden": 3},
        {"shape": (6, 7), "kernel": 3, "history": 2, "horizon": 2, "downsample": True},
    ],
    ids=["3x3", "5x5, two channels", "1x1", "downsampled"],
)
def test_network_equals_its_equations_in_values_and_gradients(settings_: dict) -> None:
    network = _network(**settings_)
    history = _history(network)
    prediction = network(history)
    weights = torch.randn_like(prediction)
    (prediction * weights).sum().backward()

    slow = {
        key: value.detach().clone().requires_grad_() for key, value in network.named_parameters()
    }
    expected = torch.stack([_slow_forecast(network, slow, sample) for sample in history])
    (expected * weights).sum().backward()

    assert expected.abs().max() > 0.1
    torch.testing.assert_close(prediction, expected, rtol=1e-10, atol=1e-10)
    for key, parameter in network.named_parameters():
        assert parameter.grad is not None, key
        torch.testing.assert_close(
            parameter.grad,
            slow[key].grad,
            rtol=1e-10,
            atol=1e-10,
            msg=lambda text, k=key: f"{k}: {text}",
        )


# --- invariants ----------------------------------------------------------------------------


def test_adjacency_is_built_once_per_forward(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    original = module_under_test.adaptive_adjacency

    def counted(embedding: Tensor) -> Tensor:
        calls.append(embedding)
        return original(embedding)

    monkeypatch.setattr(module_under_test, "adaptive_adjacency", counted)
    network = _network()
    network(_history(network))
    assert len(calls) == 1


def test_samples_of_a_batch_do_not_see_each_other() -> None:
    network = _network()
    history = _history(network, batch=3)
    alone = torch.cat([network(sample[None]) for sample in history])
    torch.testing.assert_close(network(history), alone, rtol=1e-12, atol=1e-12)


def test_longer_horizon_begins_like_a_shorter_one() -> None:
    short, long = _network(history=4, horizon=2), _network(history=4, horizon=7)
    long.load_state_dict(short.state_dict())
    history = _history(short)
    assert long(history).shape == (2, 7, 1, 4, 3)
    torch.testing.assert_close(long(history)[:, :2], short(history))


def test_single_precision_agrees_with_double() -> None:
    network = _network((5, 6), hidden=4)
    history = _history(network)
    double = network(history)
    torch.testing.assert_close(
        network.float()(history.float()).double(), double, rtol=1e-4, atol=1e-4
    )


def test_every_parameter_acts() -> None:
    """Of two input channels: of one alone, GroupNorm takes the first bias of NSA away."""
    architecture = LsntpConfig(hidden=6, embedding=8)
    network = LSNTP(architecture, shape=(5, 6), history=3, horizon=2, channels=2).double()
    network(_history(network, batch=4)).square().sum().backward()
    dead = [
        name
        for name, parameter in network.named_parameters()
        if parameter.grad is None or not parameter.grad.any()
    ]
    assert dead == []


def test_biases_of_the_gates_start_at_zero_and_states_are_bounded() -> None:
    network = LSNTP(LsntpConfig(hidden=6, embedding=8), shape=(5, 6), history=3, horizon=2)
    layers = (network.encoder1, network.encoder2, network.decoder3, network.decoder4)
    assert not any(layer.b.any() for layer in layers)
    states, last = network.encoder1(
        torch.randn(2, 3, 1, 5, 6), None, DenseGraph(torch.eye(30)), steps=3
    )
    assert states.abs().max() < 1  # H = o ∘ tanh(C)
    assert last.cell.abs().max() < 3  # |C| grows by less than one a step


def test_same_seed_gives_the_same_network() -> None:
    def build() -> LSNTP:
        torch.manual_seed(5)
        return LSNTP(LsntpConfig(hidden=3, embedding=4), shape=(4, 4), history=2, horizon=2)

    first, second = build().state_dict(), build().state_dict()
    assert all(torch.equal(first[key], second[key]) for key in first)


def _names_below(layer: str, operators: tuple[str, ...]) -> set[str]:
    parts = {"theta"} | {
        f"attention.{half}.{index}.{kind}"
        for half in ("first", "second")
        for index in (0, 1)
        for kind in ("weight", "bias")
    }
    own = {"W_ci", "W_cf", "W_co", "b"} | {f"{op}.{part}" for op in operators for part in parts}
    return {f"{layer}.{name}" for name in own}


@pytest.mark.parametrize("downsample", [False, True])
def test_stored_networks_of_the_paper_keep_their_names(downsample: bool) -> None:
    """A version on disk is read by these names: another one is a version that cannot be loaded."""
    expected = {"E", "head.weight", "head.bias"}
    expected |= {"front.weight", "front.bias"} if downsample else set()
    for layer in ("encoder1", "encoder2", "decoder4"):
        expected |= _names_below(layer, ("W_x", "W_h"))
    expected |= _names_below("decoder3", ("W_h",))  # has no input
    assert set(_network((5, 5), downsample=downsample).state_dict()) == expected


@settings(max_examples=12, deadline=None)
@given(height=st.integers(2, 9), width=st.integers(2, 9))
def test_downsampled_network_sees_and_forecasts_every_cell(height: int, width: int) -> None:
    torch.manual_seed(2)
    network = LSNTP(
        LsntpConfig(hidden=3, embedding=4, downsample=True),
        shape=(height, width), history=2, horizon=3,
    )  # fmt: skip
    history = torch.randn(1, 2, 1, height, width, requires_grad=True)
    prediction = network(history)
    assert prediction.shape == (1, 3, 1, height, width)
    prediction.square().sum().backward()
    assert history.grad is not None
    assert (history.grad[0, -1, 0, -1] != 0).any()  # the last row of an even grid counts
    bias = network.head.bias
    assert bias is not None
    assert (prediction[0, -1, 0, -1] != bias).any()  # and is forecast by more than a bias


@pytest.mark.parametrize("downsample", [False, True])
def test_node_of_a_cell_is_the_one_that_covers_it(downsample: bool) -> None:
    network = _network((6, 7), downsample=downsample)
    if downsample:  # nodes 3 x 3; the last column of seven belongs to the third node
        assert network.node_shape == (3, 3)
        assert [network.node_of(0, 0), network.node_of(1, 3), network.node_of(5, 6)] == [0, 1, 8]
    else:
        assert network.node_shape == (6, 7)
        assert [network.node_of(0, 0), network.node_of(1, 3), network.node_of(5, 6)] == [0, 10, 41]
    assert network.adjacency().shape == (math.prod(network.node_shape),) * 2
    assert not network.adjacency().requires_grad


def _wrong_histories() -> Iterator[tuple[str, Tensor, str]]:
    yield "another grid", torch.zeros(2, 3, 1, 4, 4), r"\(3, 1, 4, 3\).*\(2, 3, 1, 4, 4\)"
    yield "too few frames", torch.zeros(2, 2, 1, 4, 3), r"\(3, 1, 4, 3\).*\(2, 2, 1, 4, 3\)"
    yield "too many channels", torch.zeros(2, 3, 2, 4, 3), r"\(3, 1, 4, 3\).*\(2, 3, 2, 4, 3\)"
    yield "no batch", torch.zeros(3, 1, 4, 3), r"\(3, 1, 4, 3\)"
    yield "a gap", torch.full((1, 3, 1, 4, 3), torch.nan), "complete history.*NaN"


@pytest.mark.parametrize(
    ("history", "message"), [case[1:] for case in _wrong_histories()],
    ids=[case[0] for case in _wrong_histories()],
)  # fmt: skip
def test_history_that_does_not_fit_is_refused(history: Tensor, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        _network()(history.double())


def test_inputs_of_other_configurations_are_refused() -> None:
    network = _network()
    with pytest.raises(ModelError, match="no known-future or static"):
        network(_history(network), static=torch.zeros(1))


def test_all_that_is_wrong_with_the_inputs_is_named_at_once() -> None:
    history = torch.full((1, 2, 1, 4, 5), torch.nan, dtype=torch.float64)
    words = r"\(3, 1, 4, 3\).*\(1, 2, 1, 4, 5\).*complete history.*NaN.*static=True"
    with pytest.raises(ModelError, match=words):
        _network()(history, static=torch.zeros(1))


def test_grid_too_small_to_downsample_is_refused() -> None:
    with pytest.raises(ModelError, match="at least 2 x 2 cells"):
        _network((1, 6), downsample=True)
