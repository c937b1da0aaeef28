"""What a fit minimises, and what it is validated by.

Shapes: b batch, K horizon steps, H x W the domain's grid.
"""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor
from torch.nn import functional

from lsntp.config import Loss, TrainingConfig

LOSS: Mapping[Loss, Callable[[Tensor, Tensor], Tensor]] = {
    "mse": functional.mse_loss,
    "mae": functional.l1_loss,
}
_POWER: Mapping[Loss, int] = {"mse": 2, "mae": 1}


def training_loss(config: TrainingConfig, forecast: Tensor, target: Tensor) -> Tensor:
    """``config.loss`` with the weights of ``config.lead_decay``: ().

    Args:
        config: how to fit.
        forecast: (b, K, 1, H, W), normalised.
        target: the same of the truth.
    """
    loss = LOSS[config.loss]
    if not config.lead_decay:
        return loss(forecast, target)
    # A weight goes inside the power: w |f - y|^p = |w^(1/p) f - w^(1/p) y|^p.
    weights = lead_weights(target.shape[1], config.lead_decay, target.device)
    weights = weights ** (1 / _POWER[config.loss])
    return loss(weights * forecast, weights * target)


def lead_weights(leads: int, decay: float, device: torch.device | None = None) -> Tensor:
    """k^-decay for lead k = 1 … K, with mean one: (K, 1, 1, 1).

    Args:
        leads: K.
        decay: 0 for equal weights.
        device: where they are made; by default the CPU.
    """
    weights = torch.arange(1.0, leads + 1, device=device) ** -decay
    return (weights / weights.mean()).view(-1, 1, 1, 1)
