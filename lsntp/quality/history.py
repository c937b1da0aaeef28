"""True fields around a time: those of the archive, and those accepted since."""

from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from lsntp.grid import Floats, Grid
from lsntp.quality.alone import Field
from lsntp.times import Duration, Instant, Times, hours

DAY = hours(24)
DAYS = 7
WINDOW = DAYS * DAY
"""Fields this far before and after a time tell what is usual at it."""
ENOUGH = 3
"""So many fields of an hour of the day make a usual field."""
_DAY_NS = int(DAY.astype(np.int64))
KEPT = 32
"""Usual fields kept at once, which bounds the memory of a long batch of bad fields."""


@dataclass(frozen=True, eq=False)
class History:
    """Stored true fields before, after and between the frames to be judged.

    Attributes:
        grid: the cells of ``fields``, the domain's.
        times: ascending (n,); :data:`WINDOW` around the frames is enough.
        fields: kelvin (n, H, W).
        onto: moves frames (k, h, w) from their own cells to ``grid``, as an ingest does; called
            for frames only that are sound by themselves.
    """

    grid: Grid
    times: Times
    fields: Field
    onto: Callable[[Field], Field]

    def nearest(self, field: Field, grid: Grid) -> Field:
        """A field (H, W) of ``self.grid`` at the nearest cells of another one (h, w)."""
        rows = np.abs(grid.latitude[:, None] - self.grid.latitude).argmin(axis=1)
        columns = np.abs(grid.longitude[:, None] - self.grid.longitude).argmin(axis=1)
        return field[np.ix_(rows, columns)]


@dataclass(frozen=True, eq=False)
class Usual:
    """What the fields of one hour of the day around a time look like.

    Attributes:
        mean: (H, W).
        low: the lowest value of each cell (H, W).
        high: the highest (H, W).
    """

    mean: Floats
    low: Field
    high: Field


class Trusted:
    """Fields known to be true, by time; accepted ones join them one after the other.

    Args:
        times: of the fields known before (n,), ascending.
        fields: kelvin (n, H, W).
        cadence: distance of the time axis.
    """

    def __init__(self, times: Times, fields: Field, cadence: Duration) -> None:
        self._cadence = cadence
        self._times = [_ns(time) for time in times]
        self._fields = list(fields)
        self._usual: dict[int, Usual | None] = {}

    def add(self, time: Instant, field: Field) -> None:
        """One more field, at whatever time; one of the same time is replaced."""
        at = bisect_left(self._times, _ns(time))
        if at < len(self._times) and self._times[at] == _ns(time):
            self._fields[at] = field
        else:
            self._times.insert(at, _ns(time))
            self._fields.insert(at, field)
        self._usual.clear()

    def previous(self, time: Instant, within: Duration) -> Field | None:
        """The latest field of ``[time - within, time)``."""
        first, last = self._span(time - within, time)
        return self._fields[last - 1] if last > first else None

    def before(self, time: Instant, within: Duration, count: int) -> list[tuple[Instant, Field]]:
        """At most ``count`` fields of ``[time - within, time)``, the latest first."""
        first, last = self._span(time - within, time)
        first = max(first, last - count)
        return [self._item(index) for index in range(last - 1, first - 1, -1)]

    def following(self, time: Instant, within: Duration) -> tuple[Instant, Field] | None:
        """The earliest field of ``(time, time + within]`` with its time."""
        first, last = self._span(time + np.timedelta64(1, "ns"), time + within + 1)
        return self._item(first) if last > first else None

    def usual(self, time: Instant) -> Usual | None:
        """What is usual at the hour of the day of ``time`` within a week; None if too few tell.

        A field of ``time`` itself, stored earlier (a preliminary one, say), counts.
        """
        key = _ns(time)
        if len(self._usual) > KEPT:
            self._usual.clear()
        if key not in self._usual:
            self._usual[key] = self._usual_at(time)
        return self._usual[key]

    def _usual_at(self, time: Instant) -> Usual | None:
        found = []
        for day in range(-DAYS, DAYS + 1):
            moment = _ns(time) + day * _DAY_NS
            at = bisect_left(self._times, moment)
            if at < len(self._times) and self._times[at] == moment:
                found.append(self._fields[at])
        if len(found) < ENOUGH:
            return None
        stack = np.stack(found)
        return Usual(stack.mean(axis=0, dtype=np.float64), stack.min(axis=0), stack.max(axis=0))

    def _span(self, start: Instant, end: Instant) -> tuple[int, int]:
        return bisect_left(self._times, _ns(start)), bisect_left(self._times, _ns(end))

    def _item(self, index: int) -> tuple[Instant, Field]:
        return np.datetime64(self._times[index], "ns"), self._fields[index]


def _ns(time: Instant) -> int:
    return int(time.astype("datetime64[ns]").astype(np.int64))
