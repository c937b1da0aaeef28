"""A trained network as a forecaster: kelvin in, kelvin out."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from pydantic import ValidationError
from torch import Tensor, nn

from lsntp.config import Domain, NetworkConfig
from lsntp.errors import ModelError, TrainingDataError
from lsntp.grid import Fields
from lsntp.models.base import check_history
from lsntp.models.calibration import Calibration
from lsntp.models.registry import build_network, frames_of, told_by
from lsntp.times import LeadTimes, Times
from lsntp.training.contents import (
    NETWORK,
    calibration_shapes,
    calibration_tensors,
    climatology_shapes,
    climatology_tensors,
    ground_shapes,
    ground_tensors,
    restore_calibration,
    restore_ground,
    restore_statistics,
)
from lsntp.training.versions import ModelVersion, check_tensors
from lsntp.training_data.forcings import Forcings
from lsntp.training_data.ground import Ground
from lsntp.training_data.scaling import Scaler
from lsntp.training_data.statistics import Statistics
from lsntp.training_data.targets import TargetTransform

BATCH = 16
"""Windows in one pass of the network."""


@dataclass(frozen=True, eq=False)
class NetworkForecaster:
    """A network between its scaling and its target transform.

    Attributes:
        name: the model's name in the domain file.
        networks: its members, of which the forecast is the mean; (b, T, 1, H, W) ->
            (b, K, 1, H, W), normalised; they run on the GPU if there is one.
        transform: target, scaler and statistics the network was trained with.
        lead_times: (K,).
        offsets: -(T - 1) … 0.
        forcings: what the network is told beside the history; None for the history alone.
        calibration: of its quantiles; None without.
    """

    name: str
    networks: Sequence[nn.Module]
    transform: TargetTransform
    lead_times: LeadTimes
    offsets: tuple[int, ...]
    forcings: Forcings | None = None
    calibration: Calibration | None = None

    @property
    def network(self) -> nn.Module:
        """The first member."""
        return self.networks[0]

    def forecast(self, history: Fields, init_times: Times) -> Fields:
        """Forecasts (n, K, H, W), K, from ``history`` (n, T, H, W), K: the mean of the members.

        Raises:
            ModelError: if the history has another shape or holds NaN.
        """
        return self.mean_and_variance(history, init_times)[0]

    def forecast_with_quantiles(
        self, history: Fields, init_times: Times
    ) -> tuple[Fields, Fields | None]:
        """:meth:`forecast`, and its quantiles (n, Q, K, H, W), K, if it is calibrated."""
        mean, variance = self.mean_and_variance(history, init_times)
        if self.calibration is None:
            return mean, None
        valid_times = init_times[:, None] + self.lead_times
        return mean, self.calibration.quantiles(mean, variance, valid_times)

    def mean_and_variance(self, history: Fields, init_times: Times) -> tuple[Fields, Fields]:
        """Mean, K, and variance, K², of the members, each (n, K, H, W); 0 of a single one.

        Raises:
            ModelError: if the history has another shape or holds NaN.
        """
        check_history(history, init_times, self.offsets, name=self.name)
        shape = (init_times.size, self.lead_times.size, *history.shape[2:])
        mean, variance = np.empty(shape, np.float32), np.zeros(shape, np.float32)
        for first in range(0, init_times.size, BATCH):
            part = slice(first, first + BATCH)
            members = self.members(history[part], init_times[part])
            mean[part] = members.mean(axis=1)
            if len(self.networks) > 1:
                variance[part] = members.var(axis=1, ddof=1)
        return mean, variance

    def members(self, history: Fields, init_times: Times) -> Fields:
        """The forecasts of every member (n, M, K, H, W), K, from ``history`` (n, T, H, W), K."""
        inputs = torch.from_numpy(np.ascontiguousarray(self.transform.scaler.scale(history)))
        told = self.forcings.of(init_times) if self.forcings else ()
        climatology = self._climatology(init_times)
        return np.stack(
            [
                self.transform.decode(
                    _predict(network, inputs[:, :, None], told), history[:, -1], climatology
                )
                for network in self.networks
            ],
            axis=1,
        )

    def _climatology(self, init_times: Times) -> Fields | None:
        """The climatology (n, K, H, W), K, at the valid times, if the target needs it."""
        if not self.transform.needs_climatology:
            return None
        climatology = self.transform.statistics.climatology
        return climatology.at(init_times[:, None] + self.lead_times)


def _predict(
    network: nn.Module, history: Tensor, told: Sequence[npt.NDArray[Any] | None]
) -> Fields:
    """What a network makes (n, K, H, W) of (n, T, 1, H, W), normalised both."""
    device = _device()
    inputs = [None if part is None else torch.from_numpy(part).to(device) for part in told]
    with torch.inference_mode():
        prediction = network.to(device).eval()(history.to(device), *inputs)
        return np.asarray(prediction[:, :, 0].cpu().numpy(), np.float32)


def frames_needed(config: NetworkConfig, domain: Domain) -> int:
    """How many analyses in a row the network starts from."""
    return frames_of(
        config.architecture,
        history=domain.history,
        horizon=domain.horizon,
        day=domain.steps_per_day,
    )


def make_forecaster(
    name: str,
    networks: Sequence[nn.Module],
    config: NetworkConfig,
    statistics: Statistics,
    domain: Domain,
    ground: Ground | None = None,
) -> NetworkForecaster:
    """The forecaster of a model's members, which may still be trained further.

    It is told of ``ground``; of the land of :mod:`lsntp.land` for None.
    """
    transform = TargetTransform(config.target, Scaler(config.scaling, statistics), statistics)
    frames = frames_needed(config, domain)
    offsets = tuple(range(1 - frames, 1))
    return NetworkForecaster(
        name,
        networks,
        transform,
        domain.lead_times,
        offsets,
        _forcings(config, transform.scaler, domain, frames, ground),
    )


def _forcings(
    config: NetworkConfig, scaler: Scaler, domain: Domain, frames: int, ground: Ground | None
) -> Forcings | None:
    """What the network is told beside the history, if it asks for any of it."""
    told = told_by(config.architecture)
    if not (told.known or told.static):
        return None
    return Forcings(
        domain.target_grid,
        scaler,
        domain.cadence,
        frames,
        domain.horizon,
        known=told.known,
        fixed=told.static,
        ground=ground,
    )


def untrained_network(config: NetworkConfig, domain: Domain) -> nn.Module:
    """The network of a domain's configuration; seed torch first."""
    return build_network(
        config.architecture,
        shape=domain.target_grid.shape,
        history=domain.history,
        horizon=domain.horizon,
        grid=domain.target_grid,
        day=domain.steps_per_day,
    )


