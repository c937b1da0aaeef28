"""What examples tell reaches the network, whoever stands between them."""

import numpy as np
import pytest
import torch
from torch import nn

from lsntp.config import TrainingConfig
from lsntp.training.network_fit import fit_network
from lsntp.training_data.forced_windows import ForcedWindows
from tests.benchmarks.bench_quality import clock
from tests.lsntp.training.toys import Noise


class Forcings:
    """Ones that are known of five steps, and a static field of twos."""

    def of(self, init_times):
        return np.ones((init_times.size, 5, 1, 4, 5), np.float32), np.full((1, 4, 5), 2, "f4")


class Bare:
    """The least a wrapper of a validation block may have, and ``told``."""

    def __init__(self, windows):
        self.windows, self.init_times = windows, windows.init_times

    def __len__(self):
        return len(self.windows)

    def batch(self, indices):
        return self.windows.batch(indices)

    def told(self, indices):
        return self.windows.told(indices)


class Listener(nn.Module):
    """Learns one number, and notes in which mode it was told what."""

    def __init__(self):
        super().__init__()
        self.number = nn.Parameter(torch.zeros(1))
        self.heard = []

    def forward(self, history, known_future=None, static=None):
        assert known_future.shape == (len(history), 5, 1, 4, 5)
        self.heard.append((self.training, known_future.mean().item(), static.mean().item()))
        return history[:, :2] * self.number


@pytest.mark.parametrize("wrap", [lambda windows: windows, clock, Bare])
def test_a_network_is_told_in_training_and_in_validation_through_any_wrapper(tmp_path, wrap):
    training, validation = (ForcedWindows(Noise(size), Forcings()) for size in (8, 4))
    network = Listener()
    config = TrainingConfig(epochs=1, batch_size=4, devices=1)
    fit_network(
        network, training, wrap(validation), config=config, folder=tmp_path, description="told"
    )
    assert set(network.heard) == {(True, 1.0, 2.0), (False, 1.0, 2.0)}
