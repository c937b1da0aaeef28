"""Windows with forcings that other processes can be given by pickle. Imported by name."""

import torch
from toys import Noise

T, K, H, W = 3, 2, 4, 5
"""Of the windows of :class:`toys.Noise`."""


class ToldNoise(Noise):
    """Windows that tell the hour: half the target follows what was told, half the history.

    What is told differs from window to window, so that a fit that mixed up the windows of its
    ranks, or told all of them the same, would end elsewhere.
    """

    noise_k = 0.1

    def __init__(self, size, *, first=0):
        super().__init__(size, first=first)
        numbers = torch.Generator().manual_seed(first + 1)
        self.known = torch.randn(size, T + K, 2, H, W, generator=numbers)
        self.static = torch.randn(2, H, W, generator=torch.Generator().manual_seed(0))
        self.target = self.target + self.known[:, T:, :1] / 2

    def told(self, indices):
        return self.known[list(indices)], self.static
