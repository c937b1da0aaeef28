"""What is wrong with a field by itself: its cells, its time, its values.

Every check gives the reasons of rejection as sentences; an empty list is a sound field.
"""

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.ndimage import maximum_filter, minimum_filter

from lsntp.config import QualityConfig
from lsntp.grid import COORDINATE_TOLERANCE_DEG, Grid
from lsntp.times import Duration, Instant, Times, format_duration_h, format_time

Field = npt.NDArray[np.floating[Any]]
Mask = npt.NDArray[np.bool_]
Reasons = list[list[str]]
"""One list of reasons a field."""

CELSIUS_RANGE = (-95.0, 65.0)
"""No 2 m temperature on record lies outside, and no kelvin one inside."""
SPREAD_MAXIMUM = 15.0
"""Ensemble spreads and increments stay below this many kelvin nearly everywhere."""
CONSTANT_CELLS = 9
"""From this many cells on, equal values everywhere are a fill value, not weather."""
SHARE_CELLS = 16
"""On fewer cells, shares of equal ones are left to chance."""
COARSE_STEP_K = 0.02
"""Values in larger steps than this often are equal by rounding alone."""
ROUNDING_K = 1.5e-4
"""Values closer than this differ by the rounding of float32 alone."""
STEP_CELLS = 300_000
"""So many values, of at most 48 fields, tell in which steps they come."""


def grid_reasons(grid: Grid, expected: Grid | None) -> list[str]:
    """Another native grid: where two cuts of one grid overlap, their cells are the same.

    Args:
        grid: the cells of the fields.
        expected: those of the earlier fields; None accepts any.
    """
    if expected is None or _have_same_cells(grid, expected):
        return []
    return [f"Expected cells of the grid of the earlier fields, {expected}; found {grid}."]


def axis_reasons(time: Instant, origin: Instant, cadence: Duration) -> list[str]:
    """A time between two steps of the axis, or before it."""
    offset = time - origin
    if offset >= np.timedelta64(0, "ns") and offset % cadence == np.timedelta64(0, "ns"):
        return []
    return [
        f"Expected a time on the axis {format_time(origin)} + k * {format_duration_h(cadence)}, "
        f"found {np.datetime_as_string(time, unit='s')}Z."
    ]


def repetition_reasons(time: Instant, times: Times) -> list[str]:
    """Several sound fields for one time.

    Args:
        time: of the field.
        times: of all sound fields (n,), it included.
    """
    count = int((times == time).sum())
    if count == 1:
        return []
    return [
        f"Expected one field for {format_time(time)}, found {count} with different content; "
        "none is known to be the true one."
    ]


def value_reasons(fields: Field, grid: Grid, limits: QualityConfig) -> Reasons:
    """Faults of the values of each field, most telling first.

    Args:
        fields: kelvin (n, H, W).
        grid: the cells, to name places.
        limits: ``minimum_k`` and ``maximum_k``.
    """
    low, high = (ends(axis=(1, 2)).astype(np.float64) for ends in (fields.min, fields.max))
    # NaN compares as false, so what is not surely sound is looked at field by field.
    is_sound = (low > max(0.0, limits.minimum_k)) & (high < limits.maximum_k) & (low < high)
    return [
        [] if sound else _value_reasons(field, grid, limits)
        for field, sound in zip(fields, is_sound, strict=True)
    ]


def _value_reasons(field: Field, grid: Grid, limits: QualityConfig) -> list[str]:
    finite = np.isfinite(field)
    if not finite.all():
        return [
            *_share_reason(np.isnan(field), "NaN", grid),
            *_share_reason(np.isinf(field), "infinite", grid),
        ]
    zero = field == 0.0
    if zero.any():
        return _share_reason(zero, "exactly 0 K, which looks like a zero-filled field", grid)
    low, high = float(field.min()), float(field.max())
    if low < limits.minimum_k or high > limits.maximum_k:
        worst = field.argmin() if low < limits.minimum_k else field.argmax()
        outside = int(((field < limits.minimum_k) | (field > limits.maximum_k)).sum())
        return [
            f"Expected {limits.minimum_k:g}..{limits.maximum_k:g} K, found {low:.2f}..{high:.2f} K "
            f"with {outside} of {field.size} cells outside, the worst at "
            f"{place_of(int(worst), grid)}{_likely_mistake(low, high)}."
        ]
    if field.size >= CONSTANT_CELLS and low == high:
        return [f"Expected a field that varies, found {low:.2f} K in all {field.size} cells."]
    return []


