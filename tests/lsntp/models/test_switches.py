"""Every switch of the architecture against the plain form of the same equations."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import Tensor

from lsntp.config import LsntpConfig
from lsntp.errors import ModelError
from lsntp.grid import Grid
from lsntp.models.lsntp import LSNTP
from lsntp.models.registry import parameter_count
from tests.lsntp.models.slow_reference import Reference, near_nodes

SWITCHES: dict[str, tuple[Any, ...]] = {
    "gate_activation": ("none", "relu"),
    "attention_layers": (0, 2, 3),
    "convolution": ("separate", "joint"),
    "bias": (True, False),
    "peephole": ("cell", "channel"),
    "decoder_input": ("none", "zeros", "forecast"),
    "operator": ("ls-conv", "dagg"),
    "short_range": (True, False),
    "long_range": (True, False),
    "kernel": (1, 3, 5, 7),
    "downsample": (False, True),
    "graph": ("dense", "chunked"),
}


def _build(
    shape: tuple[int, int] = (4, 3),
    *,
    history: int = 2,
    horizon: int = 2,
    grid: Grid | None = None,
    **changes: Any,
) -> LSNTP:
    """A small float64 network whose every parameter is random."""
    architecture = LsntpConfig.model_validate({"hidden": 2, "embedding": 4, **changes})
    network = LSNTP(architecture, shape=shape, history=history, horizon=horizon, grid=grid)
    network = network.double()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.normal_(std=0.7)
    return network


def _all_switches(network: LSNTP) -> dict[str, Any]:
    return {name: getattr(network.architecture, name) for name in LsntpConfig.model_fields}


def _check_against_reference(
    network: LSNTP, history: Tensor, near: Tensor | None = None, tolerance: float = 1e-10
) -> None:
    """Values and gradients."""
    prediction = network(history)
    weights = torch.randn_like(prediction)
    (prediction * weights).sum().backward()
    slow = {
        key: value.detach().clone().requires_grad_() for key, value in network.named_parameters()
    }
    reference = Reference(_all_switches(network), slow, near)
    expected = torch.stack([reference.forecast(sample, network.horizon) for sample in history])
    (expected * weights).sum().backward()
    torch.testing.assert_close(prediction, expected, rtol=tolerance, atol=tolerance)
    for key, parameter in network.named_parameters():
        found = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
        wanted = torch.zeros_like(parameter) if slow[key].grad is None else slow[key].grad
        torch.testing.assert_close(
            found,
            wanted,
            rtol=tolerance,
            atol=tolerance * max(1.0, wanted.abs().max().item()),
            msg=lambda text, k=key: f"{k}: {text}",
        )


def _history(network: LSNTP, batch: int = 2) -> Tensor:
    return torch.randn(batch, network.history, 1, *network.shape, dtype=torch.float64)


# --- one switch at a time, and any of them together ----------------------------------------


@pytest.mark.parametrize(
    ("configuration", "name", "value"),
    [
        (configuration, name, value)
        for configuration in ("paper", "official")
        for name, values in SWITCHES.items()
        for value in values
        if value != getattr(LsntpConfig(configuration=configuration), name)
        and (name, value) != ("graph", "dense")
    ],
)
def test_a_single_switch_changes_the_network_as_its_equation_says(
    configuration: str, name: str, value: Any
) -> None:
    torch.manual_seed(4)
    shape = (5, 7) if name == "downsample" else (3, 4)
    network = _build(shape, **{"configuration": configuration, name: value})
    _check_against_reference(network, _history(network, batch=1))


@settings(max_examples=15, deadline=None)
@given(
    switches=st.fixed_dictionaries(
        {name: st.sampled_from(values) for name, values in SWITCHES.items()}
    ),
    shape=st.tuples(st.integers(2, 6), st.integers(2, 6)),
    steps=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    seed=st.integers(0, 1000),
)
def test_any_switches_together_equal_the_plain_form(
    switches: dict[str, Any], shape: tuple[int, int], steps: tuple[int, int], seed: int
) -> None:
    # A single coarse node of a single sample has no variance for batch norm to divide by.
    assume(max(shape) > 3 or not switches["downsample"])
    torch.manual_seed(seed)
    if switches["operator"] == "dagg":
        switches["long_range"] = True
    network = _build(shape, history=steps[0], horizon=steps[1], **switches)
    _check_against_reference(network, _history(network, batch=1), tolerance=1e-9)


@pytest.mark.parametrize("configuration", ["paper", "official"])
def test_skipping_what_is_zero_changes_nothing_beyond_rounding(configuration: str) -> None:
    torch.manual_seed(1)
    network = _build((5, 7), history=3, horizon=3, configuration=configuration, downsample=True)
    history = _history(network)
    reference = Reference(_all_switches(network), dict(network.named_parameters()))
    expected = torch.stack([reference.forecast(sample, 3) for sample in history])
    torch.testing.assert_close(network(history), expected, rtol=1e-12, atol=1e-12)


def test_feeding_back_starts_from_the_last_analysis() -> None:
    torch.manual_seed(2)
    network = _build(decoder_input="forecast", history=2, horizon=3)
    _check_against_reference(network, _history(network))
    for layer in (network.encoder1, network.encoder2):  # without them nothing else is left
        for parameter in layer.parameters():
            parameter.data.zero_()
    history = _history(network, batch=1).requires_grad_()
    (seen,) = torch.autograd.grad(network(history).sum(), history)
    assert not seen[0, 0].any()
    assert seen[0, 1].any()


# --- ablations -----------------------------------------------------------------------------


def _pair(**changes: Any) -> tuple[LSNTP, LSNTP]:
    """A full network and an ablated one with the same numbers wherever both have them."""
    torch.manual_seed(6)
    full = _build((4, 5))
    ablated = _build((4, 5), **changes)
    shared = ablated.state_dict().keys() & full.state_dict().keys()
    ablated.load_state_dict({**ablated.state_dict(), **{k: full.state_dict()[k] for k in shared}})
    return full, ablated


def test_without_lagc_equals_an_adjacency_of_zero_and_drops_the_embedding() -> None:
    full, ablated = _pair(long_range=False)
    history = _history(full)
    assert "E" not in ablated.state_dict()
    assert parameter_count(full) - parameter_count(ablated) == 20 * 4
    assert (ablated(history) - full(history)).abs().max() > 1e-3
    reference = Reference(
        _all_switches(full), dict(full.named_parameters()), torch.zeros(20, 20).double()
    )
    expected = torch.stack([reference.forecast(sample, 2) for sample in history])
    torch.testing.assert_close(ablated(history), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    ("configuration", "per_operator"),
    [
        ("paper", lambda m: 2 * (m * m + m) + 4 * m),
        ("official", lambda m: 3 * (m * m + m) + 4 * m),
    ],
)
def test_without_nsa_drops_its_weights(configuration: str, per_operator: Any) -> None:
    # paper: one operator of 1 channel (X) and six of 2 (H of four layers, X of two);
    # official: one of 1 + 2 channels, three of 2 + 2.
    counts = [
        parameter_count(_build(configuration=configuration, attention_layers=layers))
        for layers in ({"paper": 2, "official": 3}[configuration], 0)
    ]
    widths = {"paper": [1] + 6 * [2], "official": [3, 4, 4, 4]}[configuration]
    assert counts[0] - counts[1] == sum(per_operator(m) for m in widths)


def test_without_lsi_is_a_pointwise_weight_whatever_the_kernel() -> None:
    torch.manual_seed(3)
    pointwise = _build(kernel=1)
    for kernel in (3, 7):
        ablated = _build(kernel=kernel, short_range=False)
        ablated.load_state_dict(pointwise.state_dict())
        history = _history(ablated)
        torch.testing.assert_close(ablated(history), pointwise(history), rtol=0, atol=0)


def test_dagg_gives_every_node_its_own_weights() -> None:
    torch.manual_seed(8)
    network = _build((2, 3), operator="dagg", history=1, horizon=1)
    operator = network.encoder1.W_x
    assert operator.theta.shape == (4, 2, 1, 8)
    x = torch.zeros(1, 1, 2, 3, dtype=torch.float64)
    assert not operator(x, network._graph()).any()  # zero in, zero out: nothing is hidden in a bias
    response = operator(x + 1.0, network._graph())[0].flatten(1)  # a constant field: A X = X
    expected = network.E @ operator.theta.sum(dim=1)[:, 0]
    torch.testing.assert_close(response.T, expected, rtol=1e-12, atol=1e-12)


# --- distance threshold --------------------------------------------------------------------

GRID = Grid(np.array([55.0, 50.0, 44.0, 40.0]), np.array([-10.0, 0.0, 10.0, 20.0, 30.0]))


def _at(reach_km: float | str, **changes: Any) -> LSNTP:
    torch.manual_seed(9)
    return _build((4, 5), grid=GRID, reach_km=reach_km, **changes)


@pytest.mark.parametrize("graph", ["dense", "chunked"])
def test_reach_of_zero_equals_no_long_range(graph: str) -> None:
    zero, without = _at(0, graph=graph), _build((4, 5), long_range=False)
    without.load_state_dict({k: v for k, v in zero.state_dict().items() if k != "E"})
    history = _history(zero)
    torch.testing.assert_close(zero(history), without(history), rtol=0, atol=0)


@pytest.mark.parametrize("graph", ["dense", "chunked"])
@pytest.mark.parametrize("reach_km", ["all", 20_100.0])
def test_reach_of_all_or_of_half_the_globe_equals_the_full_model(
    graph: str, reach_km: float | str
) -> None:
    far, full = _at(reach_km, graph=graph), _build((4, 5))
    full.load_state_dict(far.state_dict())
    history = _history(far)
    torch.testing.assert_close(far(history), full(history), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(("graph", "reach_km"), [("dense", 1500.0), ("chunked", 600.0)])
def test_a_reach_in_between_cuts_the_pairs_beyond_it(graph: str, reach_km: float) -> None:
    network = _at(reach_km, graph=graph)
    near = near_nodes(torch.from_numpy(GRID.latitude), torch.from_numpy(GRID.longitude), reach_km)
    assert 20 < near.sum() < 400  # some pairs besides a node and itself, but not all
    _check_against_reference(network, _history(network, batch=1), near)
    assert torch.equal(network.adjacency() > 0, near.bool())


def test_reach_of_a_downsampled_network_is_measured_between_the_middles_of_its_windows() -> None:
    grid = Grid(np.linspace(60.0, 48.0, 7), np.linspace(0.0, 24.0, 9))
    torch.manual_seed(0)
    network = _build((7, 9), grid=grid, downsample=True, reach_km=700.0)
    # a node of the stride-2 3 x 3 convolution sees rows 2i … 2i + 2: its middle is row 2i + 1
    near = near_nodes(
        torch.from_numpy(grid.latitude[[1, 3, 5]]),
        torch.from_numpy(grid.longitude[[1, 3, 5, 7]]),
        700.0,
    )
    assert 12 < near.sum() < 144
    _check_against_reference(network, _history(network, batch=1), near)


# --- what cannot be built ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shape", "changes", "message"),
    [
        ((6, 7), {"configuration": "official", "downsample": True}, "odd length.*even_grid"),
        ((7, 6), {"configuration": "official", "downsample": True}, "odd length.*even_grid"),
        ((4, 3), {"configuration": "official", "horizon": 5}, "history 2 and horizon 5.*horizon"),
        ((4, 3), {"reach_km": 300.0}, "a grid to measure reach_km on"),
        ((4, 3), {"reach_km": 300.0, "grid": GRID}, r"a grid of the shape \(4, 3\)"),
    ],
)
def test_what_does_not_fit_is_refused_with_its_cure(
    shape: tuple[int, int], changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(ModelError, match=message):
        _build(shape, **changes)


def test_every_fault_is_named_at_once() -> None:
    with pytest.raises(ModelError, match=r"even_grid: extend.*decoder_steps: horizon"):
        _build((6, 6), configuration="official", downsample=True, horizon=4)


def test_feeding_back_needs_one_channel() -> None:
    architecture = LsntpConfig(decoder_input="forecast")
    with pytest.raises(ModelError, match="one input channel to feed forecasts back"):
        LSNTP(architecture, shape=(3, 3), history=1, horizon=1, channels=2)


def test_official_takes_the_cures() -> None:
    network = _build(
        (6, 4),
        configuration="official",
        downsample=True,
        even_grid="extend",
        decoder_steps="horizon",
        horizon=5,
    )
    _check_against_reference(network, _history(network))
    assert network.node_shape == (3, 2)


def test_a_network_without_lagc_has_no_adjacency_to_show() -> None:
    with pytest.raises(ModelError, match=r"without LAGC.*long_range"):
        _build(long_range=False).adjacency()


def test_a_column_is_that_of_the_adjacency() -> None:
    network = _at(1500.0)
    adjacency = network.adjacency()
    for node in (0, 7, 19):
        torch.testing.assert_close(network.adjacency_column(node), adjacency[:, node])
    assert not network.adjacency_column(3).requires_grad
