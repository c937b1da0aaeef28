"""Paired block bootstrap over days: how sure a difference between two forecasters is."""

import math
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr, stdtrit

from lsntp.errors import EvaluationError
from lsntp.grid import Floats
from lsntp.times import Times

LEVEL: Final = 0.95
FEWEST_BLOCKS: Final = 6
"""With fewer, even a difference of one sign in all of them is chance in more than 5 % of cases
(2 · ½⁵ = 6 %): nothing can be told at the 95 % level."""
SEED: Final = 20190301
"""Fixed, so that a table printed twice is the same table."""


@dataclass(frozen=True)
class Interval:
    """An estimate with its 95 % bootstrap interval; NaN below :data:`FEWEST_BLOCKS` days."""

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

    Blocks of :func:`block_length` days (UTC, of init_time) are drawn with replacement, each with
    all its init_times and the same draw for both forecasters: what lies near in time errs
    together. The interval is the expanded percentile one of :func:`difference`.

    Args:
        model_loss: a mean loss (absolute or squared error) of each init_time (n,).
        baseline_loss: the same of the baseline, of the same init_times (n,).
        init_times: (n,).
        samples: bootstrap samples.
        seed: of the draws.

    Returns:
        1 is perfect, 0 no better, negative worse than the baseline. Equal losses are skill 0;
        NaN against a baseline without error that the model does not match.

    Raises:
        EvaluationError: if the losses are not paired, or there is none.

    References:
        Those of :func:`difference`.
    """
    model, baseline = np.asarray(model_loss, np.float64), np.asarray(baseline_loss, np.float64)
    if not model.shape == baseline.shape == init_times.shape or init_times.size == 0:
        raise EvaluationError(
            "Expected one loss per init_time for both forecasters, at least one, found "
            f"{model.size} and {baseline.size} losses and {init_times.size} init_times."
        )
    length = block_length(number_of_days(init_times))
    blocks = _block_sums(np.stack([model, baseline], axis=1), init_times, length)
    estimate = float(_skill(blocks.sum(axis=0)))
    if len(blocks) < FEWEST_BLOCKS:
        return Interval(estimate, float("nan"), float("nan"))
    resampled = _skill(day_counts(len(blocks), samples=samples, seed=seed) @ blocks)
    tail = _expanded_tail(len(blocks))
    low, high = np.quantile(resampled, [tail, 1.0 - tail])
    return Interval(estimate, float(low), float(high))


Metric = Literal["mae", "rmse"]


@dataclass(frozen=True)
class Difference:
    """The first forecaster's score minus the second's, K; negative where the first is better.

    Attributes:
        estimate: of all blocks together.
        low, high: the 95 % interval; NaN where ``blocks`` < :data:`FEWEST_BLOCKS`.
        blocks: blocks of days that hold a frame.
    """

    estimate: float
    low: float
    high: float
    blocks: int

    @property
    def is_testable(self) -> bool:
        """Whether there are blocks enough for an interval."""
        return self.blocks >= FEWEST_BLOCKS

    @property
    def is_clear(self) -> bool:
        """Whether the interval excludes 0."""
        return self.low > 0.0 or self.high < 0.0


def difference(
    first_loss: Floats,
    second_loss: Floats,
    init_times: Times,
    *,
    metric: Metric,
    samples: int,
    block_days: int = 1,
    seed: int = SEED,
) -> Difference:
    """The difference of MAE or RMSE, mean over leads, with its interval.

    Blocks of UTC days (of init_time) are drawn with replacement, each with all its frames and
    the same draw for both forecasters and all leads. Few blocks make the plain percentile
    interval too narrow; its levels are therefore moved outwards as a t interval's would be:
    to Φ(±√(n / (n − 1)) t₀.₉₇₅,ₙ₋₁) with n blocks.

    Args:
        first_loss: mean absolute error (``mae``) or mean squared error (``rmse``) of each frame
            (n, K); NaN where a frame does not take part, in both alike.
        second_loss: the same of the other forecaster.
        init_times: (n,).
        metric: ``rmse`` takes the root of the mean over frames, lead by lead.
        samples: bootstrap samples.
        block_days: days in a block; more than one where errors persist from day to day.
        seed: of the draws.

    Raises:
        EvaluationError: if the losses are not paired, or there is none.

    References:
        Hesterberg (2015), doi:10.1080/00031305.2015.1089789, sec. 5.3 (expanded percentile);
        Efron & Tibshirani 1993, ch. 13; Wilks 2011, sec. 5.3.5 (blocks).
    """
    first, second = np.asarray(first_loss, np.float64), np.asarray(second_loss, np.float64)
    takes_part = np.isfinite(first)
    if (
        first.shape != second.shape
        or first.ndim != 2
        or len(first) != init_times.size
        or not takes_part.any()
        or (takes_part != np.isfinite(second)).any()
    ):
        raise EvaluationError(
            "Expected losses (init_time, lead_time) of the same frames for both forecasters, at "
            f"least one, found shapes {first.shape} and {second.shape}, {takes_part.sum()} and "
            f"{np.isfinite(second).sum()} losses and {init_times.size} init_times."
        )
    terms = np.stack([np.where(takes_part, first, 0.0), np.where(takes_part, second, 0.0)])
    columns = np.concatenate([terms, takes_part[None].astype(np.float64)])
    blocks = _block_sums(np.moveaxis(columns, 0, 1), init_times, block_days)
    blocks = blocks[blocks[:, 2].sum(axis=1) > 0]
    leads = np.flatnonzero(blocks[:, 2].sum(axis=0) > 0)
    blocks = blocks[:, :, leads]
    estimate = float(_difference(blocks.sum(axis=0), metric))
    number = len(blocks)
    if number < FEWEST_BLOCKS:
        return Difference(estimate, float("nan"), float("nan"), number)
    drawn = day_counts(number, samples=samples, seed=seed) @ blocks.reshape(number, -1)
    resampled = _difference(drawn.reshape(samples, 3, leads.size), metric)
    tail = _expanded_tail(number)
    low, high = np.nanquantile(resampled, [tail, 1.0 - tail])
    return Difference(estimate, float(low), float(high), number)


def number_of_days(init_times: Times) -> int:
    """UTC days that hold any of ``init_times`` (n,)."""
    return int(np.unique(init_times.astype("datetime64[D]")).size)


def block_length(days: int) -> int:
    """How many days to draw together where errors persist from day to day.

    Those of two networks do: from one day to the next, differences of their daily losses are
    correlated with 0.1 to 0.6 on real data, and single days make an interval too narrow. It is
    days^⅓, rounded, as long as :data:`FEWEST_BLOCKS` blocks are left: one day below twelve days,
    three of 28.

    Args:
        days: that hold a frame.

    References:
        Hall, Horowitz & Jing (1995), doi:10.1093/biomet/82.3.561: for a variance the best length
        grows as days^⅓.
    """
    return max(1, min(round(math.cbrt(days)), days // FEWEST_BLOCKS))


def _expanded_tail(blocks: int) -> float:
    """The level of the lower end of a 95 % interval from so many blocks."""
    reach = stdtrit(blocks - 1, (1.0 + LEVEL) / 2.0) * np.sqrt(blocks / (blocks - 1))
    return float(ndtr(-reach))


def _block_sums(values: Floats, init_times: Times, block_days: int) -> Floats:
    """``values`` (n, …) summed over blocks of consecutive UTC days, counted from 1970."""
    days = init_times.astype("datetime64[D]").astype(np.int64)
    blocks = np.datetime64(0, "D") + days // block_days
    return day_sums(values, blocks)


def _difference(sums: Floats, metric: Metric) -> Floats:
    """First minus second, mean over the leads drawn, of (…, 3, K): two losses and a count."""
    count = sums[..., 2, :]
    mean = np.divide(
        sums[..., :2, :],
        count[..., None, :],
        out=np.full_like(sums[..., :2, :], np.nan),
        where=count[..., None, :] > 0,
    )
    score = np.sqrt(mean) if metric == "rmse" else mean
    by_lead: Floats = score[..., 0, :] - score[..., 1, :]
    drawn = np.isfinite(by_lead)
    total = np.where(drawn, by_lead, 0.0).sum(axis=-1)
    number = drawn.sum(axis=-1)
    result: Floats = np.where(number > 0, total / np.maximum(number, 1), np.nan)
    return result


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
