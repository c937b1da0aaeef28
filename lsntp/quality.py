"""Accept a field, or reject it with reasons. Pure: nothing is written here.

Checks go from the certain to the comparative: a field must first have the right grid,
time and values by itself; only then is it compared with its neighbours in time, for what
no single field can show (upside down, another level).
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from lsntp.archives.quarantine import Rejection
from lsntp.config import QualityConfig
from lsntp.grid import COORDINATE_TOLERANCE_DEG, Floats, Grid
from lsntp.names import FIELD_DIMS, LATITUDE, LONGITUDE, SOURCE_DIGEST, T2M, TIME
from lsntp.times import Duration, Instant, Times, format_duration_h, format_time

__all__ = ["Assessment", "Rejection", "assess"]

Field = npt.NDArray[np.floating[Any]]

CELSIUS_RANGE = (-95.0, 65.0)
"""No 2 m temperature on record lies outside, and no kelvin one inside."""
SPREAD_MAXIMUM = 15.0
"""Ensemble spreads and increments stay below this many kelvin nearly everywhere."""
CONSTANT_CELLS = 9
"""From this many cells on, equal values everywhere are a fill value, not weather."""

# A field is upside down when turning it over makes it resemble another field well (correlation
# of deviations from the mean) and much better. On boxes cut at random from hourly ERA5 and
# 6-hourly NCEP no true field comes near these thresholds from 16 rows on; on fewer, some do.
FLIP_MINIMUM_CELLS = (16, 8)
FLIPPED_LIKE_PREVIOUS = (0.7, 0.25)
"""(correlation, gain) beside the previous field."""
FLIPPED_LIKE_USUAL = (0.8, 0.8)
"""(correlation, gain) beside the reference alone, which does not know the hour of the day."""
GRADIENT_SPAN_DEG = 30.0
REVERSED_GRADIENT_K = 20.0
"""Poleward third warmer than the equatorward one; true fields on such spans stay below 18.5."""

REFERENCE_FRAMES = 48
"""A median of this many fields, spread over the batch, serves as its reference."""


@dataclass(frozen=True)
class Assessment:
    """What :func:`assess` found.

    Attributes:
        accepted: fields fit for use, by time, every time once.
        rejections: one a rejected field, by time.
        rejected: the rejected fields, in the order of ``rejections``.
    """

    accepted: xr.Dataset
    rejections: tuple[Rejection, ...]
    rejected: xr.Dataset


def assess(
    frames: xr.Dataset,
    *,
    expected_grid: Grid | None,
    reference: Floats | None,
    limits: QualityConfig,
    cadence: Duration,
    origin: Instant,
) -> Assessment:
    """Split canonical fields into fit and unfit ones.

    Args:
        frames: ``t2m(time, latitude, longitude)`` in kelvin with ``source_digest``; times may
            repeat. The same field twice counts once; different fields for one time, each sound
            by itself, are all rejected, since none is known to be the true one.
        expected_grid: the grid earlier fields came on, of which the frames must hold the same
            cells where both reach; None accepts any.
        reference: a mean of recent true fields (H, W) on the frames' grid. Without it the
            median of the batch serves, from three plausible fields on, and on domains of
            30 degrees and more the gradient between pole and equator must not be strongly
            reversed. A small domain that comes upside down from its first field on is not found.
        limits: plausible values and steps.
        cadence: distance of the time axis.
        origin: first time of the axis.
    """
    frames = _without_copies(frames.transpose(TIME, ...).sortby(TIME))
    values = frames[T2M].transpose(*FIELD_DIMS).to_numpy()
    times = frames[TIME].to_numpy()
    grid = Grid(frames[LATITUDE].to_numpy(), frames[LONGITUDE].to_numpy())

    reasons = [
        [
            *_grid_reasons(grid, expected_grid),
            *_axis_reasons(time, origin, cadence),
            *_value_reasons(field, grid, limits),
        ]
        for time, field in zip(times, values, strict=True)
    ]
    sound = times[[not found for found in reasons]]
    for time, found in zip(times, reasons, strict=True):
        if not found:
            found.extend(_repetition_reasons(time, sound))
    plausible = np.array([not found for found in reasons], bool)
    _add_comparative_reasons(reasons, times, values, grid, plausible, reference, limits, cadence)

    unfit = np.array([bool(found) for found in reasons], bool)
    return Assessment(
        accepted=frames.isel({TIME: ~unfit}),
        rejections=tuple(
            Rejection(time, tuple(found))
            for time, found in zip(times, reasons, strict=True)
            if found
        ),
        rejected=frames.isel({TIME: unfit}),
    )


def _without_copies(frames: xr.Dataset) -> xr.Dataset:
    """Drop repeats of a time with the same digest."""
    times = frames[TIME].to_numpy().astype("datetime64[ns]").astype(np.int64)
    digests = frames[SOURCE_DIGEST].to_numpy()
    keys = [(time, digest.tobytes()) for time, digest in zip(times, digests, strict=True)]
    first = {key: index for index, key in reversed(list(enumerate(keys)))}
    return frames.isel({TIME: sorted(first.values())})


# --- one field by itself ---------------------------------------------------------------------


def _grid_reasons(grid: Grid, expected: Grid | None) -> list[str]:
    """Files may be cut wider or narrower than before; the cells in common must be the same."""
    if expected is None or _have_same_cells(grid, expected):
        return []
    return [f"Expected cells of the grid of the earlier fields, {expected}; found {grid}."]


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


def _axis_reasons(time: Instant, origin: Instant, cadence: Duration) -> list[str]:
    offset = time - origin
    if offset >= np.timedelta64(0) and offset % cadence == np.timedelta64(0):
        return []
    return [
        f"Expected a time on the axis {format_time(origin)} + k * {format_duration_h(cadence)}, "
        f"found {np.datetime_as_string(time, unit='s')}Z."
    ]


def _repetition_reasons(time: Instant, times: Times) -> list[str]:
    count = int((times == time).sum())
    if count == 1:
        return []
    return [
        f"Expected one field for {format_time(time)}, found {count} with different content; "
        "none is known to be the true one."
    ]


def _value_reasons(field: Field, grid: Grid, limits: QualityConfig) -> list[str]:
    """Faults of the values, most telling first."""
    finite = np.isfinite(field)
    if not finite.all():
        return [*_share_reason(np.isnan(field), "NaN", grid), *_infinity(field, grid)]
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
            f"{_place(int(worst), grid)}{_likely_mistake(low, high)}."
        ]
    if field.size >= CONSTANT_CELLS and low == high:
        return [f"Expected a field that varies, found {low:.2f} K in all {field.size} cells."]
    return []


def _share_reason(mask: npt.NDArray[np.bool_], what: str, grid: Grid) -> list[str]:
    if not mask.any():
        return []
    return [
        f"Expected a temperature in every cell, found {mask.sum()} of {mask.size} "
        f"({mask.mean():.0%}) {what}; the first at {_place(int(mask.argmax()), grid)}."
    ]


def _infinity(field: Field, grid: Grid) -> list[str]:
    return _share_reason(np.isinf(field), "infinite", grid)


def _likely_mistake(low: float, high: float) -> str:
    if not (CELSIUS_RANGE[0] <= low and high <= CELSIUS_RANGE[1]):
        return ""
    if low >= 0 and high <= SPREAD_MAXIMUM:
        return "; this looks like an ensemble spread or a difference, or like degrees Celsius"
    return "; this looks like degrees Celsius labelled as kelvin"


def _place(cell: int, grid: Grid) -> str:
    row, column = np.unravel_index(cell, grid.shape)
    return f"{grid.latitude[row]:g} N {grid.longitude[column]:g} E"


# --- a field beside others -------------------------------------------------------------------


def _add_comparative_reasons(
    reasons: list[list[str]],
    times: Times,
    values: Field,
    grid: Grid,
    plausible: npt.NDArray[np.bool_],
    reference: Floats | None,
    limits: QualityConfig,
    cadence: Duration,
) -> None:
    """Compare plausible fields, in order of time, with the last accepted one and the reference."""
    usual = reference if reference is not None else _batch_median(values[plausible])
    last: int | None = None
    for index in np.flatnonzero(plausible):
        field = values[index]
        is_next = last is not None and times[index] - times[last] <= cadence
        previous = values[last] if is_next else None
        found = [
            *_flip_reasons(field, previous, usual),
            *_step_reasons(field, previous, usual, limits),
        ]
        if reference is None and not found:
            found = _gradient_reasons(field, grid)
        reasons[index].extend(found)
        if not found:
            last = int(index)


def _batch_median(fields: Field) -> Field | None:
    """The median of at least three fields, or None."""
    if len(fields) < 3:
        return None
    chosen = np.linspace(0, len(fields) - 1, min(len(fields), REFERENCE_FRAMES)).round()
    median: Field = np.median(fields[chosen.astype(int)], axis=0)
    return median


def _flip_reasons(field: Field, previous: Field | None, usual: Field | None) -> list[str]:
    """Upside down beside the last field, unless the reference denies it; or beside the latter."""
    if np.any(np.less(field.shape, FLIP_MINIMUM_CELLS)):
        return []
    direct, flipped = (0.0, 0.0) if usual is None else _correlations(field, usual)
    likeness, gain = FLIPPED_LIKE_USUAL
    if previous is not None and flipped >= direct:
        direct, flipped = _correlations(field, previous)
        likeness, gain = FLIPPED_LIKE_PREVIOUS
    if flipped < likeness or flipped - direct < gain:
        return []
    return [
        "Expected latitude from north to south, found a field that resembles its neighbours in "
        f"time better upside down (correlation {flipped:.2f}) than as it is ({direct:.2f})."
    ]


def _correlations(field: Field, other: Field) -> tuple[float, float]:
    """Correlation of two fields' deviations from their means: as they are, and with one flipped."""
    a = field.astype(np.float64) - field.mean(dtype=np.float64)
    b = other.astype(np.float64) - other.mean(dtype=np.float64)
    scale = np.sqrt((a * a).sum() * (b * b).sum())
    if scale == 0:
        return 0.0, 0.0
    return float((a * b).sum() / scale), float((a[::-1] * b).sum() / scale)


