"""CPU seconds and memory of one training step of LS-NTP, beside a plain form and the products.

Run: OMP_NUM_THREADS=1 python tests/benchmarks/bench_lsntp.py [--grids small uk] [--batch 2]

Prints one line per grid and variant; every line is a process of its own, so that its peak
memory is its own. A training step is forward, MSE, backward and Adam.

- plain: the same equations and weights, cell by cell with permuted nodes, the adjacency built
  anew in every LS-Conv and zero states and inputs multiplied out, as in the authors' code;
- dense: the package's network, which holds the adjacency;
- chunked: the package's network, which makes rows of it when needed;
- limit: only the matrix products of dense, forward and backward, as bare matmuls timed in the
  same run: what no implementation of these equations on this machine can undercut by much.
"""

import argparse
import json
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from lsntp.config import LsntpConfig
from lsntp.models.cell import LSConvLSTM
from lsntp.models.graph import adaptive_adjacency
from lsntp.models.lsconv import LSConv
from lsntp.models.lsntp import LSNTP
from lsntp.models.registry import parameter_count

HISTORY = HORIZON = 6
VARIANTS = ("plain", "dense", "chunked")


@dataclass(frozen=True)
class Setting:
    """A grid with the widths and the batch that are used on it."""

    shape: tuple[int, int]
    hidden: int
    embedding: int
    batch: int
    downsample: bool = False


SETTINGS = {
    "small": Setting((13, 19), 16, 32, 16),
    "uk": Setting((33, 49), 16, 64, 8),
    "ncep": Setting((21, 35), 256, 512, 8),
    "era5": Setting((77, 125), 128, 512, 4, downsample=True),
}


# --- the plain form ------------------------------------------------------------------------


def plain_forward(network: LSNTP, history: Tensor) -> Tensor:
    """The forward pass written without any sharing."""
    frames = network._to_nodes(history).unbind(dim=1)
    hidden = network.architecture.hidden
    zero = history.new_zeros(len(history), hidden, *network.node_shape)
    h1, c1, h2, c2 = zero, zero, zero, zero
    for x in frames:
        h1, c1 = _plain_cell(network.encoder1, network.E, x, h1, c1)
        h2, c2 = _plain_cell(network.encoder2, network.E, h1, h2, c2)
    states = []
    for _ in range(network.horizon):
        h1, c1 = _plain_cell(network.decoder3, network.E, zero, h1, c1)
        h2, c2 = _plain_cell(network.decoder4, network.E, h1, h2, c2)
        states.append(h2)
    return network._to_frames(torch.stack(states, dim=1))


def _plain_cell(
    layer: LSConvLSTM, embedding: Tensor, x: Tensor, h: Tensor, c: Tensor
) -> tuple[Tensor, Tensor]:
    if layer.W_xh is not None:
        gates = _plain_lsconv(layer.W_xh, embedding, torch.cat([x, h], dim=1))
    else:
        gates = _plain_lsconv(layer.W_h, embedding, h)
        if layer.W_x is None:  # the plain form spends a full product on the zero input
            _plain_lsconv(layer.W_h, embedding, x)
        else:
            gates = gates + _plain_lsconv(layer.W_x, embedding, x)
    if layer.b is not None:
        gates = gates + layer.b
    i, f, candidate, o = gates.chunk(4, dim=1)
    cell = torch.sigmoid(f + layer.W_cf * c) * c
    cell = cell + torch.sigmoid(i + layer.W_ci * c) * torch.tanh(candidate)
    return torch.sigmoid(o + layer.W_co * cell) * torch.tanh(cell), cell


def _plain_lsconv(operator: LSConv, embedding: Tensor, x: Tensor) -> Tensor:
    identity = torch.eye(len(embedding))
    nodes = operator.attention(x).permute(0, 2, 3, 1).flatten(1, 2)  # (b, N, c)
    long_range = torch.einsum("nm,bmc->bnc", identity + adaptive_adjacency(embedding), nodes)
    image = long_range.unflatten(1, x.shape[2:]).permute(0, 3, 1, 2)
    result = functional.conv2d(image, operator.theta, padding="same")
    return torch.relu(result) if operator.relu else result


# --- the limit -----------------------------------------------------------------------------


def products(network: LSNTP, batch: int, repeats: int) -> float:
    """CPU seconds of the matrix products of one training step, each shape timed by itself."""
    nodes, length = network.E.shape
    architecture = network.architecture
    filters, taps = 4 * architecture.hidden, architecture.kernel**2
    cells = batch * nodes
    total = 3 * _matmul_s(nodes, length, nodes, repeats)
    for active, width, calls in _lsconv_calls(network):
        shapes = [
            (batch * active, nodes, nodes),  # the graph
            (filters, active * taps, cells),  # the kernel
            (width, active, cells),  # NSA: the first layer, the second, and the third if any
            (width, width, cells),
        ]
        if architecture.attention_layers == 3:
            shapes.append((active, width, cells))
        total += 3 * calls * sum(_matmul_s(*shape, repeats) for shape in shapes)
    return total


