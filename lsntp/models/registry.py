"""Networks by name."""

from torch import nn

from lsntp.config import ArchitectureConfig, ConvlstmConfig, ConvnetConfig, LsntpConfig
from lsntp.errors import ModelError
from lsntp.grid import Grid
from lsntp.models.convnet import ConvNet
from lsntp.models.forced import Told, frames_needed
from lsntp.models.lsntp import LSNTP
from lsntp.models.plus import LSNTPPlus

NAMES = ("lsntp", "convlstm", "convnet")


def build_network(
    architecture: ArchitectureConfig,
    *,
    shape: tuple[int, int],
    history: int,
    horizon: int,
    channels: int = 1,
    grid: Grid | None = None,
    day: int | None = None,
) -> nn.Module:
    """An untrained network; seed torch first for the same weights again.

    Its ``forward(history (b, T, c, H, W), known_future=None, static=None)`` gives
    (b, K, 1, H, W); :func:`told_by` says whether it needs the two others.

    Args:
        architecture: which network, and its widths.
        shape: (H, W) of the domain's grid.
        history: T, input steps.
        horizon: K, forecast steps.
        channels: c, of the history.
        grid: the domain's grid, for networks that measure distances on it.
        day: steps in 24 hours, for networks that look back a day.

    Raises:
        ModelError: if the network is unknown or does not fit grid, history or horizon.
    """
    if architecture.name not in NAMES:
        raise ModelError(
            f"Expected a network out of {', '.join(NAMES)}, found {architecture.name!r}."
        )
    if isinstance(architecture, ConvnetConfig):
        return ConvNet(architecture, shape=shape, history=history, horizon=horizon, day=day)
    if isinstance(architecture, ConvlstmConfig):
        architecture = plain_convlstm(architecture)
    steps = {"history": history, "horizon": horizon}
    if architecture.configuration == "plus":
        return LSNTPPlus(architecture, shape=shape, **steps, channels=channels, grid=grid, day=day)
    return LSNTP(architecture, shape=shape, **steps, channels=channels, grid=grid)


def frames_of(architecture: ArchitectureConfig, *, history: int, horizon: int, day: int) -> int:
    """How long a history the network takes: T, or more if it looks back a day.

    Args:
        architecture: which network.
        history: T, input steps.
        horizon: K, forecast steps.
        day: steps in 24 hours.
    """
    if isinstance(architecture, ConvlstmConfig):
        return history
    return frames_needed(architecture, history=history, horizon=horizon, day=day)


def plain_convlstm(config: ConvlstmConfig) -> LsntpConfig:
    """LS-NTP with neither attention nor graph: what is left is a ConvLSTM."""
    return LsntpConfig(
        configuration="paper",
        hidden=config.hidden,
        kernel=config.kernel,
        attention_layers=0,
        long_range=False,
    )


def told_by(architecture: ArchitectureConfig) -> Told:
    """What the network needs beside its history."""
    return Told() if isinstance(architecture, ConvlstmConfig) else Told.by(architecture)


def parameter_count(module: nn.Module) -> int:
    """Trainable numbers in ``module``."""
    return sum(parameter.numel() for parameter in module.parameters() if parameter.requires_grad)
