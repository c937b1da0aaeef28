"""The weights of the leads, by hand."""

import pytest
import torch

from lsntp.config import TrainingConfig
from lsntp.training.losses import lead_weights, training_loss


def test_leads_count_by_a_power_of_their_number_and_one_on_average():
    # 1, 1/2, 1/3 and their mean 11/18
    expected = torch.tensor([18.0, 9.0, 6.0]) / 11
    torch.testing.assert_close(lead_weights(3, 1.0).flatten(), expected)
    assert lead_weights(5, 0.0).flatten().tolist() == [1.0] * 5


@pytest.mark.parametrize(
    ("loss", "expected"),
    [
        # errors 1 and 4, weights 2/(1 + 1/2) and 1/(1 + 1/2): 4/3 and 2/3
        ("mae", (4 / 3 * 1 + 2 / 3 * 4) / 2),
        ("mse", (4 / 3 * 1 + 2 / 3 * 16) / 2),
    ],
)
def test_the_loss_of_two_leads_by_hand(loss, expected):
    config = TrainingConfig(loss=loss, lead_decay=1.0)
    forecast = torch.zeros(3, 2, 1, 4, 5)
    target = torch.stack([torch.full((3, 1, 4, 5), value) for value in (1.0, -4.0)], dim=1)
    assert training_loss(config, forecast, target).item() == pytest.approx(expected)


def test_without_decay_it_is_the_plain_loss():
    forecast, target = torch.randn(2, 2, 3, 1, 4, 5, generator=torch.Generator().manual_seed(0))
    plain = training_loss(TrainingConfig(loss="mae"), forecast, target)
    torch.testing.assert_close(plain, (forecast - target).abs().mean())
