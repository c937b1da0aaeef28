"""Changes from one field to the next: too large for this place, or those of another hour."""

from collections import deque
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from lsntp.config import QualityConfig
from lsntp.grid import Floats, Grid
from lsntp.quality.alone import Field, place_of
from lsntp.quality.history import ENOUGH, WINDOW, Trusted
from lsntp.times import DAY, Duration, Instant, Times, format_time, in_hours

JUMP_FLOOR_K = 2.0
EDGE_FLOOR_K = 6.0
"""Smaller jumps are left alone, however quiet the days before were."""
ENOUGH_DAYS = 2
"""Changes of so many days tell how large they usually get."""
WRONG_HOUR_FACTOR = 3.0
"""As ``jump_factor``, where another hour of the day explains the change much better."""
WRONG_HOUR_GAIN = 4.0
"""So many times better (mean square); true fields whose change is large stay below 2."""
WRONG_HOUR_CELLS = 9
"""On fewer cells some hour always fits by chance."""
WRONG_HOUR_H = 3.0
"""Hours closer than this are not told apart."""


@dataclass(frozen=True, eq=False)
class Change:
    """The change to a field (H, W) from the last one before, less the usual one.

    Attributes:
        rest: what the hours of the day do not explain (H, W), K.
        steps: steps of the axis between the two fields.
        previous: the field before.
        previous_time: its time.
    """

    rest: Floats
    steps: int
    previous: Field
    previous_time: Instant

    @cached_property
    def size_k(self) -> float:
        """Root mean square over the cells, K."""
        return float(np.sqrt((self.rest * self.rest).mean()))

    @cached_property
    def edge_k(self) -> float:
        """Largest difference between neighbouring cells, K; 0 for a single one."""
        rows, columns = self.rest[1:] - self.rest[:-1], self.rest[:, 1:] - self.rest[:, :-1]
        return max(float(np.abs(steps).max(initial=0.0)) for steps in (rows, columns))


