"""CPU seconds and memory of one training step of LS-NTP, beside a plain form and the products.

Run: OMP_NUM_THREADS=1 python tests/benchmarks/bench_lsntp.py [--grids small uk] [--batch 2]
     python tests/benchmarks/bench_lsntp.py --device cuda

The first prints one line per grid and variant; every measurement is a process of its own, so that
its peak memory is its own. A training step is forward, MSE, backward and Adam, after another one.
The variants take turns, and a figure is the least of its turns: what else a machine does makes a
step slower, never faster.

- plain: the same equations and weights, cell by cell with permuted nodes, the adjacency built
  anew in every LS-Conv and zero states and inputs multiplied out, as in the authors' code;
- dense: the package's network, which holds the adjacency;
- chunked: the package's network, which makes rows of it when needed;
- bf16: dense with products in bfloat16 and all else in float32, as ``precision: bfloat16`` fits;
- limit: only the matrix products of dense, forward and backward, as bare matmuls timed in the
  same run: what no implementation of these equations on this machine can undercut by much. That
  of bf16 is in bfloat16, but for the adjacency.

The second prints steps a second of wall time on a device, ``official`` at both presets and batch
8: plain in float32 as the authors run it, dense, bf16, and bf16 with its kernels recorded as a
CUDA graph, as a fit replays them. Where there is no GPU, ``--device cpu`` goes the same way, with
``compile`` at the end.
"""

import argparse
import json
import os
import platform
import re
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from lsntp.config import LsntpConfig, TrainingConfig
from lsntp.models.cell import LSConvLSTM
from lsntp.models.graph import adaptive_adjacency
from lsntp.models.lsconv import LSConv
from lsntp.models.lsntp import LSNTP
from lsntp.models.registry import parameter_count
from lsntp.training.compiled import compiled_batch, compiled_layers
from lsntp.training.not_finite import Batch
from lsntp.training.recorded import RecordedPass

HISTORY = HORIZON = 6
VARIANTS = ("plain", "dense", "chunked", "bf16")
ON_A_DEVICE = {
    "cpu": ("plain", "dense", "bf16", "compiled"),
    "cuda": ("plain", "dense", "bf16", "recorded"),
}
IN_HALF = ("bf16", "compiled", "recorded")
PRESETS = ("ncep", "era5")


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
    identity = torch.eye(len(embedding), device=embedding.device)
    nodes = operator.attention(x).permute(0, 2, 3, 1).flatten(1, 2)  # (b, N, c)
    long_range = torch.einsum("nm,bmc->bnc", identity + adaptive_adjacency(embedding), nodes)
    image = long_range.unflatten(1, x.shape[2:]).permute(0, 3, 1, 2)
    result = functional.conv2d(image, operator.theta, padding="same")
    return torch.relu(result) if operator.relu else result


# --- the limit -----------------------------------------------------------------------------


def products(network: LSNTP, batch: int, repeats: int, dtype: torch.dtype) -> float:
    """CPU seconds of the matrix products of one training step, each shape timed by itself.

    Those of the adjacency are in float32 always.
    """
    nodes, length = network.E.shape
    architecture = network.architecture
    filters, taps = 4 * architecture.hidden, architecture.kernel**2
    cells = batch * nodes
    total = 3 * _matmul_s(nodes, length, nodes, repeats, torch.float32)
    for active, width, calls in _lsconv_calls(network):
        shapes = [
            (batch * active, nodes, nodes),  # the graph
            (filters, active * taps, cells),  # the kernel
            (width, active, cells),  # NSA: the first layer, the second, and the third if any
            (width, width, cells),
        ]
        if architecture.attention_layers == 3:
            shapes.append((active, width, cells))
        total += 3 * calls * sum(_matmul_s(*shape, repeats, dtype) for shape in shapes)
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


@cache
def _matmul_s(rows: int, inner: int, columns: int, repeats: int, dtype: torch.dtype) -> float:
    left, right = torch.randn(rows, inner).to(dtype), torch.randn(inner, columns).to(dtype)
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


def build(setting: Setting, configuration: str, variant: str) -> LSNTP:
    """The network of a line, the same weights for all variants."""
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
    return LSNTP(architecture, shape=setting.shape, history=HISTORY, horizon=HORIZON)


def step_of(network: LSNTP, setting: Setting, variant: str, device: str) -> Callable[[], None]:
    """A training step as a function, after a check that both forms compute the same."""
    network.to(device)
    optimiser = torch.optim.Adam(network.parameters())
    history = torch.randn(setting.batch, HISTORY, 1, *setting.shape, device=device)
    target = torch.randn(setting.batch, HORIZON, 1, *setting.shape, device=device)
    with torch.no_grad():
        torch.testing.assert_close(
            plain_forward(network, history[:1]), network(history[:1]), rtol=1e-4, atol=1e-4
        )

    def work(batch: Batch, share: float | Tensor) -> Tensor:
        with torch.autocast(device, torch.bfloat16, enabled=variant in IN_HALF):
            found = (
                plain_forward(network, batch.history)
                if variant == "plain"
                else network(batch.history)
            )
        loss = functional.mse_loss(found.float(), batch.target)
        (loss * share).backward()
        return loss

    batch = Batch(np.zeros(setting.batch, "datetime64[ns]"), history, target)
    recorded = RecordedPass(work, network, batch) if variant == "recorded" else None

    def step() -> None:
        optimiser.zero_grad(set_to_none=recorded is None)
        (recorded or work)(batch, 1.0)
        optimiser.step()

    return step


