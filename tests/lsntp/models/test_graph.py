"""The product (I + A) X: a block of rows at a time gives what the whole matrix gives."""

import math
import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from lsntp.grid import Grid, regular_grid
from lsntp.models import graph as module
from lsntp.models.graph import (
    ChunkedGraph,
    DenseGraph,
    NoGraph,
    Reach,
    adjacency_column,
    make_graph,
    node_places,
)

shapes = st.fixed_dictionaries(
    {
        "nodes": st.integers(1, 40),
        "length": st.integers(1, 9),
        "batch": st.integers(1, 3),
        "channels": st.integers(1, 4),
        "rows": st.integers(1, 45),
        "scale": st.sampled_from([0.05, 1.0, 3.0]),
        "reach_km": st.sampled_from([None, 0.5, 2000.0, 9000.0]),
        "seed": st.integers(0, 10**6),
    }
)


def _case(case: dict, dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor, Reach | None]:
    torch.manual_seed(case["seed"])
    nodes = case["nodes"]
    embedding = case["scale"] * torch.randn(nodes, case["length"], dtype=dtype)
    x = torch.randn(case["batch"], case["channels"], nodes, dtype=dtype)
    places = torch.nn.functional.normalize(torch.randn(nodes, 3, dtype=dtype))
    reach = None if case["reach_km"] is None else Reach(places, case["reach_km"])
    return embedding, x, torch.randn_like(x), reach


def _both(case: dict, dtype: torch.dtype) -> list[tuple[Tensor, Tensor, Tensor]]:
    """Product, gradient of X and gradient of E, dense and chunked."""
    embedding, x, weights, reach = _case(case, dtype)
    results = []
    for chunked in (False, True):
        e, nodes = (t.clone().requires_grad_() for t in (embedding, x))
        made = ChunkedGraph.of(e, reach, case["rows"]) if chunked else DenseGraph.of(e, reach)
        product = made.mix(nodes)
        product = made.mix(product * 0.3)  # E acts twice, as in a network
        (product * weights).sum().backward()
        results.append((product.detach(), nodes.grad, e.grad))
    return results


@settings(max_examples=60, deadline=None)
@given(case=shapes)
def test_chunked_equals_dense_in_values_and_gradients(case: dict) -> None:
    dense, chunked = _both(case, torch.float64)
    for expected, found in zip(dense, chunked, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-11, atol=1e-11)


@settings(max_examples=30, deadline=None)
@given(case=shapes.filter(lambda case: case["scale"] < 3))  # larger scores lose digits in both
def test_chunked_equals_dense_in_single_precision(case: dict) -> None:
    # Both round: of 2500 cases the products differ by 1e-6 at most, the gradients of E, which
    # are differences of larger numbers, by 3e-5. Half precision on the way would cost 1e-3.
    dense, chunked = _both(case, torch.float32)
    for expected, found in zip(dense, chunked, strict=True):
        size = max(1.0, expected.abs().max().item())
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4 * size)


def test_the_product_and_its_gradients_worked_by_hand() -> None:
    # E = [[1], [2]]: S = [[1, 2], [2, 4]], rows of P: 1/(1+e), e/(1+e) and 1/(1+e²), e²/(1+e²).
    p, q = 1 / (1 + math.e), 1 / (1 + math.e**2)
    embedding = torch.tensor([[1.0], [2.0]], dtype=torch.float64, requires_grad=True)
    x = torch.tensor([[[3.0, 5.0]]], dtype=torch.float64, requires_grad=True)
    product = ChunkedGraph.of(embedding, None, rows=1).mix(x)
    expected = [3 + 3 * p + 5 * (1 - p), 5 + 3 * q + 5 * (1 - q)]
    torch.testing.assert_close(product[0, 0], torch.tensor(expected).double())
    product[0, 0, 0].backward()  # the first node alone
    torch.testing.assert_close(x.grad[0, 0], torch.tensor([1 + p, 1 - p]).double())
    # d/dS₁₁ of 3 P₁₁ + 5 P₁₂ is (3 - 5) p (1 - p), d/dS₁₂ its opposite; S₁₁ = e₁², S₁₂ = e₁ e₂.
    slope = -2 * p * (1 - p)
    gradient = torch.tensor([[slope * 2 * 1 - slope * 2], [-slope * 1]]).double()
    torch.testing.assert_close(embedding.grad, gradient)


def test_gradient_of_the_chunked_product_is_that_of_its_finite_differences() -> None:
    torch.manual_seed(5)
    embedding = torch.randn(7, 3, dtype=torch.float64, requires_grad=True)
    x = torch.randn(2, 2, 7, dtype=torch.float64, requires_grad=True)
    reach = Reach(torch.nn.functional.normalize(torch.randn(7, 3)).double(), 8000.0)
    assert torch.autograd.gradcheck(
        lambda e, nodes: ChunkedGraph.of(e, reach, rows=3).mix(nodes), (embedding, x)
    )


def test_large_scores_do_not_overflow() -> None:
    embedding = torch.tensor([[30.0], [20.0], [-5.0]])  # e⁹⁰⁰ is no float32
    x = torch.tensor([[[1.0, 2.0, 4.0]]])
    chunked = ChunkedGraph.of(embedding, None).mix(x)
    torch.testing.assert_close(chunked, DenseGraph.of(embedding, None).mix(x))
    assert torch.isfinite(chunked).all()