class Changes:
    """How large changes have been lately, one step apart.

    Args:
        cadence: distance of the time axis.
    """

    def __init__(self, cadence: Duration) -> None:
        self._cadence = cadence
        self._sizes: deque[tuple[Instant, float, float]] = deque()
        self._largest: tuple[float, float] | None = None

    def remember(self, times: Times, fields: Field) -> None:
        """Add the changes between true fields of about a week.

        Args:
            times: ascending (n,).
            fields: kelvin (n, H, W).
        """
        phase = (times - times.astype("datetime64[D]")) // self._cadence
        means = {
            step: fields[phase == step].mean(axis=0, dtype=np.float64)
            for step in np.unique(phase)
            if (phase == step).sum() >= ENOUGH
        }
        for index in np.flatnonzero(np.diff(times) == self._cadence) + 1:
            then, now = phase[index - 1], phase[index]
            if then in means and now in means:
                change = fields[index].astype(np.float64) - fields[index - 1]
                rest = change - (means[now] - means[then])
                self.add(times[index], Change(rest, 1, fields[index - 1], times[index - 1]))

    def of(self, field: Field, time: Instant, trusted: Trusted) -> Change | None:
        """The change to a field; None without a field within a day before, or usual ones.

        Args:
            field: (H, W), K.
            time: of the field.
            trusted: true fields around.
        """
        last = trusted.last(time, DAY)
        if last is None:
            return None
        previous_time, previous = last
        then, now = trusted.usual(previous_time), trusted.usual(time)
        if then is None or now is None:
            return None
        rest = (field.astype(np.float64) - previous) - (now.mean - then.mean)
        return Change(rest, int((time - previous_time) // self._cadence), previous, previous_time)

    def add(self, time: Instant, change: Change | None) -> None:
        """Remember a change between two true fields, if it is of one step."""
        if change is not None and change.steps == 1:
            self._sizes.append((time, change.size_k, change.edge_k))
            if self._largest is not None:
                size, edge = self._largest
                self._largest = max(size, change.size_k), max(edge, change.edge_k)

    def largest(self, time: Instant) -> tuple[float, float] | None:
        """Largest size and edge (K, K) of the two weeks before and the week after.

        None if changes of fewer than :data:`ENOUGH_DAYS` days are known.
        """
        start = time - 2 * WINDOW
        while self._sizes and self._sizes[0][0] < start:
            _, size, edge = self._sizes.popleft()
            if self._largest is not None and not (
                size < self._largest[0] and edge < self._largest[1]
            ):
                self._largest = None  # the largest itself may have left: look again
        if len(self._sizes) < ENOUGH_DAYS * (DAY // self._cadence):
            return None
        if self._largest is None:
            _, sizes, edges = zip(*self._sizes, strict=True)
            self._largest = max(sizes), max(edges)
        return self._largest


def change_reasons(
    change: Change | None,
    largest: tuple[float, float] | None,
    time: Instant,
    trusted: Trusted,
    grid: Grid,
    limits: QualityConfig,
    cadence: Duration,
) -> list[str]:
    """A change beyond all of the days before: a jump in time, in space, or another hour's field.

    Over a gap of n steps n times the largest single change is allowed; true fields stay below
    1.1 times.

    Args:
        change: to the field; None says nothing.
        largest: size and edge (K, K) of the days around; None says nothing.
        time: of the field.
        trusted: true fields around.
        grid: the cells, to name places.
        limits: ``jump_factor`` and ``edge_factor``.
        cadence: distance of the time axis.
    """
    if change is None or largest is None:
        return []
    size, edge = change.size_k, change.edge_k
    usual_size = largest[0] * change.steps
    if size > max(JUMP_FLOOR_K, usual_size * min(WRONG_HOUR_FACTOR, limits.jump_factor)):
        found = _wrong_hour(change, time, trusted, cadence)
        if found:
            return found
    if size > max(JUMP_FLOOR_K, usual_size * limits.jump_factor):
        return [
            f"Expected a change since {format_time(change.previous_time)} of at most "
            f"{usual_size * limits.jump_factor:.1f} K beyond the usual one at this hour of the "
            f"day, found {size:.1f} K (root mean square): a jump in time."
        ]
    if edge > max(EDGE_FLOOR_K, largest[1] * change.steps * limits.edge_factor):
        return [
            f"Expected a change since {format_time(change.previous_time)} that differs by at most "
            f"{max(EDGE_FLOOR_K, largest[1] * change.steps * limits.edge_factor):.1f} K between "
            f"neighbouring cells, found {edge:.1f} K near {_edge_place(change.rest, grid)}: a jump "
            "in space."
        ]
    return []


def _wrong_hour(change: Change, time: Instant, trusted: Trusted, cadence: Duration) -> list[str]:
    """The hour of the day whose usual field explains the change much better than the claimed."""
    now = trusted.usual(time)
    if now is None or change.rest.size < WRONG_HOUR_CELLS:
        return []
    square = float((change.rest * change.rest).mean())
    best, best_steps = square, 0
    half = int(DAY // cadence) // 2
    for steps in range(-half + 1, half + 1):
        usual = trusted.usual(time + steps * cadence)
        if usual is not None:
            rest = change.rest + (now.mean - usual.mean)
            found = float((rest * rest).mean())
            if found < best:
                best, best_steps = found, steps
    offset_h = best_steps * in_hours(cadence)
    if abs(offset_h) < WRONG_HOUR_H or square < WRONG_HOUR_GAIN * best:
        return []
    gain = square / max(best, 1e-9)
    return [
        f"Expected a field of {format_time(time)}, found one whose change since "
        f"{format_time(change.previous_time)} fits {offset_h:+g} h {gain:.3g} times better: its "
        "time looks wrong."
    ]


def _edge_place(rest: Floats, grid: Grid) -> str:
    steep = np.zeros(rest.shape)
    steep[1:] = np.abs(np.diff(rest, axis=0))
    steep[:, 1:] = np.maximum(steep[:, 1:], np.abs(np.diff(rest, axis=1)))
    return place_of(int(steep.argmax()), grid)