def _lsconv_calls(network: LSNTP) -> Iterator[tuple[int, int, int]]:
    """(channels that are not zero, channels, calls) of every LS-Conv of a forward pass."""
    c, d = network.channels, network.architecture.hidden
    if network.architecture.convolution == "joint":
        yield from ((c, c + d, 1), (c + d, c + d, HISTORY - 1))  # encoder 1: no state at first
        yield from ((d, 2 * d, 1), (2 * d, 2 * d, HISTORY - 1))  # encoder 2
        yield from ((d, 2 * d, HORIZON), (2 * d, 2 * d, HORIZON))  # decoder 3: no input; 4
    else:
        yield c, c, HISTORY
        yield d, d, 2 * (HISTORY - 1) + 2 * HORIZON + HISTORY + HORIZON  # four W_h, two W_x


def _matmul_s(rows: int, inner: int, columns: int, repeats: int) -> float:
    left, right = torch.randn(rows, inner), torch.randn(inner, columns)
    return _cpu_s(lambda: left @ right, repeats)


def _cpu_s(action: Callable[[], object], repeats: int) -> float:
    """Median CPU seconds (user and system, all threads) after one warm-up."""
    action()
    durations = []
    for _ in range(repeats):
        begin = time.process_time()
        action()
        durations.append(time.process_time() - begin)
    return statistics.median(durations)


# --- one line, and the table ---------------------------------------------------------------


def measure(setting: Setting, configuration: str, variant: str, repeats: int) -> dict[str, float]:
    """What one process finds out about one variant; ``limit`` measures the products."""
    torch.manual_seed(0)
    architecture = LsntpConfig.model_validate(
        {
            "configuration": configuration,
            "hidden": setting.hidden,
            "embedding": setting.embedding,
            "downsample": setting.downsample,
            "graph": "chunked" if variant == "chunked" else "dense",
        }
    )
    network = LSNTP(architecture, shape=setting.shape, history=HISTORY, horizon=HORIZON)
    count = parameter_count(network)
    if variant == "limit":
        seconds = products(network, setting.batch, max(3, repeats))
        return {"seconds": seconds, "mib": 0.0, "parameters": count}
    optimiser = torch.optim.Adam(network.parameters())
    history = torch.randn(setting.batch, HISTORY, 1, *setting.shape)
    target = torch.randn(setting.batch, HORIZON, 1, *setting.shape)
    with torch.no_grad():
        torch.testing.assert_close(
            plain_forward(network, history[:1]), network(history[:1]), rtol=1e-4, atol=1e-4
        )

    def step() -> None:
        optimiser.zero_grad()
        found = plain_forward(network, history) if variant == "plain" else network(history)
        functional.mse_loss(found, target).backward()
        optimiser.step()

    seconds = _cpu_s(step, repeats)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"seconds": seconds, "mib": peak, "parameters": count}


def table(grids: list[str], configurations: list[str], batch: int | None, repeats: int) -> None:
    """Measure and print every line."""
    print(
        f"{'grid':6} {'equations':9} {'batch':>5} {'parameters':>11}  {'variant':8}"
        f"{'CPU s':>8} {'plain/it':>9} {'it/limit':>9} {'peak MiB':>9}"
    )
    for grid in grids:
        size = batch or SETTINGS[grid].batch
        for configuration in configurations:
            found = {
                variant: _in_a_process(grid, configuration, variant, size, repeats)
                for variant in ("limit", *VARIANTS)
            }
            limit = found["limit"]["seconds"]
            for variant in VARIANTS:
                line = found[variant]
                print(
                    f"{grid:6} {configuration:9} {size:5d} {line['parameters']:11,.0f}  "
                    f"{variant:8}{line['seconds']:8.3f} "
                    f"{found['plain']['seconds'] / line['seconds']:8.2f}x "
                    f"{line['seconds'] / limit:8.2f}x {line['mib']:9.0f}",
                    flush=True,
                )


def _in_a_process(
    grid: str, configuration: str, variant: str, batch: int, repeats: int
) -> dict[str, float]:
    arguments = [grid, configuration, variant, str(batch), str(repeats)]
    done = subprocess.run(
        [sys.executable, __file__, "--line", *arguments],
        capture_output=True,
        text=True,
        check=True,
    )
    found: dict[str, float] = json.loads(done.stdout)
    return found


def main() -> None:
    """Print the table, or with ``--line`` measure one of its lines."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--grids", nargs="+", choices=SETTINGS, default=list(SETTINGS))
    parser.add_argument(
        "--configurations", nargs="+", choices=["paper", "official"], default=["paper", "official"]
    )
    parser.add_argument("--batch", type=int, help="Windows in a step; default: as in SETTINGS.")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--line", nargs=5, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.line is None:
        table(options.grids, options.configurations, options.batch, options.repeats)
        return
    grid, configuration, variant, batch, repeats = options.line
    setting = SETTINGS[grid]
    sized = Setting(
        setting.shape, setting.hidden, setting.embedding, int(batch), setting.downsample
    )
    print(json.dumps(measure(sized, configuration, variant, int(repeats))))


if __name__ == "__main__":
    main()
