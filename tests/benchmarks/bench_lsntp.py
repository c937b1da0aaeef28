"""CPU seconds of one training step of LS-NTP, beside a plain form and the bare products.

Run: OMP_NUM_THREADS=1 python tests/benchmarks/bench_lsntp.py [--height 25 --width 53 ...]

- ours: the package's network;
- plain: the same equations and weights, cell by cell with permuted nodes, the adjacency built
  anew in every LS-Conv and zero states and inputs multiplied out;
- products: only the matrix products of ours, forward and backward, as bare matmuls:
  what no implementation of these equations on this machine can undercut by much.
"""

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from lsntp.config import LsntpConfig
from lsntp.models.lsconv import LSConv, adaptive_adjacency
from lsntp.models.lsntp import LSNTP, LSConvLSTM
from lsntp.models.registry import parameter_count

HISTORY = HORIZON = 6


def plain_forward(network: LSNTP, history: Tensor) -> Tensor:
    """The forward pass written without any sharing."""
    zero = history.new_zeros(len(history), len(network.encoder1.b) // 4, *network.node_shape)
    h1, c1, h2, c2 = zero, zero, zero, zero
    for x in history.unbind(dim=1):
        h1, c1 = _plain_cell(network.encoder1, network.E, x, h1, c1)
        h2, c2 = _plain_cell(network.encoder2, network.E, h1, h2, c2)
    frames = []
    for _ in range(network.horizon):
        h1, c1 = _plain_cell(network.decoder3, network.E, None, h1, c1)
        h2, c2 = _plain_cell(network.decoder4, network.E, h1, h2, c2)
        frames.append(network.head(h2))
    return torch.stack(frames, dim=1)


def _plain_cell(
    layer: LSConvLSTM, embedding: Tensor, x: Tensor | None, h: Tensor, c: Tensor
) -> tuple[Tensor, Tensor]:
    gates = _plain_lsconv(layer.W_h, embedding, h) + layer.b
    if layer.W_x is None:  # the plain form spends a full product on the zero input
        _plain_lsconv(layer.W_h, embedding, torch.zeros_like(h))
    else:
        gates = gates + _plain_lsconv(layer.W_x, embedding, x)
    i, f, candidate, o = gates.chunk(4, dim=1)
    cell = torch.sigmoid(f + layer.W_cf * c) * c
    cell = cell + torch.sigmoid(i + layer.W_ci * c) * torch.tanh(candidate)
    return torch.sigmoid(o + layer.W_co * cell) * torch.tanh(cell), cell


def _plain_lsconv(operator: LSConv, embedding: Tensor, x: Tensor) -> Tensor:
    identity = torch.eye(len(embedding))
    nodes = operator.attention(x).permute(0, 2, 3, 1).flatten(1, 2)  # (b, N, c)
    long_range = torch.einsum("nm,bmc->bnc", identity + adaptive_adjacency(embedding), nodes)
    image = long_range.unflatten(1, x.shape[2:]).permute(0, 3, 1, 2)
    return functional.conv2d(image, operator.theta, padding="same")


def products(network: LSNTP, batch: int, repeats: int) -> float:
    """CPU seconds of the matrix products of one training step, each shape timed by itself."""
    nodes, length = network.E.shape
    hidden = len(network.encoder1.b) // 4
    from_frames = HISTORY
    from_states = 2 * (HISTORY - 1) + 2 * HORIZON + HISTORY + HORIZON  # four W_h, two W_x
    kernel = network.encoder1.W_h.theta.shape[-1] ** 2
    total = 3 * _matmul_s(nodes, length, nodes, repeats)
    for channels, calls in ((network.channels, from_frames), (hidden, from_states)):
        graph = _matmul_s(batch * channels, nodes, nodes, repeats)
        short_range = _matmul_s(4 * hidden, channels * kernel, batch * nodes, repeats)
        pointwise = _matmul_s(channels, channels, batch * nodes, repeats)
        total += 3 * calls * (graph + short_range + 2 * pointwise)
    return total


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


def main() -> None:
    """Time the three and print them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name, default in (("height", 25), ("width", 53), ("hidden", 32), ("embedding", 64)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()

    torch.manual_seed(0)
    network = LSNTP(
        LsntpConfig(hidden=options.hidden, embedding=options.embedding),
        shape=(options.height, options.width),
        history=HISTORY,
        horizon=HORIZON,
    )
    optimiser = torch.optim.AdamW(network.parameters())
    history = torch.randn(options.batch, HISTORY, 1, options.height, options.width)
    target = torch.randn(options.batch, HORIZON, 1, options.height, options.width)
    torch.testing.assert_close(plain_forward(network, history), network(history))

    def train(forward: Callable[[Tensor], Tensor]) -> None:
        optimiser.zero_grad()
        functional.mse_loss(forward(history), target).backward()
        optimiser.step()

    ours = _cpu_s(lambda: train(network), options.repeats)
    plain = _cpu_s(lambda: train(lambda x: plain_forward(network, x)), options.repeats)
    limit = products(network, options.batch, options.repeats)
    print(
        f"{options.height} x {options.width} cells, hidden {options.hidden}, "
        f"batch {options.batch}, {parameter_count(network):,} parameters, "
        f"{torch.get_num_threads()} threads; CPU seconds per training step"
    )
    for label, seconds in (("ours", ours), ("plain", plain), ("products", limit)):
        print(f"  {label:9s}{seconds:8.3f} s   {seconds / ours:5.2f} x ours")


if __name__ == "__main__":
    main()
