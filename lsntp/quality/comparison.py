"""A field beside others of other times: standing still, upside down, displaced, out of season.

Every check gives the reasons of rejection as sentences; an empty list is a sound field. Fields
are (H, W), kelvin, on one grid; None stands for a field that is not known.
"""

import numpy as np

from lsntp.config import QualityConfig
from lsntp.grid import Grid
from lsntp.quality.alone import SHARE_CELLS, Field, place_of
from lsntp.quality.history import Usual
from lsntp.times import Instant, format_time

# A field is upside down when turning it over makes it resemble another field well (correlation
# of deviations from the mean) and much better. On boxes cut at random from hourly ERA5 and
# 6-hourly NCEP no true field comes near these thresholds from 16 rows on; on fewer, some do.
FLIP_MINIMUM_CELLS = (16, 8)
FLIPPED_LIKE_PREVIOUS = (0.7, 0.25)
"""(correlation, gain) beside the previous field."""
FLIPPED_LIKE_USUAL = (0.8, 0.8)
"""(correlation, gain) beside the usual field alone, which may not know the hour of the day."""
GRADIENT_SPAN_DEG = 30.0
REVERSED_GRADIENT_K = 20.0
"""Poleward third warmer than the equatorward one; true fields on such spans stay below 18.5."""

COARSE_UNCHANGED_SHARE = 0.98
COARSE_FROZEN_STEPS = 4
COARSE_FROZEN_SHARE = 0.1
"""Limits for values in coarse steps; see :class:`~lsntp.config.quality.QualityConfig`."""

DISPLACED_MINIMUM_CELLS = (16, 16)
DISPLACED_FLOOR_K2 = 0.3
"""A mean square difference below this is no displacement worth the name."""
DISPLACED_REST = 0.4
"""Share of the variance along rows that may be left after the move, which else only fits less
badly by chance."""
DISPLACED_AGREEMENT = 1.0
"""So many times better the usual field, too, must find the moved one."""
DISPLACED_MINIMUM_MOVE = 2
"""By one column the weather itself may move in six hours."""
WORTH_A_SEARCH = 1.2

POINT_DEG = 10.0
SMALLEST_DEPARTURE_K = 6.0


def repeated_reasons(
    field: Field, time: Instant, other: Field, *, is_coarse: bool, limits: QualityConfig
) -> list[str]:
    """The field of another time come again, in whole or in a large part.

    Args:
        field: (H, W), K.
        time: of the other field.
        other: true (H, W), K.
        is_coarse: whether values come in steps above 0.02 K, which are often equal by chance.
        limits: ``maximum_unchanged_share``; for coarse values :data:`COARSE_UNCHANGED_SHARE`
            where that is larger.
    """
    if field.size < SHARE_CELLS:
        return []
    same = np.count_nonzero(field == other)
    share = same / field.size
    limit = limits.maximum_unchanged_share
    if share <= (max(limit, COARSE_UNCHANGED_SHARE) if is_coarse else limit):
        return []
    return [
        f"Expected a field that differs from that of {format_time(time)}, found {same} of "
        f"{field.size} cells ({share:.0%}) unchanged; this looks like a repeated field."
    ]


def frozen_reasons(
    field: Field, earlier: list[Field], grid: Grid, *, is_coarse: bool, limits: QualityConfig
) -> list[str]:
    """Cells that kept their value over many steps.

    Args:
        field: (H, W), K.
        earlier: true fields before it, the latest first.
        grid: the cells, to name places.
        is_coarse: whether values come in steps above 0.02 K: four times as many steps are
            looked at, for a larger share of the cells.
        limits: ``frozen_steps`` and ``frozen_share``.
    """
    steps = limits.frozen_steps * (COARSE_FROZEN_STEPS if is_coarse else 1)
    share = max(limits.frozen_share, COARSE_FROZEN_SHARE if is_coarse else 0.0)
    if len(earlier) < steps:
        return []
    still = np.ones(field.shape, np.bool_)
    for other in earlier[:steps]:
        still &= field == other
        if np.count_nonzero(still) / still.size < share:
            return []
    return [
        f"Expected cells that change, found {still.sum()} of {still.size} ({still.mean():.0%}) "
        f"frozen for {steps} steps and more, the first at {place_of(int(still.argmax()), grid)}: "
        f"{field[still][0]:.2f} K."
    ]


