"""Paired block bootstrap over days: how sure a difference between two forecasters is."""

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from lsntp.errors import EvaluationError
from lsntp.grid import Floats
from lsntp.times import Times

LEVEL: Final = 0.95
SEED: Final = 20190301
"""Fixed, so that a table printed twice is the same table."""


@dataclass(frozen=True)
class Interval:
    """An estimate with its 95 % bootstrap interval; NaN bounds where fewer than two days."""

    estimate: float
    low: float
    high: float

    @property
    def is_above_zero(self) -> bool:
        """Whether the whole interval is positive."""
        return self.low > 0.0

    @property
    def is_below_zero(self) -> bool:
        """Whether the whole interval is negative."""
        return self.high < 0.0


def skill(
    model_loss: npt.ArrayLike,
    baseline_loss: npt.ArrayLike,
    init_times: Times,
    *,
    samples: int,
    seed: int = SEED,
) -> Interval:
    """Skill 1 − Σ model_loss / Σ baseline_loss, with its interval.

    Days (UTC, of init_time) are drawn with replacement, each with all its init_times and the
    same draw for both forecasters: neighbouring hours err together, so the day is the unit.

    Args:
        model_loss: a mean loss (absolute or squared error) of each init_time (n,).
        baseline_loss: the same of the baseline, of the same init_times (n,).
        init_times: (n,).
        samples: bootstrap samples.
        seed: of the draws.

    Returns:
        1 is perfect, 0 no better, negative worse than the baseline. Equal losses are skill 0;
        NaN against a baseline without error that the model does not match.

    References:
        Efron & Tibshirani 1993, ch. 13 (percentile interval); Wilks 2011, sec. 5.3.5 (blocks).
    """
    model, baseline = np.asarray(model_loss, np.float64), np.asarray(baseline_loss, np.float64)
    if not model.shape == baseline.shape == init_times.shape or init_times.size == 0:
        raise EvaluationError(
            "Expected one loss per init_time for both forecasters, at least one, found "
            f"{model.size} and {baseline.size} losses and {init_times.size} init_times."
        )
    daily = day_sums(np.stack([model, baseline], axis=1), init_times)
    estimate = float(_skill(daily.sum(axis=0)))
    if len(daily) < 2:
        return Interval(estimate, float("nan"), float("nan"))
    resampled = _skill(day_counts(len(daily), samples=samples, seed=seed) @ daily)
    tail = (1.0 - LEVEL) / 2.0
    low, high = np.quantile(resampled, [tail, 1.0 - tail])
    return Interval(estimate, float(low), float(high))


def day_sums(values: Floats, init_times: Times) -> Floats:
    """``values`` (n, …) summed over the init_times of each UTC day: (days, …)."""
    days, day_of = np.unique(init_times.astype("datetime64[D]"), return_inverse=True)
    sums = np.zeros((days.size, *values.shape[1:]))
    np.add.at(sums, day_of, values)
    return sums


def day_counts(days: int, *, samples: int, seed: int) -> Floats:
    """How often each day is drawn in each sample: (samples, days), rows summing to ``days``."""
    generator = np.random.default_rng(seed)
    return generator.multinomial(days, np.full(days, 1.0 / days), size=samples).astype(np.float64)


def _skill(sums: Floats) -> Floats:
    """1 − model / baseline of (…, 2) sums; 0 where equal."""
    model, baseline = sums[..., 0], sums[..., 1]
    ratio = np.divide(model, baseline, out=np.full_like(model, np.nan), where=baseline > 0)
    score: Floats = 1.0 - np.where(model == baseline, 1.0, ratio)
    return score
