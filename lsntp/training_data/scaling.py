"""Scaling of fields to the numbers a network sees, and back."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import numpy.typing as npt

from lsntp.config import Scaling
from lsntp.errors import TrainingDataError
from lsntp.training_data.statistics import Statistics

if TYPE_CHECKING:
    import torch

ArrayT = TypeVar("ArrayT", "npt.NDArray[np.float32]", "npt.NDArray[np.float64]", "torch.Tensor")
"""NumPy arrays and torch tensors: only their arithmetic is used, torch is not imported."""


@dataclass(frozen=True)
class Scaler:
    """normalised = (value - offset) / factor.

    ``min-max-01`` maps the training period's minimum and maximum to 0 and 1,
    ``min-max-11`` to -1 and 1, ``standard`` its mean and standard deviation to 0 and 1.

    Raises:
        TrainingDataError: if the training period holds a single value.
    """

    kind: Scaling
    statistics: Statistics

    def __post_init__(self) -> None:
        """Refuse what cannot be inverted."""
        if not self.factor > 0:
            raise TrainingDataError(
                f"Expected fields that vary over the training period {self.statistics.period} "
                f"to scale them ({self.kind}), found {self.statistics.minimum:g} K everywhere; "
                "check the source."
            )

    @property
    def offset(self) -> float:
        """The value that becomes 0, K."""
        statistics = self.statistics
        if self.kind == "standard":
            return statistics.mean
        if self.kind == "min-max-01":
            return statistics.minimum
        return (statistics.minimum + statistics.maximum) / 2

    @property
    def factor(self) -> float:
        """The difference that becomes 1, K."""
        statistics = self.statistics
        if self.kind == "standard":
            return statistics.std
        spread = statistics.maximum - statistics.minimum
        return spread if self.kind == "min-max-01" else spread / 2

    def scale(self, value_k: ArrayT) -> ArrayT:
        """Kelvin to normalised, any shape, same type."""
        return (value_k - self.offset) / self.factor

    def unscale(self, normalised: ArrayT) -> ArrayT:
        """Normalised to kelvin, any shape, same type."""
        return normalised * self.factor + self.offset
