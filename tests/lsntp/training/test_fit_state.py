import pytest
import torch
from torch import nn

from lsntp.training.fit_state import moving_average


class Number(nn.Module):
    def __init__(self, value):
        super().__init__()
        self.value = nn.Parameter(torch.tensor([value]))


@pytest.mark.parametrize(
    ("decay", "expected"),
    [
        # n = 1 copies; d = min(decay, n / (9 + n)): 2 / 11, then 3 / 12
        (0.9, [2.0, 2 * 2 / 11 + 4 * 9 / 11, (2 * 2 / 11 + 4 * 9 / 11) / 4 + 8 * 3 / 4]),
        (0.1, [2.0, 0.1 * 2 + 0.9 * 4, 0.1 * 3.8 + 0.9 * 8]),
    ],
)
def test_the_average_forgets_its_start_and_then_follows(decay, expected):
    network = Number(100.0)
    average = moving_average(network, decay)
    found = []
    for value in (2.0, 4.0, 8.0):
        with torch.no_grad():
            network.value.fill_(value)
        average.update_parameters(network)
        found.append(float(average.module.value.detach()))
    assert found == pytest.approx(expected, rel=1e-6)
    assert float(network.value.detach()) == 8.0
