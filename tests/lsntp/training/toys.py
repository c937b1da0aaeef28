"""A network and windows that other processes can be given by pickle. Imported by name."""

import os
import signal
import time

import numpy as np
import torch
from torch import nn

START = np.datetime64("2021-01-01T00", "ns")


class Noise:
    """Windows whose target is half of the first two history steps, and noise."""

    noise_k = 1.0

    def __init__(self, size, *, first=0):
        self.init_times = START + np.arange(first, first + size) * np.timedelta64(1, "h")
        generator = torch.Generator().manual_seed(first)
        self.history = torch.randn(size, 3, 1, 4, 5, generator=generator)
        noise = torch.randn(size, 2, 1, 4, 5, generator=generator)
        self.target = self.history[:, :2] / 2 + self.noise_k * noise

    def __len__(self):
        return len(self.init_times)

    def order(self, numbers):
        return numbers.permutation(len(self)).tolist()

    def batch(self, indices):
        return self.history[indices], self.target[indices]


class Toy(nn.Module):
    """Two convolutions, dropout if asked for, and a parameter that nothing uses."""

    def __init__(self, dropout=0.0, killed=None):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(3, 8, 3, padding=1), nn.Tanh(), nn.Dropout(dropout), nn.Conv2d(8, 2, 1)
        )
        self.idle = nn.Parameter(torch.ones(3))
        self.killed, self.steps = killed, 0

    def forward(self, history, known_future=None, static=None):
        self.steps += self.training
        if self.training and self.killed == (rank(), self.steps):
            os.kill(os.getpid(), signal.SIGKILL)
        return self.layers(history[:, :, 0])[:, :, None]


def rank():
    return int(os.environ.get("LOCAL_RANK", "0"))


def killed_beside_a_deaf_one(folder):
    """Rank 1 is killed; rank 0 hears no SIGTERM, as one that is stuck in a driver would not."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    (folder / str(rank())).write_text(str(os.getpid()))
    if rank() == 1:
        while not (folder / "0").exists():
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(600)