def flip_reasons(field: Field, previous: Field | None, usual: Field | None) -> list[str]:
    """Upside down beside the last field, unless the usual one denies it; or beside the latter.

    Args:
        field: (H, W), K.
        previous: the true field a step before (H, W), K.
        usual: the mean at this hour of the day, or of all that is known (H, W), K.
    """
    if _is_smaller(field, FLIP_MINIMUM_CELLS):
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


def displaced_reasons(
    field: Field, previous: Field | None, usual: Field | None, grid: Grid, limits: QualityConfig
) -> list[str]:
    """Columns moved east or west: a rolled field, or another cut of longitudes.

    The field (H, W) is compared with the previous one after moving it by up to half its width,
    over the columns that remain, rows without their mean. The usual field may not deny it.
    Without a previous field the usual one decides alone.

    Args:
        field: (H, W), K.
        previous: the true field a step before (H, W), K.
        usual: the mean at this hour of the day, or of all that is known (H, W), K.
        grid: the cells, to name the distance.
        limits: ``displacement_ratio``.
    """
    if _is_smaller(field, DISPLACED_MINIMUM_CELLS):
        return []
    other = previous if previous is not None else usual
    if other is None:
        return []
    squares = _row_squares(field, other, 0)
    if squares < DISPLACED_FLOOR_K2 * field.size:
        return []
    # A true field gets worse by any move; most of the work ends here. The squares over a part
    # of the columns are at most those over all, which spares most fields the exact gains.
    half = field.shape[1] // 2
    sizes = [2**power for power in range(half.bit_length()) if 2**power <= half]
    moves = [way * size for size in sizes for way in (-1, 1)]
    if all(WORTH_A_SEARCH * _row_squares(field, other, move) > squares for move in moves):
        return []
    if max(_gain(field, other, move) for move in moves) < WORTH_A_SEARCH:
        return []
    moves = [move for move in range(-half, half + 1) if move]
    gain, move = max((_gain(field, other, move), move) for move in moves)
    if abs(move) < DISPLACED_MINIMUM_MOVE or gain < limits.displacement_ratio:
        return []
    if not _fits(field, other, move):
        return []
    if usual is not None and _gain(field, usual, move) <= DISPLACED_AGREEMENT:
        return []
    spacing = abs(float(grid.longitude[1] - grid.longitude[0]))
    way = "east" if move > 0 else "west"
    return [
        f"Expected the longitudes of the field, found one that resembles its neighbours in time "
        f"{gain:.1f} times better when moved back by {abs(move)} columns ({abs(move) * spacing:g} "
        f"degrees): it lies too far {way}."
    ]


def departure_reasons(
    field: Field, usual: Usual | None, grid: Grid, limits: QualityConfig
) -> list[str]:
    """Most cells far outside the range of the days around: another season or hemisphere.

    Args:
        field: (H, W), K.
        usual: the fields of this hour of the day around.
        grid: the cells, whose extent scales the limit.
        limits: ``maximum_departure_k``.
    """
    if usual is None:
        return []
    limit = departure_limit(grid, limits)
    # The mean lies inside the range, so nothing is farther from the range than from the mean.
    if np.abs(field - usual.mean).max() <= limit:
        return []
    excess = float(np.median(np.maximum(field - usual.high, usual.low - field)))
    if excess <= limit:
        return []
    return [
        f"Expected most cells within {limit:.1f} K of the range of the days around at this hour "
        f"of the day, found a median of {excess:.1f} K beyond it; this looks like another season, "
        "hemisphere or place."
    ]


