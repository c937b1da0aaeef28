"""The time of the daily maximum over a batch: a whole file in local time, or hours off."""

import numpy as np
import numpy.typing as npt

from lsntp.config import QualityConfig
from lsntp.grid import Floats, Grid
from lsntp.quality.alone import Field
from lsntp.times import DAY, Duration, Times

DAYS = 3
"""Over so many days fronts and clouds no longer hide the sun."""
MAXIMUM_H = 14.5
"""Local solar time of the maximum of the first harmonic: medians of true fields 13.4 to 15.7 h."""
MINIMUM_CELLS = 9
MINIMUM_AMPLITUDE_K = 2.0
MINIMUM_COHERENCE = 0.7
"""Share of the amplitude in which the cells agree about the hour."""
MINIMUM_STEPS_PER_DAY = 4


def phase_reasons(
    fields: Field, times: Times, grid: Grid, limits: QualityConfig, cadence: Duration
) -> list[list[str]]:
    """Reasons for each field (n, H, W) of a batch, by three-day windows that move by a day.

    A field is rejected where more of the windows it lies in are implausible than plausible;
    windows without a clear daily cycle say nothing, nor do batches of less than three days.

    Args:
        fields: kelvin, plausible ones only.
        times: ascending, UTC; gaps are allowed within a window up to a fifth of it.
        grid: the cells.
        limits: how far the maximum may lie from early afternoon.
        cadence: distance of the time axis.
    """
    reasons: list[list[str]] = [[] for _ in times]
    per_day = int(DAY // cadence)
    if grid.latitude.size * grid.longitude.size < MINIMUM_CELLS or not times.size:
        return reasons
    if per_day < MINIMUM_STEPS_PER_DAY or times[-1] - times[0] < DAYS * DAY - cadence:
        return reasons
    votes = np.zeros(times.size, int)
    worst: list[float] = [MAXIMUM_H] * times.size
    starts = np.arange(times[0], times[-1] - DAYS * DAY + 2 * cadence, DAY)
    for start in np.append(starts, times[-1] - DAYS * DAY + cadence):
        inside = (times >= start) & (times < start + DAYS * DAY)
        if inside.sum() < 0.8 * DAYS * per_day:
            continue
        hour = daily_maximum_h(fields[inside], times[inside], grid)
        if hour is None:
            continue
        is_off = abs(hours_apart(hour, MAXIMUM_H)) > limits.maximum_phase_h
        votes[inside] += 1 if is_off else -1
        if is_off:
            worst = [hour if there else was for there, was in zip(inside, worst, strict=True)]
    for index in np.flatnonzero(votes > 0):
        reasons[index].append(
            f"Expected the daily maximum within {limits.maximum_phase_h:g} h of {MAXIMUM_H:g} h "
            f"local solar time, found it at {worst[index]:.1f} h over three days around: the "
            f"times look {hours_apart(worst[index], MAXIMUM_H):+.0f} h off (local time instead of "
            "UTC?)."
        )
    return reasons


def daily_maximum_h(fields: Field, times: Times, grid: Grid) -> float | None:
    """Local solar hour of the daily maximum, weighted by each cell's amplitude; None if unclear.

    A straight line and the first harmonic of the day are fitted to every cell by least squares.
    Clear means: amplitude (root mean square over cells) of 2 K and more, more than what the fit
    leaves, and cells that agree about the hour.

    Args:
        fields: kelvin (n, H, W).
        times: ascending (n,), UTC, over whole days.
        grid: the cells, whose longitudes give local solar time.
    """
    hour = (times - times[0].astype("datetime64[D]")) / np.timedelta64(1, "h")
    angle = 2 * np.pi * hour / 24
    basis = np.stack([np.ones(hour.size), hour / 24 - 1.5, np.cos(angle), np.sin(angle)], axis=1)
    flat = fields.reshape(len(fields), -1).astype(np.float64)
    fit, *_ = np.linalg.lstsq(basis, flat, rcond=None)
    rest = float(np.sqrt(((flat - basis @ fit) ** 2).mean()))
    local = np.exp(2j * np.pi * np.tile(grid.longitude, grid.latitude.size) / 360)
    harmonic: npt.NDArray[np.complex128] = (fit[2] + 1j * fit[3]) * local
    size: Floats = np.abs(harmonic)
    amplitude = float(np.sqrt((size**2).mean()))
    if amplitude < MINIMUM_AMPLITUDE_K or amplitude < rest:
        return None
    mean = (harmonic * size).sum() / (size**2).sum()
    if abs(mean) < MINIMUM_COHERENCE:
        return None
    return float(np.angle(mean) / (2 * np.pi) * 24 % 24)


def hours_apart(hour: float, other: float) -> float:
    """From ``other`` to ``hour`` around the clock, -12 to 12."""
    return (hour - other + 12.0) % 24.0 - 12.0
