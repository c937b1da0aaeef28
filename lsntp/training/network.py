"""A trained network as a forecaster: kelvin in, kelvin out."""

from dataclasses import dataclass
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
from lsntp.models.registry import build_network, frames_of, is_told
from lsntp.times import LeadTimes, Times
from lsntp.training.contents import (
    NETWORK,
    climatology_shapes,
    climatology_tensors,
    restore_statistics,
)
from lsntp.training.versions import ModelVersion, check_tensors
from lsntp.training_data.forcings import Forcings
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
        network: (b, T, 1, H, W) -> (b, K, 1, H, W), normalised; runs on the GPU if there is one.
        transform: target, scaler and statistics the network was trained with.
        lead_times: (K,).
        offsets: -(T - 1) … 0.
        forcings: what the network is told beside the history; None for the history alone.
    """

    name: str
    network: nn.Module
    transform: TargetTransform
    lead_times: LeadTimes
    offsets: tuple[int, ...]
    forcings: Forcings | None = None

    def forecast(self, history: Fields, init_times: Times) -> Fields:
        """Forecasts (n, K, H, W), K, from ``history`` (n, T, H, W), K.

        Raises:
            ModelError: if the history has another shape or holds NaN.
        """
        check_history(history, init_times, self.offsets, name=self.name)
        self.network.to(_device()).eval()
        result = np.empty((init_times.size, self.lead_times.size, *history.shape[2:]), np.float32)
        for first in range(0, init_times.size, BATCH):
            part = slice(first, first + BATCH)
            result[part] = self._forecast(history[part], init_times[part])
        return result

    def _forecast(self, history: Fields, init_times: Times) -> Fields:
        inputs = torch.from_numpy(np.ascontiguousarray(self.transform.scaler.scale(history)))
        with torch.inference_mode():
            prediction = self._predict(inputs[:, :, None], init_times)[:, :, 0].cpu().numpy()
        return self.transform.decode(prediction, history[:, -1], self._climatology(init_times))

    def _predict(self, history: Tensor, init_times: Times) -> Tensor:
        told = self.forcings.of(init_times) if self.forcings else ()
        inputs = [None if part is None else torch.from_numpy(part).to(_device()) for part in told]
        prediction: Tensor = self.network(history.to(_device()), *inputs)
        return prediction

    def _climatology(self, init_times: Times) -> Fields | None:
        """The climatology (n, K, H, W), K, at the valid times, if the target needs it."""
        if not self.transform.needs_climatology:
            return None
        climatology = self.transform.statistics.climatology
        return climatology.at(init_times[:, None] + self.lead_times)


def make_forecaster(
    name: str, network: nn.Module, config: NetworkConfig, statistics: Statistics, domain: Domain
) -> NetworkForecaster:
    """The forecaster of a network, which may still be trained further."""
    transform = TargetTransform(config.target, Scaler(config.scaling, statistics), statistics)
    frames = frames_of(
        config.architecture,
        history=domain.history,
        horizon=domain.horizon,
        day=domain.steps_per_day,
    )
    offsets = tuple(range(1 - frames, 1))
    return NetworkForecaster(
        name,
        network,
        transform,
        domain.lead_times,
        offsets,
        _forcings(config, transform.scaler, domain, frames),
    )


def _forcings(
    config: NetworkConfig, scaler: Scaler, domain: Domain, frames: int
) -> Forcings | None:
    """What the network is told beside the history, if it asks for any of it."""
    known, static = is_told(config.architecture)
    if not (known or static):
        return None
    return Forcings(
        domain.target_grid,
        scaler,
        domain.cadence,
        frames,
        domain.horizon,
        is_known=known,
        is_static=static,
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


def network_tensors(network: nn.Module, statistics: Statistics) -> dict[str, npt.NDArray[Any]]:
    """Everything a network's version needs, by tensor name."""
    weights = {
        NETWORK + name: tensor.detach().cpu().numpy()
        for name, tensor in network.state_dict().items()
    }
    return weights | climatology_tensors(statistics.climatology)


def restore_network(version: ModelVersion, domain: Domain) -> NetworkForecaster:
    """The trained network of a version.

    Raises:
        ModelError: if the configuration is no network's, a tensor is missing, extra, misshaped
            or not finite, or the statistics cannot be scaled with.
    """
    config = _network_config(version)
    network = untrained_network(config, domain)
    statistics = restore_statistics(version, load_weights(network, version, domain))
    try:
        return make_forecaster(version.model, network, config, statistics, domain)
    except TrainingDataError as error:
        raise ModelError(
            f"Expected statistics to scale with in {version.path}, found others: {error}"
        ) from error


def load_weights(
    network: nn.Module, version: ModelVersion, domain: Domain
) -> dict[str, npt.NDArray[Any]]:
    """Copy a version's weights into ``network``; its tensors by name.

    Raises:
        ModelError: if a tensor is missing, extra, misshaped or not finite.
    """
    tensors = version.tensors()
    shapes = {NETWORK + name: tuple(t.shape) for name, t in network.state_dict().items()}
    check_tensors(tensors, shapes | climatology_shapes(domain, tensors), version.path)
    network.load_state_dict(
        {name.removeprefix(NETWORK): torch.tensor(tensors[name]) for name in shapes}
    )
    return tensors


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