def network_tensors(forecaster: NetworkForecaster) -> dict[str, npt.NDArray[Any]]:
    """Everything a network's version needs, by tensor name; of several members also by number."""
    tensors = {
        NETWORK + name: tensor.detach().cpu().numpy()
        for name, tensor in _together(forecaster.networks).state_dict().items()
    }
    tensors |= climatology_tensors(forecaster.transform.statistics.climatology)
    if forecaster.calibration is not None:
        tensors |= calibration_tensors(forecaster.calibration)
    if forecaster.forcings is not None:
        tensors |= ground_tensors(forecaster.forcings)
    return tensors


def restore_network(version: ModelVersion, domain: Domain) -> NetworkForecaster:
    """The trained network, or networks, of a version.

    Raises:
        ModelError: if the configuration is no network's, a tensor is missing, extra, misshaped
            or not finite, or the statistics cannot be scaled with.
    """
    config = _network_config(version)
    networks, tensors = _load(version, config, domain)
    statistics = restore_statistics(version, tensors)
    try:
        forecaster = make_forecaster(
            version.model, networks, config, statistics, domain, restore_ground(tensors)
        )
        return replace(forecaster, calibration=restore_calibration(tensors))
    except TrainingDataError as error:
        raise ModelError(
            f"Expected statistics to scale with in {version.path}, found others: {error}"
        ) from error


def parent_networks(
    version: ModelVersion, config: NetworkConfig, domain: Domain
) -> Sequence[nn.Module]:
    """The members of a version to go on from, as networks of ``config``.

    Raises:
        ModelError: if a tensor is missing, extra, misshaped or not finite, as those of another
            architecture are.
    """
    members = _network_config(version).members
    return _load(version, config.model_copy(update={"members": members}), domain)[0]


def _load(
    version: ModelVersion, config: NetworkConfig, domain: Domain
) -> tuple[list[nn.Module], dict[str, npt.NDArray[Any]]]:
    """Networks with a version's weights, and its tensors by name."""
    networks = [untrained_network(config, domain) for _ in range(config.members)]
    module = _together(networks)
    tensors = version.tensors()
    shapes = {NETWORK + name: tuple(t.shape) for name, t in module.state_dict().items()}
    others = climatology_shapes(domain, tensors) | calibration_shapes(domain, tensors)
    others |= ground_shapes(domain, tensors, told_by(config.architecture).static)
    check_tensors(tensors, shapes | others, version.path)
    module.load_state_dict(
        {name.removeprefix(NETWORK): torch.tensor(tensors[name]) for name in shapes}
    )
    return networks, tensors


def _together(networks: Sequence[nn.Module]) -> nn.Module:
    """One module of all; a single network is itself."""
    return networks[0] if len(networks) == 1 else nn.ModuleList(networks)


def _device() -> torch.device:
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def _network_config(version: ModelVersion) -> NetworkConfig:
    """The network's part of the configuration stored with the version."""
    try:
        return NetworkConfig.model_validate(version.config["networks"][version.model])
    except (KeyError, TypeError, ValidationError) as error:
        raise ModelError(
            f"Expected networks.{version.model} in {version.path / 'config.yaml'}, found: "
            f"{error}; run `lsntp train`."
        ) from error
