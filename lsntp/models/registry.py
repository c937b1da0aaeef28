"""Networks by name."""

from collections.abc import Callable

from torch import nn

from lsntp.config import LsntpConfig
from lsntp.errors import ModelError
from lsntp.grid import Grid
from lsntp.models.lsntp import LSNTP

_NETWORKS: dict[str, Callable[..., nn.Module]] = {"lsntp": LSNTP}


def build_network(
    architecture: LsntpConfig,
    *,
    shape: tuple[int, int],
    history: int,
    horizon: int,
    channels: int = 1,
    grid: Grid | None = None,
) -> nn.Module:
    """An untrained network; seed torch first for the same weights again.

    Its ``forward(history (b, T, c, H, W), known_future=None, static=None)`` gives
    (b, K, 1, H, W).

    Args:
        architecture: which network, and its widths.
        shape: (H, W) of the domain's grid.
        history: T, input steps.
        horizon: K, forecast steps.
        channels: c, of the history.
        grid: the domain's grid, for networks that measure distances on it.

    Raises:
        ModelError: if the network is unknown or does not fit grid, history or horizon.
    """
    if architecture.name not in _NETWORKS:
        raise ModelError(
            f"Expected a network out of {', '.join(_NETWORKS)}, found {architecture.name!r}."
        )
    return _NETWORKS[architecture.name](
        architecture,
        shape=shape,
        history=history,
        horizon=horizon,
        channels=channels,
        grid=grid,
    )


def parameter_count(module: nn.Module) -> int:
    """Trainable numbers in ``module``."""
    return sum(parameter.numel() for parameter in module.parameters() if parameter.requires_grad)