def value_step(fields: Field) -> float:
    """The smallest distance between two different values of one field of (n, H, W), K.

    Infinite where all values are equal. Some fields spread over all of them are looked at.
    """
    count = max(1, min(len(fields), 48, STEP_CELLS // fields[0].size))
    chosen = np.linspace(0, len(fields) - 1, count).round().astype(int)
    steps = [np.diff(np.sort(fields[index], axis=None)) for index in chosen]
    return min(float(step[step > ROUNDING_K].min(initial=np.inf)) for step in steps)


def is_coarse(step_k: float) -> bool:
    """Whether values in such steps are often equal by rounding alone."""
    return step_k > COARSE_STEP_K * 1.05  # packed steps of 0.02 K are 0.0201 in float32


def filled_reasons(field: Field, grid: Grid, limits: QualityConfig) -> list[str]:
    """One and the same value in a large part, or in a patch, of a field of fine values.

    Args:
        field: finite kelvin (H, W), in steps of which :func:`is_coarse` is false.
        grid: the cells, to name places.
        limits: ``flat_cells`` and ``maximum_equal_share``.
    """
    flat = _flat_cells(field)
    if flat.sum() >= limits.flat_cells:
        return [
            f"Expected a field that varies, found a patch of one value with {int(flat.sum())} of "
            f"{field.size} cells that equal all their neighbours, the first at "
            f"{place_of(int(flat.argmax()), grid)}: {field[flat][0]:.2f} K."
        ]
    if field.size < SHARE_CELLS:
        return []
    values, counts = np.unique(field, return_counts=True)
    share = float(counts.max() / field.size)
    if share <= limits.maximum_equal_share:
        return []
    return [
        f"Expected a field that varies, found {values[counts.argmax()]:.2f} K in {counts.max()} "
        f"of {field.size} cells ({share:.0%})."
    ]


def place_of(cell: int, grid: Grid) -> str:
    """``55 N -6 E`` of a cell counted along rows."""
    row, column = np.unravel_index(cell, grid.shape)
    return f"{grid.latitude[row]:g} N {grid.longitude[column]:g} E"


def _flat_cells(field: Field) -> Mask:
    """Which cells (H, W) equal all their eight neighbours; those at the rim never do."""
    flat = np.zeros(field.shape, np.bool_)
    like_next = field[:, 1:] == field[:, :-1]
    if min(field.shape) >= 3 and (like_next[:, 1:] & like_next[:, :-1]).any():
        spread = maximum_filter(field, 3) - minimum_filter(field, 3)
        flat[1:-1, 1:-1] = spread[1:-1, 1:-1] == 0
    return flat


def _have_same_cells(grid: Grid, other: Grid) -> bool:
    slack = COORDINATE_TOLERANCE_DEG
    for a, b in ((grid.latitude, other.latitude), (grid.longitude, other.longitude)):
        low, high = max(a.min(), b.min()) - slack, min(a.max(), b.max()) + slack
        common_a, common_b = a[(a >= low) & (a <= high)], b[(b >= low) & (b <= high)]
        if common_a.size != common_b.size or not common_a.size:
            return False
        if not np.allclose(common_a, common_b, atol=slack, rtol=0):
            return False
    return True


def _share_reason(mask: Mask, what: str, grid: Grid) -> list[str]:
    if not mask.any():
        return []
    return [
        f"Expected a temperature in every cell, found {mask.sum()} of {mask.size} "
        f"({mask.mean():.0%}) {what}; the first at {place_of(int(mask.argmax()), grid)}."
    ]


def _likely_mistake(low: float, high: float) -> str:
    if not (CELSIUS_RANGE[0] <= low and high <= CELSIUS_RANGE[1]):
        return ""
    if low >= 0 and high <= SPREAD_MAXIMUM:
        return "; this looks like an ensemble spread or a difference, or like degrees Celsius"
    return "; this looks like degrees Celsius labelled as kelvin"