def measure(setting: Setting, configuration: str, variant: str, repeats: int) -> dict[str, float]:
    """What one process finds out about one variant; ``limit`` measures the products."""
    network = build(setting, configuration, variant)
    count = parameter_count(network)
    if variant == "limit":
        found = {
            dtype: products(network, setting.batch, max(3, repeats), getattr(torch, dtype))
            for dtype in ("float32", "bfloat16")
        }
        return found | {"parameters": count}
    seconds = _cpu_s(step_of(network, setting, variant, "cpu"), repeats)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"seconds": seconds, "mib": peak, "parameters": count}


def steps_per_second(setting: Setting, variant: str, device: str, repeats: int) -> dict[str, float]:
    """Wall time of ``official`` on a device, the median of single steps that are waited for."""
    network = build(setting, "official", variant)
    config = TrainingConfig(compile=variant == "compiled", batch_size=setting.batch)
    on_gpu = device == "cuda"
    step = step_of(network, setting, variant, device)
    durations = []
    with compiled_layers(network, config):
        for number in range(2 + repeats):  # the first two compile
            begin = time.perf_counter()
            with compiled_batch(config, setting.batch):
                step()
            if on_gpu:
                torch.cuda.synchronize()
            if number > 1:
                durations.append(time.perf_counter() - begin)
    peak = torch.cuda.max_memory_allocated() / 2**20 if on_gpu else 0.0
    return {"rate": 1 / statistics.median(durations), "mib": peak}


def machine(device: str) -> str:
    """What the figures were measured on."""
    information = Path("/proc/cpuinfo")
    words = information.read_text() if information.exists() else ""
    model = re.search(r"model name\s*:\s*(.+)", words)
    name = model.group(1) if model else platform.processor() or platform.machine()
    lines = (
        f"{name}, {os.cpu_count()} cores, {torch.get_num_threads()} threads used, bfloat16 "
        f"matrices (AMX): {'yes' if 'amx_bf16' in words else 'no'}, torch {torch.__version__}"
    )
    return f"{lines}; {torch.cuda.get_device_name()}" if device == "cuda" else lines


def device_table(grids: list[str], batch: int, device: str, repeats: int) -> None:
    """Steps a second of ``official``; every line a process of its own."""
    print(machine(device))
    print(f"{'grid':6} {'batch':>5} {'variant':9} {'steps/s':>8} {'ratio':>8} {'peak MiB':>9}")
    for grid in grids:
        plain = None
        for variant in ON_A_DEVICE[device]:
            line = _in_a_process(grid, device, variant, batch, repeats)
            plain = plain or line["rate"]
            print(
                f"{grid:6} {batch:5d} {variant:9} {line['rate']:8.3f} "
                f"{line['rate'] / plain:7.2f}x {line['mib']:9.0f}",
                flush=True,
            )


def table(grids: list[str], configurations: list[str], batch: int | None, repeats: int) -> None:
    """Measure and print every line."""
    print(machine("cpu"))
    print(
        f"{'grid':6} {'equations':9} {'batch':>5} {'parameters':>11}  {'variant':8}"
        f"{'CPU s':>8} {'plain/it':>9} {'it/limit':>9} {'peak MiB':>9}"
    )
    for grid in grids:
        size = batch or SETTINGS[grid].batch
        for configuration in configurations:
            turns = [
                {
                    variant: _in_a_process(grid, configuration, variant, size, 1)
                    for variant in ("limit", *VARIANTS)
                }
                for _ in range(repeats)
            ]
            least = {
                variant: {name: min(turn[variant][name] for turn in turns) for name in found}
                for variant, found in turns[0].items()
            }
            for variant in VARIANTS:
                line = least[variant]
                limit = least["limit"]["bfloat16" if variant == "bf16" else "float32"]
                print(
                    f"{grid:6} {configuration:9} {size:5d} {line['parameters']:11,.0f}  "
                    f"{variant:8}{line['seconds']:8.3f} "
                    f"{least['plain']['seconds'] / line['seconds']:8.2f}x "
                    f"{line['seconds'] / limit:8.2f}x {line['mib']:9.0f}",
                    flush=True,
                )


def _in_a_process(grid: str, form: str, variant: str, batch: int, repeats: int) -> dict[str, float]:
    arguments = [grid, form, variant, str(batch), str(repeats)]
    gpus = {} if form == "cuda" else {"CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(
        [sys.executable, __file__, "--line", *arguments],
        env=os.environ | gpus,
        capture_output=True,
        text=True,
        check=True,
    )
    found: dict[str, float] = json.loads(done.stdout)
    return found


def main() -> None:
    """Print the table, or with ``--line`` measure one of its lines."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--grids", nargs="+", choices=SETTINGS, help="Default: all, or presets.")
    parser.add_argument("--device", choices=["cpu", "cuda"], help="Print steps a second on it.")
    parser.add_argument(
        "--configurations", nargs="+", choices=["paper", "official"], default=["paper", "official"]
    )
    parser.add_argument("--batch", type=int, help="Windows in a step; default: as in SETTINGS.")
    parser.add_argument("--repeats", type=int, default=3, help="Turns, or steps on a device.")
    parser.add_argument("--line", nargs=5, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.line is None and options.device:
        grids, batch = options.grids or list(PRESETS), options.batch or 8
        device_table(grids, batch, options.device, options.repeats)
        return
    if options.line is None:
        grids = options.grids or list(SETTINGS)
        table(grids, options.configurations, options.batch, options.repeats)
        return
    grid, configuration, variant, batch, repeats = options.line
    setting = SETTINGS[grid]
    sized = Setting(
        setting.shape, setting.hidden, setting.embedding, int(batch), setting.downsample
    )
    if configuration in ("cpu", "cuda"):
        found = steps_per_second(sized, variant, configuration, int(repeats))
    else:
        found = measure(sized, configuration, variant, int(repeats))
    print(json.dumps(found))


if __name__ == "__main__":
    main()
