"""Fitting the networks of one version: one, or several that differ by their seed."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from lightning import seed_everything
from torch import nn

from lsntp.config import Domain, NetworkConfig
from lsntp.errors import ModelError
from lsntp.models.registry import parameter_count
from lsntp.training.devices import window_bytes
from lsntp.training.network import (
    NetworkForecaster,
    make_forecaster,
    parent_networks,
    untrained_network,
)
from lsntp.training.network_fit import Fitted, fit_network
from lsntp.training.versions import ModelVersion
from lsntp.training_data.archive import TrainingArchive
from lsntp.training_data.forced_windows import ForcedWindows
from lsntp.training_data.frame_cache import FrameCache
from lsntp.training_data.ground import Ground
from lsntp.training_data.splits import Split
from lsntp.training_data.windows import Windows

SEED_STEP = 1000
"""Between the seeds of two members: ensembles with neighbouring seeds share none."""


@dataclass(frozen=True, eq=False)
class FittedMembers:
    """What came of the fits of all members.

    Attributes:
        forecaster: of the members together.
        parameters: trained numbers of all of them.
        fits: one a member.
    """

    forecaster: NetworkForecaster
    parameters: int
    fits: Sequence[Fitted]

    @property
    def notes(self) -> dict[str, float]:
        """For the scores of the version: epochs of all members, their mean validation loss."""
        return {
            "epochs": sum(fit.epochs for fit in self.fits),
            "validation_loss": sum(fit.validation_loss for fit in self.fits) / len(self.fits),
        }


def fit_members(
    domain: Domain,
    model: str,
    archive: TrainingArchive,
    split: Split,
    *,
    parent: ModelVersion | None,
    work: Path,
    identity: str,
    ground: Ground | None = None,
) -> FittedMembers:
    """Fit every member of a network, one after the other; each is resumable by itself.

    Member i (from 0) has the seed ``training.seed`` + 1000 i, of which its first weights, the order
    of its windows and its dropout come. ``training.max_minutes`` is each one's. With a parent
    of M members it starts from the weights of number i modulo M.

    Args:
        domain: its configuration names the network.
        model: the network's name.
        archive: the training data.
        split: initial times of training and validation.
        parent: a version to start from.
        work: for checkpoints and logs; with several members, a folder each.
        identity: see :func:`~lsntp.training.network_fit.fit_network`.
        ground: see :func:`~lsntp.training.network.make_forecaster`.

    Raises:
        ModelError: if the parent does not fit, a part to freeze is none, or a loss is not finite.
    """
    config = domain.networks[model]
    forecaster = make_forecaster(model, (), config, archive.statistics, domain, ground)
    frames = len(forecaster.offsets)
    cache = FrameCache(
        archive,
        span=frames + domain.horizon,
        max_bytes=window_bytes(config.training),
        needs_climatology=forecaster.transform.needs_climatology,
    )
    windows = [
        Windows(
            archive,
            init_times,
            forecaster.transform,
            history=frames,
            horizon=domain.horizon,
            cache=cache,
        )
        for init_times in (split.train, split.validation)
    ]
    forcings = forecaster.forcings
    training, validation = (
        [ForcedWindows(each, forcings) for each in windows] if forcings else windows
    )
    networks, fits = [], []
    for number in range(config.members):
        network = start_network(config, domain, parent, number)
        networks.append(network)
        fits.append(
            fit_network(
                network,
                training,
                validation,
                config=config.training.model_copy(update={"seed": member_seed(config, number)}),
                folder=work if config.members == 1 else work / f"member-{number + 1}",
                description=f"train {model}"
                if config.members == 1
                else f"train {model} {number + 1}/{config.members}",
                identity=identity,
            )
        )
    forecaster = replace(forecaster, networks=networks)
    return FittedMembers(forecaster, sum(map(parameter_count, networks)), fits)


def start_network(
    config: NetworkConfig, domain: Domain, parent: ModelVersion | None, number: int
) -> nn.Module:
    """A member before its fit: seeded, or as the parent's, frozen where asked for.

    Raises:
        ModelError: if the parent does not fit, or a part to freeze is none.
    """
    seed_everything(member_seed(config, number), verbose=False)
    network = untrained_network(config, domain)
    if parent is not None:
        found = parent_networks(parent, config, domain)
        network.load_state_dict(found[number % len(found)].state_dict())
    freeze(network, config.training.freeze)
    return network


def member_seed(config: NetworkConfig, number: int) -> int:
    """The seed of a member, by its number from 0."""
    return config.training.seed + SEED_STEP * number


def freeze(network: nn.Module, parts: Sequence[str]) -> None:
    """Keep parameters as they are whose name is one of ``parts``, or begins so up to a dot.

    Raises:
        ModelError: if one of them is no part, or nothing is left to train.
    """
    names = [name for name, _ in network.named_parameters()]
    unknown = [part for part in parts if not any(_is_of(name, part) for name in names)]
    if unknown:
        known = dict.fromkeys(name.split(".")[0] for name in names)
        raise ModelError(
            f"Expected in training.freeze parts of the network ({', '.join(known)}), or of those, "
            f"found {', '.join(unknown)}."
        )
    for name, parameter in network.named_parameters():
        parameter.requires_grad_(not any(_is_of(name, part) for part in parts))
    if not parameter_count(network):
        raise ModelError(
            f"Expected parts left to train, found all of them ({', '.join(parts)}) in "
            "training.freeze; name fewer."
        )


def _is_of(name: str, part: str) -> bool:
    return name == part or name.startswith(f"{part}.")
