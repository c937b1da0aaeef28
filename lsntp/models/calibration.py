"""From a forecast to its distribution: quantiles fitted on the validation block alone.

With f the forecast, v the variance of its members (0 of a single one), x the cell, k the lead
and h the hour of day of the valid time:

    q_τ = f + s z_τ(h, k),    s² = a_k σ²(k, x) + b_k v.

σ² is the mean squared error of the cell in validation, drawn towards that of all cells as if they
were :data:`POOLED_DAYS` more days; a, b ≥ 0 are the least-squares weights of the squared error. z_τ
are the quantiles of (truth - f) / s in validation, of every hour of day by itself where it has
:data:`DAYS_BY_HOUR` days. Each half of validation is scaled by what the other half says, so that
no error takes part in its own scale. What validation shows of bias is thereby in the quantiles;
the forecast itself stays as it is.

References:
    Gneiting et al. (2005), doi:10.1175/MWR2904.1, for the variance; Vovk, Gammerman and Shafer
    (2005), Algorithmic Learning in a Random World, for quantiles of normalised errors.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy.optimize import nnls

from lsntp.errors import TrainingDataError
from lsntp.grid import Fields, Floats
from lsntp.names import QUANTILES
from lsntp.times import DAY, Times
from lsntp.training_data.climatology import slots_of

POOLED_DAYS: Final = 10.0
DAYS_BY_HOUR: Final = 20
FEWEST_DAYS: Final = 2
"""Of validation: two halves are needed."""
VARIANCE_FLOOR_K2: Final = 1e-6
"""So that a perfect forecast can be divided by."""


@dataclass(frozen=True, eq=False)
class Calibration:
    """What turns forecasts into quantiles.

    Attributes:
        cell_variance: σ² (K, H, W) float32, K².
        weights: a and b (K, 2) float32.
        scores: z (S, K, Q) float32, ascending along Q.
        hours_of_day: (S,) of the valid time, ascending, UTC.
    """

    cell_variance: Fields
    weights: Fields
    scores: Fields
    hours_of_day: Floats

    def quantiles(self, forecast: Fields, variance: Fields, valid_times: Times) -> Fields:
        """The quantiles (n, Q, K, H, W), K, of :data:`~lsntp.names.QUANTILES`.

        Args:
            forecast: (n, K, H, W), K.
            variance: of the members (n, K, H, W), K².
            valid_times: (n, K).

        Raises:
            DomainError: if a time is at an hour of day other than :attr:`hours_of_day`. One that
                validation had on few days, or never, has the scores of all hours.
        """
        scale = np.sqrt(_variance(self.cell_variance, self.weights, variance))
        slots = slots_of(valid_times.ravel(), self.hours_of_day).reshape(valid_times.shape)
        leads = np.arange(valid_times.shape[1])
        scores = np.moveaxis(self.scores[slots, leads], 2, 1)[..., None, None]  # (n, Q, K, 1, 1)
        return np.asarray(forecast[:, None] + scale[:, None] * scores, np.float32)


def fit_calibration(
    forecast: Fields, variance: Fields, truth: Fields, valid_times: Times, hours_of_day: Floats
) -> Calibration:
    """The calibration that validation asks for.

    Args:
        forecast: (n, K, H, W), K, by ascending initial time.
        variance: of the members, likewise, K².
        truth: likewise, K.
        valid_times: (n, K).
        hours_of_day: (S,) of all valid times there may be, ascending.

    Raises:
        TrainingDataError: if the forecasts are of fewer than two days.
    """
    days = valid_times[:, 0].astype("datetime64[D]")
    check_days(valid_times[:, 0])
    slots = slots_of(valid_times.ravel(), hours_of_day).reshape(valid_times.shape)
    first = np.arange(days.size) < days.size // 2
    leads = range(valid_times.shape[1])
    cells, weights, scores = [], [], []
    for lead in leads:
        error = np.asarray(truth[:, lead], np.float64) - forecast[:, lead]
        spread = np.asarray(variance[:, lead], np.float64)
        normalised = np.empty_like(error)
        for part in (first, ~first):
            cell, weight = _fit_variance(error[~part], spread[~part], days[~part])
            normalised[part] = error[part] / np.sqrt(_variance(cell, weight, spread[part]))
        scores.append(_scores(normalised, slots[:, lead], days, hours_of_day.size))
        cell, weight = _fit_variance(error, spread, days)
        cells.append(cell)
        weights.append(weight)
    return Calibration(
        np.stack(cells).astype(np.float32),
        np.stack(weights).astype(np.float32),
        np.stack(scores, axis=1).astype(np.float32),
        hours_of_day,
    )


def check_days(init_times: Times) -> None:
    """Refuse a validation block from which no quantile can be had.

    Raises:
        TrainingDataError: saying how many days there are.
    """
    span = init_times[-1] - init_times[0] if init_times.size else np.timedelta64(0, "ns")
    if init_times.size < FEWEST_DAYS or span < (FEWEST_DAYS - 1) * DAY:
        raise TrainingDataError(
            f"Expected forecasts over at least {FEWEST_DAYS} days of validation to calibrate "
            f"quantiles on, found {init_times.size} within {span / DAY:.1f} days; lengthen "
            "split.validation, or set quantiles: false."
        )


def _variance(cell: Floats | Fields, weights: Floats | Fields, spread: Floats | Fields) -> Floats:
    """s² (n, …) of σ² (…), a and b (…, 2), and v (n, …); never below the floor."""
    own, shared = (weights[..., part, None, None] for part in (0, 1))
    return np.asarray(np.maximum(own * cell + shared * spread, VARIANCE_FLOOR_K2))


def _fit_variance(error: Floats, spread: Floats, days: Times) -> tuple[Floats, Floats]:
    """σ² (H, W), and a, b (2,), of errors and spread (n, H, W) of one lead."""
    count = np.unique(days).size
    square = error**2
    cell = (count * square.mean(axis=0) + POOLED_DAYS * square.mean()) / (count + POOLED_DAYS)
    cell = np.maximum(cell, VARIANCE_FLOOR_K2)
    # Relative to σ²: a cell of large errors counts no more than others.
    known = np.stack([np.ones(spread.size), (spread / cell).ravel()])
    wanted = (square / cell).ravel()
    weights, _ = nnls(known @ known.T / wanted.size, known @ wanted / wanted.size)
    return cell, np.asarray(weights if weights.any() else [1.0, 0.0])


def _scores(normalised: Floats, slots: npt.NDArray[np.int64], days: Times, hours: int) -> Floats:
    """The quantiles z (S, Q) of normalised errors (n, H, W)."""
    scores = np.tile(np.quantile(normalised, QUANTILES), (hours, 1))
    for hour in range(hours):
        here = slots == hour
        if np.unique(days[here]).size >= DAYS_BY_HOUR:
            scores[hour] = np.quantile(normalised[here], QUANTILES)
    return scores
