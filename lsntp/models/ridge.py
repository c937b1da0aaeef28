"""A pooled ridge regression on anomaly increments: thirty coefficients per lead time.

With t the initial time, L the lead time and a = x - clim the anomaly from the climatology,

    x̂(t + L) = clim(t + L) + a(t) + β_L · φ(t),
    β_L = argmin Σ (a(t + L) - a(t) - β_L · φ(t))² + penalty · |β_L|²,

summed over all cells and initial times. φ(t) holds the 25 anomalies of the 5 x 5
neighbourhood at t (edges replicated), the cell's own anomalies one, two and three steps and
24 hours earlier, and a one, whose coefficient is not penalised. clim is the mean by hour of
day alone, whatever the length of the training period: the season is left to the anomalies.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from lsntp.errors import ModelError, TrainingDataError
from lsntp.grid import Fields, Floats
from lsntp.models.base import check_history, steps_of
from lsntp.times import DAY, Duration, LeadTimes, Times
from lsntp.training_data.climatology import Climatology

REACH = 2
"""Cells to each side in the neighbourhood."""
FEATURES = (2 * REACH + 1) ** 2 + 4 + 1
BLOCK_TIMES = 128
"""Initial times read together while fitting."""


@dataclass(frozen=True, eq=False)
class Ridge:
    """A fitted ridge regression; see the module's text.

    Attributes:
        coefficients: β (K, 30), of K per K; the last column, of the one, in K.
        climatology: mean fields of the training period by hour of day.
        lead_times: (K,), multiples of ``cadence``.
        cadence: time between two analyses.
    """

    coefficients: Floats
    climatology: Climatology
    lead_times: LeadTimes
    cadence: Duration

    name: ClassVar[str] = "ridge"

    def __post_init__(self) -> None:
        """Refuse coefficients of another shape."""
        expected = (self.lead_times.size, FEATURES)
        if self.coefficients.shape != expected:
            raise ModelError(
                f"ridge expects coefficients (lead times, features) = {expected}, found "
                f"{self.coefficients.shape}; fit it for this horizon."
            )

    @property
    def offsets(self) -> tuple[int, ...]:
        """The steps of the analyses it needs: 24 h, three, two and one steps back, and 0."""
        return _offsets(self.cadence)

    def forecast(self, history: Fields, init_times: Times) -> Fields:
        """Forecasts (n, K, H, W), K, from ``history`` (n, len(offsets), H, W), K.

        Raises:
            ModelError: if the history has another shape or holds NaN.
        """
        check_history(history, init_times, self.offsets, name=self.name)
        valid_times = init_times[:, None] + self.lead_times
        result = np.empty((*valid_times.shape, *history.shape[2:]), np.float32)
        times = init_times[:, None] + np.array(self.offsets) * self.cadence
        for index, frames in enumerate(history):
            anomalies = frames - self.climatology.at(times[index])
            increments = features(anomalies, self.offsets, self.cadence) @ self.coefficients.T
            result[index] = (
                self.climatology.at(valid_times[index])
                + anomalies[-1]
                + np.moveaxis(increments, -1, 0)
            )
        return result


def fit_ridge(
    read: Callable[[Times], Fields],
    init_times: Times,
    *,
    climatology: Climatology,
    lead_times: LeadTimes,
    cadence: Duration,
    penalty: float,
) -> Ridge:
    """Fit the regression by normal equations in float64, one block of times in memory.

    Args:
        read: gives the analyses (n, H, W), K, at the times asked for, NaN where missing.
        init_times: initial times of the training period; those with an incomplete history
            or target are left out.
        climatology: mean fields of the training period by hour of day.
        lead_times: (K,), multiples of ``cadence``.
        cadence: time between two analyses; divides a day.
        penalty: of the sum of squared coefficients, K², against the summed squared errors.

    Raises:
        TrainingDataError: if no initial time is complete.
        ModelError: if a lead time is no multiple of the cadence.
    """
    history_steps, lead_steps = _offsets(cadence), steps_of(lead_times, cadence)
    steps = steps_fitted_to(lead_times, cadence)
    gram = np.zeros((FEATURES, FEATURES))
    moment = np.zeros((FEATURES, len(lead_steps)))
    complete = 0
    for anomalies in _windows(read, init_times, climatology, steps, cadence):
        past, future = np.split(anomalies, [len(history_steps)])
        design = features(past, history_steps, cadence).reshape(-1, FEATURES)
        increments = (future - past[-1]).reshape(len(lead_steps), -1)
        gram += design.T @ design
        moment += design.T @ increments.T
        complete += 1
    if not complete:
        raise TrainingDataError(
            f"Expected at least one initial time with complete analyses at steps {steps} to fit "
            f"the ridge regression, found none among {init_times.size}; lengthen the training "
            "period."
        )
    penalties = np.full(FEATURES, penalty)
    penalties[-1] = 0.0
    coefficients = np.linalg.solve(gram + np.diag(penalties), moment).T
    return Ridge(np.ascontiguousarray(coefficients), climatology, lead_times, cadence)


def steps_fitted_to(lead_times: LeadTimes, cadence: Duration) -> tuple[int, ...]:
    """Steps from an initial time of all analyses that its equations hold: history and leads.

    Args:
        lead_times: (K,), multiples of ``cadence``.
        cadence: time between two analyses; divides a day.

    Raises:
        ModelError: if a lead time is no multiple of the cadence.
    """
    return _offsets(cadence) + steps_of(lead_times, cadence)


def features(
    anomalies: npt.NDArray[np.floating], offsets: tuple[int, ...], cadence: Duration
) -> Floats:
    """φ(t) of every cell: (H, W, 30).

    Args:
        anomalies: (len(offsets), H, W), K.
        offsets: their steps relative to t.
        cadence: time between two analyses.
    """
    side = 2 * REACH + 1
    padded = np.pad(anomalies[offsets.index(0)], REACH, mode="edge")
    neighbourhood = np.lib.stride_tricks.sliding_window_view(padded, (side, side))
    past = [anomalies[offsets.index(step)] for step in _past_steps(cadence)]
    shape = anomalies.shape[1:]
    columns = [neighbourhood.reshape(*shape, side**2), np.stack(past, -1), np.ones((*shape, 1))]
    return np.concatenate(columns, axis=-1, dtype=np.float64)


def _past_steps(cadence: Duration) -> tuple[int, int, int, int]:
    """One, two and three steps and 24 hours back."""
    (day,) = steps_of(np.array([DAY]), cadence)
    return -1, -2, -3, -day


def _offsets(cadence: Duration) -> tuple[int, ...]:
    return tuple(sorted({*_past_steps(cadence), 0}))


def _windows(
    read: Callable[[Times], Fields],
    init_times: Times,
    climatology: Climatology,
    steps: tuple[int, ...],
    cadence: Duration,
) -> Iterator[Floats]:
    """Anomalies (len(steps), H, W) around every initial time where none is missing."""
    shifts = np.array(steps) * cadence
    for start in range(0, init_times.size, BLOCK_TIMES):
        wanted = init_times[start : start + BLOCK_TIMES, None] + shifts
        times, positions = np.unique(wanted, return_inverse=True)
        anomalies = read(times).astype(np.float64) - climatology.at(times)
        for window in positions.reshape(wanted.shape):
            frames = anomalies[window]
            if np.isfinite(frames).all():
                yield frames
