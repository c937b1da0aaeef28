"""Statistics of the training period: what scaling, targets and the climatology are made of."""

from dataclasses import dataclass
from functools import partial
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from lsntp.errors import TrainingDataError
from lsntp.grid import Fields, Floats
from lsntp.times import LeadTimes, Period, Times, format_time, parse_time
from lsntp.training_data.blocks import (
    FieldArchive,
    block_frames,
    reduce_blocks,
    split_times,
    usable_at,
)
from lsntp.training_data.climatology import (
    SEASONAL_SPAN,
    Climatology,
    ClimatologySums,
    hours_of_day,
)

REFERENCE_K = 280.0
"""Sums are taken about this value, so that squares lose no digits."""


@dataclass(frozen=True, eq=False)
class Statistics:
    """What the training period looks like, over all its usable fields and cells.

    Attributes:
        minimum, maximum, mean, std: of the values, K.
        increment_std: (K,) of y(t + lead) - y(t) for each lead, K.
        anomaly_std: of y(t) - climatology(t), K.
        climatology: see :class:`~lsntp.training_data.climatology.Climatology`.
        period: the training period; no time outside it had any influence.
        frames_used, frames_skipped: times of the period with and without a usable field.
    """

    minimum: float
    maximum: float
    mean: float
    std: float
    increment_std: Floats
    anomaly_std: float
    climatology: Climatology
    period: Period
    frames_used: int = 0
    frames_skipped: int = 0

    def to_dict(self) -> dict[str, Any]:
        """Everything but the climatology, ready for JSON."""
        return {
            "minimum": self.minimum,
            "maximum": self.maximum,
            "mean": self.mean,
            "std": self.std,
            "increment_std": [float(value) for value in self.increment_std],
            "anomaly_std": self.anomaly_std,
            "period": [format_time(self.period.start), format_time(self.period.end)],
            "frames_used": self.frames_used,
            "frames_skipped": self.frames_skipped,
        }

    @classmethod
    def from_dict(cls, content: dict[str, Any], climatology: Climatology) -> Self:
        """The inverse of :meth:`to_dict`."""
        start, end = content["period"]
        return cls(
            **{
                **content,
                "increment_std": np.array(content["increment_std"], np.float64),
                "period": Period(parse_time(start), parse_time(end)),
                "climatology": climatology,
            }
        )


def compute_statistics(
    archive: FieldArchive, period: Period, lead_times: LeadTimes, *, frames: int | None = None
) -> Statistics:
    """The statistics of the usable fields in ``period``, in one pass, block by block.

    The climatology has a smoothed day of year when the usable fields span two years.

    Args:
        archive: what to read.
        period: the training period; nothing outside it is read.
        lead_times: (K,) multiples of the cadence.
        frames: block length; changes memory and speed, not the result.

    Raises:
        TrainingDataError: if nothing is usable, or an hour of day (or season) has no field.
    """
    times = period.steps(archive.cadence, archive.start)
    usable = times[usable_at(archive, times)]
    if not usable.size:
        raise TrainingDataError(_nothing_usable(period, times.size))
    of_block = partial(
        _sums_of_block,
        archive,
        period,
        (lead_times // archive.cadence).astype(np.int64),
        bool(usable[-1] - usable[0] + archive.cadence >= SEASONAL_SPAN),
    )
    blocks = split_times(times, frames or block_frames(archive.grid))
    sums = reduce_blocks(of_block, _merge, blocks, "statistics")
    if not sums.used:
        raise TrainingDataError(_nothing_usable(period, times.size))
    return _finish(sums, period, skipped=times.size - sums.used)


def _nothing_usable(period: Period, frames: int) -> str:
    return (
        f"Expected usable fields without NaN in the training period {period}, found none in its "
        f"{frames} times; ingest the period, move split.train, or choose a grid inside the data."
    )


@dataclass(frozen=True, eq=False)
class _Sums:
    """What adds up over blocks; values are taken about REFERENCE_K."""

    minimum: float
    maximum: float
    used: int
    moments: Floats
    """(3,): count, sum, sum of squares."""
    increments: Floats
    """(K, 3): the same for the increments of each lead."""
    climatology: ClimatologySums


def _sums_of_block(
    archive: FieldArchive,
    period: Period,
    lead_steps: npt.NDArray[np.int64],
    seasonal: bool,
    times: Times,
) -> _Sums:
    """The sums of one block; increments reach past its end, never past the period's."""
    reach = times[-1] + np.arange(1, lead_steps.max() + 1) * archive.cadence
    extended = np.concatenate([times, reach[period.contains(reach)]])
    fields = archive.read(extended) - np.float32(REFERENCE_K)
    usable = usable_at(archive, extended) & ~np.isnan(fields).any(axis=(1, 2))
    inside = np.flatnonzero(usable[: times.size])
    values = fields[inside]
    return _Sums(
        minimum=float(values.min(initial=np.inf)),
        maximum=float(values.max(initial=-np.inf)),
        used=inside.size,
        moments=_moments(values),
        increments=np.array(
            [_increment_moments(fields, usable, inside, steps) for steps in lead_steps]
        ),
        climatology=ClimatologySums.of(
            times[inside],
            values,
            hours_of_day(archive.start, archive.cadence),
            seasonal=seasonal,
        ),
    )


def _increment_moments(
    fields: Fields, usable: npt.NDArray[np.bool_], earlier: npt.NDArray[np.int64], steps: int
) -> Floats:
    """Moments of y(t + steps) - y(t) where both fields are usable."""
    earlier = earlier[earlier + steps < usable.size]
    earlier = earlier[usable[earlier + steps]]
    return _moments(fields[earlier + steps] - fields[earlier])


def _moments(values: Fields) -> Floats:
    """(count, sum, sum of squares), accumulated in float64."""
    flat = values.reshape(-1)
    squares = np.einsum("i,i->", flat, flat, dtype=np.float64)
    return np.array([flat.size, flat.sum(dtype=np.float64), squares])


def _merge(first: _Sums, second: _Sums) -> _Sums:
    return _Sums(
        minimum=min(first.minimum, second.minimum),
        maximum=max(first.maximum, second.maximum),
        used=first.used + second.used,
        moments=first.moments + second.moments,
        increments=first.increments + second.increments,
        climatology=first.climatology + second.climatology,
    )


def _finish(sums: _Sums, period: Period, *, skipped: int) -> Statistics:
    coefficients = sums.climatology.solve(period)
    count, total, squares = sums.moments
    # At the least-squares solution the fit explains c'B'y of the sum of squares.
    explained = float(np.sum(coefficients * sums.climatology.products))
    coefficients[:, 0] += REFERENCE_K
    return Statistics(
        minimum=sums.minimum + REFERENCE_K,
        maximum=sums.maximum + REFERENCE_K,
        mean=float(total / count) + REFERENCE_K,
        std=_std(sums.moments),
        increment_std=np.array([_std(moments) for moments in sums.increments]),
        anomaly_std=float(np.sqrt(max(squares - explained, 0.0) / count)),
        climatology=Climatology(coefficients.astype(np.float32), sums.climatology.hours_of_day),
        period=period,
        frames_used=sums.used,
        frames_skipped=skipped,
    )


def _std(moments: Floats) -> float:
    """The population standard deviation; NaN when nothing was counted."""
    count, total, squares = moments
    if not count:
        return float("nan")
    return float(np.sqrt(max(squares / count - (total / count) ** 2, 0.0)))
