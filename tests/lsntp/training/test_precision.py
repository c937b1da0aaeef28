"""What stays float32 when a fit computes in bfloat16, and that it costs no accuracy."""

import numpy as np
import pytest
import torch

from lsntp.config import LsntpConfig, TrainingConfig
from lsntp.models.graph import make_graph
from lsntp.models.registry import build_network
from lsntp.training.checkpoints import Checkpoints
from lsntp.training.fit_loop import FitLoop
from lsntp.training.network_fit import fit_network

SHAPE = (8, 12)
START = np.datetime64("2021-01-01T00", "ns")


class Waves:
    """Windows of a wave that moves one cell east a step, from any phase and of any height."""

    def __init__(self, size, *, seed):
        numbers = torch.Generator().manual_seed(seed)
        phase = 12 * torch.rand(size, 1, 1, 1, 1, generator=numbers)
        height = 0.5 + torch.rand(size, 1, 1, 1, 1, generator=numbers)
        step = torch.arange(6).view(1, 6, 1, 1, 1)
        place = torch.arange(SHAPE[1]) + torch.arange(SHAPE[0])[:, None] / 2
        fields = height * torch.sin(2 * torch.pi * (place - step + phase) / 12)
        self.history, self.target = fields[:, :3], fields[:, 3:]
        self.init_times = START + np.arange(size) * np.timedelta64(1, "h")

    def __len__(self):
        return len(self.init_times)

    def order(self, numbers):
        return numbers.permutation(len(self)).tolist()

    def batch(self, indices):
        return self.history[list(indices)], self.target[list(indices)]


def network(seed, configuration="paper"):
    torch.manual_seed(seed)
    architecture = LsntpConfig(configuration=configuration, hidden=6, embedding=8)
    return build_network(architecture, shape=SHAPE, history=3, horizon=3)


@pytest.mark.parametrize("configuration", ["paper", "official"])
def test_states_weights_and_moments_stay_float32_in_a_bfloat16_fit(tmp_path, configuration):
    found = {}

    def remember(module, arguments, result):
        if module.training:
            found.setdefault("cell", set()).add(result[1].cell.dtype)

    def remember_product(module, arguments, result):
        if module.training:
            found.setdefault("product", set()).add(result.dtype)

    net = network(0, configuration)
    for layer in (net.encoder1, net.encoder2, net.decoder3, net.decoder4):
        layer.register_forward_hook(remember)
    operator = net.encoder1.W_xh or net.encoder1.W_x
    operator.register_forward_hook(remember_product)
    config = TrainingConfig(epochs=1, batch_size=8, precision="bfloat16", devices=1)
    data = Waves(16, seed=1)
    loop = FitLoop(net, data, data, config, Checkpoints(tmp_path / "c", "me"))
    loop.run("fit", tmp_path / "log.csv")
    assert found == {"cell": {torch.float32}, "product": {torch.bfloat16}}
    assert {p.dtype for p in net.parameters()} == {torch.float32}
    assert {p.grad.dtype for p in net.parameters() if p.grad is not None} == {torch.float32}
    moments = loop.state.optimizer.state.values()
    assert {m[name].dtype for m in moments for name in ("exp_avg", "exp_avg_sq")} == {torch.float32}
    assert {t.dtype for t in loop.state.best.values()} == {torch.float32}


@pytest.mark.parametrize("kind", ["dense", "chunked"])
def test_the_adjacency_is_made_in_float32_under_autocast(kind):
    embedding = torch.randn(40, 8, generator=torch.Generator().manual_seed(0))
    nodes = torch.eye(40)[None]
    plain = make_graph(embedding, kind, None)
    with torch.autocast("cpu", torch.bfloat16):
        cast = make_graph(embedding, kind, None)
    # Outside of autocast again, so that only how A was made can differ.
    assert cast.mix(nodes).dtype == torch.float32
    assert torch.equal(cast.mix(nodes), plain.mix(nodes))


@pytest.mark.slow
def test_a_bfloat16_fit_ends_within_the_spread_of_the_seeds_of_float32(tmp_path):
    """A wave that moves: learnable, and far from learnt by persistence (MSE 0.5 and more)."""
    losses = {}
    for precision, seeds in (("float32", range(4)), ("bfloat16", range(2))):
        for seed in seeds:
            config = TrainingConfig(
                epochs=12,
                batch_size=8,
                learning_rate=0.01,
                seed=seed,
                precision=precision,
                devices=1,
            )
            fitted = fit_network(
                network(seed),
                Waves(96, seed=1),
                Waves(32, seed=2),
                config=config,
                folder=tmp_path / f"{precision}-{seed}",
                description=f"{precision} {seed}",
            )
            losses.setdefault(precision, []).append(fitted.validation_loss)
    full, half = (np.log(losses[name]) for name in ("float32", "bfloat16"))
    assert max(losses["float32"]) < 0.1
    assert np.abs(half - full.mean()).max() < full.max() - full.min()
