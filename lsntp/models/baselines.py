"""Closed-form baselines: the bar that any network has to clear.

With t the initial time, L the lead time, x the analysis, clim the climatology and
``d = 24 h * ceil(L / 24 h)`` the whole days that cover the lead.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import numpy as np

from lsntp.errors import ModelError
from lsntp.grid import Fields
from lsntp.models.base import Forecaster, check_history, steps_of
from lsntp.times import DAY, Duration, LeadTimes, Times
from lsntp.training_data.climatology import Climatology


@dataclass(frozen=True, eq=False)
class _Baseline(ABC):
    """A formula over a few past analyses and the climatology.

    Attributes:
        climatology: expected fields; used only by formulas with ``clim``.
        lead_times: (K,), positive multiples of ``cadence``.
        cadence: time between two analyses.
    """

    climatology: Climatology
    lead_times: LeadTimes
    cadence: Duration

    name: ClassVar[str]

    @cached_property
    def offsets(self) -> tuple[int, ...]:
        """The steps of the analyses in the formula, ascending, the last one 0."""
        return tuple(sorted({*self._needed(), 0}))

    def forecast(self, history: Fields, init_times: Times) -> Fields:
        """The formula at every lead time: (n, K, H, W), K.

        Args:
            history: analyses (n, len(offsets), H, W), K.
            init_times: (n,).

        Raises:
            ModelError: if the history has another shape or holds NaN.
        """
        check_history(history, init_times, self.offsets, name=self.name)
        return self._forecast(history, init_times).astype(np.float32, copy=False)

    @abstractmethod
    def _forecast(self, history: Fields, init_times: Times) -> Fields:
        """The formula."""

    def _needed(self) -> tuple[int, ...]:
        """Steps of the analyses in the formula."""
        return (0,)

    @cached_property
    def _leads(self) -> tuple[int, ...]:
        """L in steps."""
        return steps_of(self.lead_times, self.cadence)

    @cached_property
    def _days(self) -> tuple[int, ...]:
        """Whole days d, in steps."""
        whole_days = -(-self.lead_times // DAY) * DAY
        return steps_of(whole_days, self.cadence)

    @cached_property
    def _same_hour(self) -> tuple[int, ...]:
        """L - d in steps: the latest analysis at the hour of day of the valid time."""
        return tuple(lead - day for lead, day in zip(self._leads, self._days, strict=True))

    def _frames(self, history: Fields, steps: tuple[int, ...]) -> Fields:
        """x(t + step) for each step: (n, len(steps), H, W)."""
        return history[:, [self.offsets.index(step) for step in steps]]

    def _expected(self, init_times: Times) -> Fields:
        """clim(t + L): (n, K, H, W)."""
        return self.climatology.at(init_times[:, None] + self.lead_times)


class Persistence(_Baseline):
    """x(t)."""

    name = "persistence"

    def _forecast(self, history: Fields, init_times: Times) -> Fields:  # noqa: ARG002
        return np.repeat(history[:, -1:], self.lead_times.size, axis=1)


class DiurnalPersistence(_Baseline):
    """x(t + L - d): the latest analysis at the same hour of day."""

    name = "diurnal-persistence"

    def _needed(self) -> tuple[int, ...]:
        return self._same_hour

    def _forecast(self, history: Fields, init_times: Times) -> Fields:  # noqa: ARG002
        return self._frames(history, self._same_hour)


class ClimatologyForecast(_Baseline):
    """clim(t + L)."""

    name = "climatology"

    def _forecast(self, history: Fields, init_times: Times) -> Fields:  # noqa: ARG002
        return self._expected(init_times)


class PersistenceClimatologicalIncrement(_Baseline):
    """x(t) + clim(t + L) - clim(t)."""

    name = "persistence-climatological-increment"

    def _forecast(self, history: Fields, init_times: Times) -> Fields:
        anomaly = history[:, -1] - self.climatology.at(init_times)
        return anomaly[:, None] + self._expected(init_times)


class PersistenceDiurnalIncrement(_Baseline):
    """x(t) + x(t + L - d) - x(t - d): persistence plus yesterday's increment."""

    name = "persistence-diurnal-increment"

    def _needed(self) -> tuple[int, ...]:
        return self._same_hour + self._same_origin

    def _forecast(self, history: Fields, init_times: Times) -> Fields:  # noqa: ARG002
        increment = self._frames(history, self._same_hour) - self._frames(
            history, self._same_origin
        )
        return history[:, -1:] + increment

    @cached_property
    def _same_origin(self) -> tuple[int, ...]:
        """-d in steps."""
        return tuple(-day for day in self._days)


_BASELINES: dict[str, type[_Baseline]] = {
    kind.name: kind
    for kind in (
        Persistence,
        DiurnalPersistence,
        ClimatologyForecast,
        PersistenceClimatologicalIncrement,
        PersistenceDiurnalIncrement,
    )
}


def make_baseline(
    name: str, *, climatology: Climatology, lead_times: LeadTimes, cadence: Duration
) -> Forecaster:
    """The closed-form baseline of that name.

    Args:
        name: one of :data:`lsntp.config.BASELINES`, except ``ridge``, which is fitted
            (:func:`lsntp.models.ridge.fit_ridge`).
        climatology: expected fields from the training period.
        lead_times: (K,), positive multiples of ``cadence``.
        cadence: time between two analyses; divides a day.

    Raises:
        ModelError: if the name is unknown or a lead time is no multiple of the cadence.
    """
    if name not in _BASELINES:
        raise ModelError(f"Expected a baseline out of {', '.join(_BASELINES)}, found {name!r}.")
    steps_of(np.append(lead_times, DAY), cadence)
    return _BASELINES[name](climatology, lead_times, cadence)