@pytest.mark.parametrize("frozen", [0, 1])
def test_what_needs_no_gradient_gets_none(frozen: int) -> None:
    inputs = [torch.randn(6, 2), torch.randn(1, 1, 6)]
    for index, tensor in enumerate(inputs):
        tensor.requires_grad_(index != frozen)
    ChunkedGraph.of(inputs[0], None, rows=4).mix(inputs[1]).sum().backward()
    assert [tensor.grad is None for tensor in inputs] == [frozen == 0, frozen == 1]


def test_mixed_precision_keeps_the_type_of_the_nodes() -> None:
    torch.manual_seed(0)
    embedding, x = torch.randn(9, 4, requires_grad=True), torch.randn(1, 2, 9)
    expected = DenseGraph.of(embedding, None).mix(x)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = ChunkedGraph.of(embedding, None).mix(x.bfloat16())
    assert found.dtype == torch.bfloat16
    torch.testing.assert_close(found.float(), expected, rtol=2e-2, atol=2e-2)
    found.float().sum().backward()
    assert embedding.grad is not None
    assert embedding.grad.dtype == torch.float32


def test_auto_is_dense_for_small_grids_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "DENSE_NODES", 5)
    small, large = torch.randn(5, 2), torch.randn(6, 2)
    assert isinstance(make_graph(small, "auto", None), DenseGraph)
    assert isinstance(make_graph(large, "auto", None), ChunkedGraph)
    assert isinstance(make_graph(large, "dense", None), DenseGraph)
    assert isinstance(make_graph(small, "chunked", None), ChunkedGraph)


def test_no_graph_is_the_identity() -> None:
    x = torch.randn(1, 2, 3)
    assert NoGraph().mix(x) is x


@settings(max_examples=25, deadline=None)
@given(
    place=st.tuples(st.integers(0, 8), st.integers(0, 17)),
    distance_km=st.floats(10, 20_500),
)
def test_reach_agrees_with_the_great_circle_of_the_grid(
    place: tuple[int, int], distance_km: float
) -> None:
    grid = regular_grid(north=80, south=-80, west=-170, east=170, spacing=20)
    row, column = place
    distance = grid.distance_km(grid.latitude[row], grid.longitude[column]).ravel()
    node = row * grid.shape[1] + column
    kept = Reach(node_places(grid), distance_km).keeps(slice(node, node + 1))[0].numpy()
    clear = np.abs(distance - distance_km) > 1e-6
    np.testing.assert_array_equal(kept[clear], (distance <= distance_km)[clear])
    assert kept[node]


def test_reach_in_single_precision_tells_neighbours_of_a_fine_grid_apart() -> None:
    grid = Grid(np.array([50.0, 49.99]), np.array([0.0, 0.01]))  # 1.1 km and 0.7 km apart
    places = node_places(grid).float()
    assert Reach(places, 0.9).keeps()[0].tolist() == [True, True, False, False]
    assert Reach(places, 1.2).keeps()[0].tolist() == [True, True, True, False]


def test_column_is_that_of_the_matrix_made_block_by_block(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    embedding = torch.randn(11, 3, dtype=torch.float64)
    expected = module.adaptive_adjacency(embedding)[:, 4]
    monkeypatch.setattr(module, "CHUNK_BYTES", 2 * 11 * 8)
    torch.testing.assert_close(adjacency_column(embedding, 4), expected, rtol=1e-13, atol=0)


STEP = """
import resource
import torch
from lsntp.config import LsntpConfig
from lsntp.models import graph
from lsntp.models.lsntp import LSNTP

graph.CHUNK_BYTES = {chunk}


def peak_gib():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def step(height, width):
    architecture = LsntpConfig(hidden=1, embedding=4, graph="{graph}", convolution="joint")
    network = LSNTP(architecture, shape=(height, width), history=1, horizon=1)
    before = network.E.detach().clone()
    optimiser = torch.optim.Adam(network.parameters(), lr=0.1)
    network(torch.randn(1, 1, 1, height, width)).square().mean().backward()
    optimiser.step()
    return (network.E.detach() - before).abs().max().item()


torch.manual_seed(0)
step(3, 3)
small = peak_gib()
print(step(*{shape}), peak_gib() - small, peak_gib())
"""


def _memory_gib(
    shape: tuple[int, int], graph: str, chunk: int = module.CHUNK_BYTES
) -> tuple[float, float]:
    """What one training step adds to a process that has taken a small one, and its peak."""
    script = STEP.format(shape=shape, graph=graph, chunk=chunk)
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    moved, added, peak = (float(value) for value in done.stdout.split())
    assert moved > 1e-3  # E was trained too
    return added, peak


def test_one_chunked_training_step_holds_no_matrix() -> None:
    """4 900² float32 are 92 MiB; dense training adds about six times that."""
    added, _ = _memory_gib((70, 70), "chunked", chunk=4 * 2**20)
    assert added < 4900**2 * 4 / 2**30


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_one_training_step_of_forty_thousand_nodes_fits_in_four_gib() -> None:
    """A alone would take 40 200² · 4 B = 6.0 GiB."""
    _, peak = _memory_gib((200, 201), "auto")
    assert peak < 4.0
