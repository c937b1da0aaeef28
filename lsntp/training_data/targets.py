"""What a network is asked to predict: the value, its anomaly, or its increment."""

from dataclasses import dataclass

import numpy as np

from lsntp.config import Target
from lsntp.errors import TrainingDataError
from lsntp.training_data.scaling import ArrayT, Scaler
from lsntp.training_data.statistics import Statistics


@dataclass(frozen=True)
class TargetTransform:
    """Kelvin to a network's target, and exactly back.

    With y(t + lead) the value, y(t) the last known field and clim the climatology at the
    valid time:

    - ``absolute``: scale(y(t + lead));
    - ``anomaly``: (y(t + lead) - clim) / anomaly_std;
    - ``increment``: (y(t + lead) - y(t)) / increment_std[lead].

    Shapes: targets and climatology (..., K, H, W), last field (..., H, W). NumPy or torch.
    """

    target: Target
    scaler: Scaler
    statistics: Statistics

    def __post_init__(self) -> None:
        """Refuse a spread that cannot be divided by."""
        spread = {
            "absolute": np.array([self.scaler.factor]),
            "anomaly": np.array([self.statistics.anomaly_std]),
            "increment": self.statistics.increment_std,
        }[self.target]
        if not np.all(spread > 0):
            raise TrainingDataError(
                f"Expected a positive {self.target} spread over the training period "
                f"{self.statistics.period}, found {spread.min():g} K; the period is too short "
                "or its fields do not vary."
            )

    @property
    def needs_climatology(self) -> bool:
        """Whether the climatology takes part; otherwise None may stand for it."""
        return self.target == "anomaly"

    def encode(self, target_k: ArrayT, last_k: ArrayT, climatology_k: ArrayT | None) -> ArrayT:
        """The normalised target (..., K, H, W) of fields in kelvin.

        Args:
            target_k: y(t + lead), (..., K, H, W), K.
            last_k: y(t), (..., H, W), K.
            climatology_k: clim at the valid times (..., K, H, W), K; None unless needed.

        Raises:
            TrainingDataError: if the climatology is needed and None.
        """
        if self.target == "absolute":
            return self.scaler.scale(target_k)
        if self.target == "anomaly":
            return (target_k - self._known(climatology_k)) / self.statistics.anomaly_std
        return (target_k - last_k[..., None, :, :]) / self._increment_std(target_k)

    def decode(self, prediction: ArrayT, last_k: ArrayT, climatology_k: ArrayT | None) -> ArrayT:
        """The fields (..., K, H, W), K, of a normalised prediction; inverse of :meth:`encode`.

        Raises:
            TrainingDataError: if the climatology is needed and None.
        """
        if self.target == "absolute":
            return self.scaler.unscale(prediction)
        if self.target == "anomaly":
            return prediction * self.statistics.anomaly_std + self._known(climatology_k)
        return prediction * self._increment_std(prediction) + last_k[..., None, :, :]

    def _known(self, climatology_k: ArrayT | None) -> ArrayT:
        if climatology_k is None:
            raise TrainingDataError(
                "Expected the climatology at the valid times for the anomaly target, found none; "
                "pass statistics.climatology.at(valid_times)."
            )
        return climatology_k

    def _increment_std(self, like: ArrayT) -> ArrayT:
        """(K, 1, 1), of the type and precision of ``like``."""
        std = self.statistics.increment_std[:, None, None]
        if isinstance(like, np.ndarray):
            return std.astype(like.dtype)
        return like.new_tensor(std.tolist())
