"""Accept a field, or reject it with reasons. Pure: nothing is written here.

Checks go from the certain to the comparative: a field must first have the right grid, time
and values by itself (:mod:`~lsntp.quality.alone`). Those that do are then taken in order of
time, each beside the true fields around it (:mod:`~lsntp.quality.history`): what stands still,
is upside down, displaced or out of season (:mod:`~lsntp.quality.comparison`), and what changes
as no weather does (:mod:`~lsntp.quality.change`). Since each accepted field joins the true ones,
one hour at a time is judged as a month at once. Last, the time of the daily maximum is looked at
over days (:mod:`~lsntp.quality.diurnal`).
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import xarray as xr

from lsntp.archives.quarantine import DIGEST_LENGTH, Rejection
from lsntp.config import QualityConfig
from lsntp.grid import Grid
from lsntp.names import FIELD_DIMS, LATITUDE, LONGITUDE, SOURCE_DIGEST, T2M, TIME
from lsntp.quality import alone, comparison
from lsntp.quality.alone import Field, Mask, Reasons
from lsntp.quality.change import Changes, change_reasons
from lsntp.quality.diurnal import phase_reasons
from lsntp.quality.history import WINDOW, History, Indices, Trusted
from lsntp.times import DAY, Duration, Instant, Times, format_time

__all__ = ["Assessment", "History", "Rejection", "assess"]

Vouched = Mapping[Instant, frozenset[str]]

REFERENCE_FRAMES = 48
"""A median of this many fields, spread over the batch, serves where nothing is known before."""


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
    history: History | None,
    limits: QualityConfig,
    cadence: Duration,
    origin: Instant,
    vouched: Vouched | None = None,
) -> Assessment:
    """Split canonical fields into fit and unfit ones.

    Args:
        frames: ``t2m(time, latitude, longitude)`` in kelvin with ``source_digest``; times may
            repeat. The same field twice counts once; different fields for one time, each sound
            by itself, are all rejected, since none is known to be the true one.
        expected_grid: the grid earlier fields came on, of which the frames must hold the same
            cells where both reach; None accepts any.
        history: true fields around the frames. Without it (the first ever fields) the frames
            are compared with each other only: the median of the batch serves from three
            plausible fields on, usual fields of an hour of the day from its fourth day on, and
            on domains of 30 degrees and more the gradient between pole and equator must not be
            strongly reversed. What is wrong from its first field on, and as a whole, is then
            found by the hour of its daily maximum or not at all.
        limits: plausible values, changes and likenesses.
        cadence: distance of the time axis.
        origin: first time of the axis.
        vouched: digests (or their first digits) by time of fields that a person has released:
            accepted unread, and the only true ones of their times.

    Not found, as measured on real fields: displacements by one column, and any on fewer than 16
    rows or columns; another season in the months between; the mirrored hemisphere after a gap
    of a day; times off by less than three hours, single ones in cloudy winters or over sea (one
    in four is found over the British Isles, one in two over Italy, none over North America);
    frozen patches in their first steps; repeated parts of data in steps above 0.02 K.
    """
    frames = _without_copies(frames.transpose(TIME, ...).sortby(TIME))
    values = frames[T2M].transpose(*FIELD_DIMS).to_numpy()
    times = frames[TIME].to_numpy().astype("datetime64[ns]")
    grid = Grid(frames[LATITUDE].to_numpy(), frames[LONGITUDE].to_numpy())
    is_vouched = _is_vouched(frames, vouched or {})

    of_grid = alone.grid_reasons(grid, expected_grid)
    of_values = alone.value_reasons(values, grid, limits)
    reasons: Reasons = [
        [*of_grid, *alone.axis_reasons(time, origin, cadence), *found]
        for time, found in zip(times, of_values, strict=True)
    ]
    _add_repetitions(reasons, times, is_vouched)
    is_coarse = _are_coarse(reasons, values, grid, history)
    if not is_coarse:
        _add_filled(reasons, values, grid, limits)
    judged = np.array([not found for found in reasons], np.bool_) | is_vouched
    if judged.any():
        found = _beside_others(
            times[judged],
            values[judged],
            is_vouched[judged],
            grid,
            history,
            limits,
            cadence,
            is_coarse=is_coarse,
        )
        for index, more in zip(np.flatnonzero(judged), found, strict=True):
            reasons[index].extend(more)

    unfit = np.array([bool(found) for found in reasons], np.bool_) & ~is_vouched
    return Assessment(
        accepted=frames.isel({TIME: ~unfit}),
        rejections=tuple(Rejection(times[index], tuple(reasons[index])) for index in _where(unfit)),
        rejected=frames.isel({TIME: unfit}),
    )


def _without_copies(frames: xr.Dataset) -> xr.Dataset:
    """Drop repeats of a time with the same digest."""
    times = frames[TIME].to_numpy().astype("datetime64[ns]").astype(np.int64)
    digests = frames[SOURCE_DIGEST].to_numpy()
    keys = [(time, digest.tobytes()) for time, digest in zip(times, digests, strict=True)]
    first = {key: index for index, key in reversed(list(enumerate(keys)))}
    return frames.isel({TIME: sorted(first.values())})


def _is_vouched(frames: xr.Dataset, vouched: Vouched) -> Mask:
    """Which frames (n,) a person has released."""
    if not vouched:
        return np.zeros(frames.sizes[TIME], np.bool_)
    pairs = zip(frames[TIME].to_numpy(), frames[SOURCE_DIGEST].to_numpy(), strict=True)
    return np.array(
        [
            digest.tobytes().hex()[:DIGEST_LENGTH]
            in {known[:DIGEST_LENGTH] for known in vouched.get(time, frozenset())}
            for time, digest in pairs
        ],
        np.bool_,
    )


def _add_repetitions(reasons: Reasons, times: Times, is_vouched: Mask) -> None:
    """Several sound fields for one time; beside a vouched one all others are wrong."""
    sound = times[
        [not found or is_ours for found, is_ours in zip(reasons, is_vouched, strict=True)]
    ]
    _, same_time, count = np.unique(times, return_inverse=True, return_counts=True)
    for index in np.flatnonzero((count > 1)[same_time] & ~is_vouched):
        time, found = times[index], reasons[index]
        if found:
            continue
        if time in times[is_vouched]:
            found.append(
                f"Expected the released field of {format_time(time)} to be the only one, found "
                "another."
            )
        else:
            found.extend(alone.repetition_reasons(time, sound))


def _are_coarse(reasons: Reasons, values: Field, grid: Grid, history: History | None) -> bool:
    """Whether the plausible values come in coarse steps; stored ones on the same cells help."""
    plausible = values[[not found for found in reasons]]
    if not len(plausible):
        return True
    step = alone.value_step(plausible)
    if history is not None and len(history.fields) and history.grid.matches(grid):
        step = min(step, alone.value_step(history.fields))
    return alone.is_coarse(step)


def _add_filled(reasons: Reasons, values: Field, grid: Grid, limits: QualityConfig) -> None:
    """Patches of one value."""
    for field, found in zip(values, reasons, strict=True):
        if not found:
            found.extend(alone.filled_reasons(field, grid, limits))


def _beside_others(
    times: Times,
    values: Field,
    is_vouched: Mask,
    grid: Grid,
    history: History | None,
    limits: QualityConfig,
    cadence: Duration,
    *,
    is_coarse: bool,
) -> Reasons:
    """Reasons for plausible fields, each beside the true ones around; a vouched one is true."""
    natives, nearest = values, None
    known_times, known = times[:0], values[:0]
    if history is not None:
        known_times, known = history.times, history.fields
        values, nearest, grid = history.onto(values), history.nearest_cells(grid), history.grid
    trusted = Trusted(known_times, known)
    changes = Changes(cadence)
    changes.remember(known_times, known)
    is_first = len(known) < DAY // cadence
    fallback = _batch_median(values) if is_first else known.mean(axis=0, dtype=np.float64)

    reasons: Reasons = []
    for time, original, field, is_ours in zip(times, natives, values, is_vouched, strict=True):
        change = changes.of(field, time, trusted)
        found: list[str] = []
        if not is_ours:
            # The more telling first: what is displaced also jumps, and so on.
            found = (
                _standing_still(field, time, trusted, grid, limits, is_coarse=is_coarse)
                or _upside_down(original, nearest, time, trusted, fallback, cadence)
                or _misplaced(field, time, trusted, fallback, grid, limits, cadence)
                or change_reasons(
                    change, changes.largest(time), time, trusted, grid, limits, cadence
                )
                or (comparison.gradient_reasons(field, grid) if is_first else [])
            )
        reasons.append(found)
        if not found:
            changes.add(time, change)
            trusted.add(time, field)

    good = np.array([not found for found in reasons], np.bool_) & ~is_vouched
    if good.any():
        phases = phase_reasons(values[good], times[good], grid, limits, cadence)
        for index, more in zip(_where(good), phases, strict=True):
            reasons[index].extend(more)
    return reasons


def _standing_still(
    field: Field,
    time: Instant,
    trusted: Trusted,
    grid: Grid,
    limits: QualityConfig,
    *,
    is_coarse: bool,
) -> list[str]:
    """The field of another time come again, or cells frozen for hours.

    A repeat is looked for in the nearest true field before and after, within a day, and not in
    the step before alone: of a feed that stands still the second repeat has no true field one
    step before it. True fields are the less alike the farther they are apart, so it costs
    nothing; a noiseless wave that is symmetric about the middle of two steps does repeat itself.
    """
    for moment, other in trusted.beside(time):
        found = comparison.repeated_reasons(
            field, moment, other, is_coarse=is_coarse, limits=limits
        )
        if found:
            return found
    steps = limits.frozen_steps * comparison.COARSE_FROZEN_STEPS
    earlier = trusted.before(time, WINDOW, steps)
    return comparison.frozen_reasons(field, earlier, grid, is_coarse=is_coarse, limits=limits)


def _upside_down(
    field: Field,
    nearest: tuple[Indices, ...] | None,
    time: Instant,
    trusted: Trusted,
    fallback: Field | None,
    cadence: Duration,
) -> list[str]:
    """Latitude reversed, looked at on the field's own cells: the domain may have few."""
    last, usual = trusted.last(time, cadence), trusted.usual(time)
    previous, mean = None if last is None else last[1], fallback if usual is None else usual.mean
    if nearest is not None:
        previous, mean = (None if f is None else f[nearest] for f in (previous, mean))
    return comparison.flip_reasons(field, previous, mean)


def _misplaced(
    field: Field,
    time: Instant,
    trusted: Trusted,
    fallback: Field | None,
    grid: Grid,
    limits: QualityConfig,
    cadence: Duration,
) -> list[str]:
    """Too far east or west, of another level, season or hemisphere."""
    usual = trusted.usual(time)
    mean = fallback if usual is None else usual.mean
    last = trusted.last(time, cadence)
    previous = None if last is None else last[1]
    return (
        comparison.displaced_reasons(field, previous, mean, grid, limits)
        or (comparison.displaced_reasons(field, None, usual.mean, grid, limits) if usual else [])
        or comparison.step_reasons(field, previous, mean, limits)
        or comparison.departure_reasons(field, usual, grid, limits)
    )


def _batch_median(fields: Field) -> Field | None:
    """The median of at least three fields, or None."""
    if len(fields) < 3:
        return None
    chosen = np.linspace(0, len(fields) - 1, min(len(fields), REFERENCE_FRAMES)).round()
    median: Field = np.median(fields[chosen.astype(int)], axis=0)
    return median


def _where(mask: Mask) -> list[int]:
    return [int(index) for index in np.flatnonzero(mask)]