def _step_reasons(
    field: Field, previous: Field | None, usual: Field | None, limits: QualityConfig
) -> list[str]:
    """A change of most cells that no weather makes: another level or another variable."""
    other = previous if previous is not None else usual
    if other is None:
        return []
    step = float(np.median(np.abs(field.astype(np.float64) - other)))
    if step <= limits.maximum_step_k:
        return []
    whom = "the previous field" if previous is not None else "the usual field"
    return [
        f"Expected most cells within {limits.maximum_step_k:g} K of {whom}, found a median "
        f"difference of {step:.1f} K."
    ]


def _gradient_reasons(field: Field, grid: Grid) -> list[str]:
    """The pole far warmer than the equator, for domains on one hemisphere."""
    latitude = grid.latitude
    rows = latitude.size // 3
    spans = latitude[0] - latitude[-1]
    if rows == 0 or spans < GRADIENT_SPAN_DEG or latitude[0] * latitude[-1] < 0:
        return []
    north, south = float(field[:rows].mean()), float(field[-rows:].mean())
    poleward, equatorward = (north, south) if latitude[0] > 0 else (south, north)
    if poleward - equatorward <= REVERSED_GRADIENT_K:
        return []
    return [
        f"Expected colder rows towards the pole, found {poleward:.1f} K in the poleward third and "
        f"{equatorward:.1f} K in the equatorward one; latitude looks reversed."
    ]