def departure_limit(grid: Grid, limits: QualityConfig) -> float:
    """``maximum_departure_k`` for a grid, K: weather changes a large domain less than a place.

    Linear in the inverse of the extent, which for a domain much larger than a weather system of
    ten degrees is the share that one system covers along one axis.
    """
    scaled = limits.maximum_departure_k * POINT_DEG / (POINT_DEG + grid.extent_deg)
    return max(scaled, min(SMALLEST_DEPARTURE_K, limits.maximum_departure_k))


def step_reasons(
    field: Field, previous: Field | None, usual: Field | None, limits: QualityConfig
) -> list[str]:
    """A change of most cells that no weather makes: another level or another variable.

    Args:
        field: (H, W), K.
        previous: the true field a step before (H, W), K.
        usual: the mean (H, W), K, which serves where there is none before.
        limits: ``maximum_step_k``.
    """
    other = previous if previous is not None else usual
    if other is None:
        return []
    difference = np.abs(field.astype(np.float64) - other)
    if difference.max() <= limits.maximum_step_k:  # and the median all the more
        return []
    step = float(np.median(difference))
    if step <= limits.maximum_step_k:
        return []
    whom = "the previous field" if previous is not None else "the usual field"
    return [
        f"Expected most cells within {limits.maximum_step_k:g} K of {whom}, found a median "
        f"difference of {step:.1f} K."
    ]


def gradient_reasons(field: Field, grid: Grid) -> list[str]:
    """The pole far warmer than the equator: (H, W), K, on one hemisphere, 30 degrees and more."""
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


def _is_smaller(field: Field, cells: tuple[int, int]) -> bool:
    height, width = cells
    return bool(field.shape[0] < height or field.shape[1] < width)


def _correlations(field: Field, other: Field) -> tuple[float, float]:
    """Correlation of two fields' deviations from their means: as they are, and with one flipped."""
    a = field.astype(np.float64) - field.mean(dtype=np.float64)
    b = other.astype(np.float64) - other.mean(dtype=np.float64)
    scale = np.sqrt((a * a).sum() * (b * b).sum())
    if scale == 0:
        return 0.0, 0.0
    return float((a * b).sum() / scale), float((a[::-1] * b).sum() / scale)


def _gain(field: Field, other: Field, move: int) -> float:
    """Mean square difference as it is over that with the field moved back, on equal columns."""
    width = field.shape[1]
    columns = slice(move, None) if move > 0 else slice(None, width + move)
    direct = _row_difference(field[:, columns], other[:, columns], 0)
    moved = _row_difference(field, other, move)
    return 1.0 if direct < DISPLACED_FLOOR_K2 else direct / max(moved, 1e-9)


def _fits(field: Field, other: Field, move: int) -> bool:
    """Whether a field moved back is much like the other one, rows without their means."""
    width = field.shape[1]
    columns = slice(move, None) if move > 0 else slice(None, width + move)
    own = field[:, columns]
    variance = _row_difference(own, np.zeros_like(own), 0)
    return _row_difference(field, other, move) <= DISPLACED_REST * variance


def _row_difference(field: Field, other: Field, move: int) -> float:
    """Mean square of ``field(x) - other(x - move)``, each row without its mean, K^2."""
    height, width = field.shape
    return float(_row_squares(field, other, move) / (height * (width - abs(move))))


def _row_squares(field: Field, other: Field, move: int) -> float:
    """Sum of those squares, K^2."""
    width = field.shape[1]
    if move >= 0:
        difference = field[:, move:] - other[:, : width - move]
    else:
        difference = field[:, : width + move] - other[:, -move:]
    difference = difference - np.add.reduce(difference, axis=1, keepdims=True) / (width - abs(move))
    return float(np.vdot(difference, difference))
