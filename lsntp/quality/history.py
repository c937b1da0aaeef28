"""True fields around a time: those of the archive, and those accepted since."""

from bisect import bisect_left, insort
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from lsntp.grid import Floats, Grid
from lsntp.quality.alone import Field
from lsntp.times import DAY, Duration, Instant, Times

Indices = npt.NDArray[np.intp]

DAYS = 7
WINDOW = DAYS * DAY
"""Fields this far before and after a time tell what is usual at it."""
ENOUGH = 3
"""So many fields of an hour of the day make a usual field."""
_DAY_NS = int(DAY.astype(np.int64))
_TICK = np.timedelta64(1, "ns")
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

    def nearest_cells(self, grid: Grid) -> tuple[Indices, ...]:
        """Index that takes from a field (H, W) of ``self.grid`` the nearest cells of (h, w)."""
        rows = np.abs(grid.latitude[:, None] - self.grid.latitude).argmin(axis=1)
        columns = np.abs(grid.longitude[:, None] - self.grid.longitude).argmin(axis=1)
        return np.ix_(rows, columns)


@dataclass(frozen=True, eq=False)
class Usual:
    """What the fields of one hour of the day around a time look like.

    Attributes:
        fields: of that hour on the days around, each (H, W), K; one at least.
    """

    fields: tuple[Field, ...]

    @cached_property
    def mean(self) -> Floats:
        """Mean of every cell (H, W), K."""
        mean: Floats = np.stack(self.fields).mean(axis=0, dtype=np.float64)
        return mean

    @cached_property
    def low(self) -> Field:
        """The lowest value of each cell (H, W), K."""
        low: Field = np.minimum.reduce(self.fields)
        return low

    @cached_property
    def high(self) -> Field:
        """The highest value of each cell (H, W), K."""
        high: Field = np.maximum.reduce(self.fields)
        return high


class Trusted:
    """Fields known to be true, by time; accepted ones join them one after the other.

    Args:
        times: of the fields known before (n,), ascending.
        fields: kelvin (n, H, W).
    """

    def __init__(self, times: Times, fields: Field) -> None:
        self._times = [int(time) for time in times.astype("datetime64[ns]").astype(np.int64)]
        self._fields = dict(zip(self._times, fields, strict=True))
        self._usual: dict[int, Usual | None] = {}

    def add(self, time: Instant, field: Field) -> None:
        """One more field (H, W), K, at whatever time; one of the same time is replaced."""
        key = _ns(time)
        if key not in self._fields:
            insort(self._times, key)
        self._fields[key] = field
        self._usual.clear()

    def last(self, time: Instant, within: Duration) -> tuple[Instant, Field] | None:
        """The latest field of ``[time - within, time)`` with its time."""
        end = _ns(time)
        at = bisect_left(self._times, end) - 1
        if at < 0 or self._times[at] < end - _ns(within):
            return None
        return self._item(at)

    def before(self, time: Instant, within: Duration, count: int) -> list[Field]:
        """At most ``count`` fields of ``[time - within, time)``, the latest first."""
        end = _ns(time)
        last = bisect_left(self._times, end)
        first = max(bisect_left(self._times, end - _ns(within)), last - count)
        return [self._fields[key] for key in reversed(self._times[first:last])]

    def following(self, time: Instant, within: Duration) -> tuple[Instant, Field] | None:
        """The earliest field of ``(time, time + within]`` with its time."""
        start = _ns(time)
        at = bisect_left(self._times, start + 1)
        if at == len(self._times) or self._times[at] > start + _ns(within):
            return None
        return self._item(at)

    def beside(self, time: Instant) -> list[tuple[Instant, Field]]:
        """The nearest field before and the nearest after ``time``, each less than a day away."""
        near = (self.last(time, DAY - _TICK), self.following(time, DAY - _TICK))
        return [item for item in near if item is not None]

    def usual(self, time: Instant) -> Usual | None:
        """What is usual at the hour of the day of ``time`` within a week; None if too few tell.

        A field of ``time`` itself, stored earlier (a preliminary one, say), counts.
        """
        key = _ns(time)
        if len(self._usual) > KEPT:
            self._usual.clear()
        if key not in self._usual:
            self._usual[key] = self._usual_at(key)
        return self._usual[key]

    def _usual_at(self, key: int) -> Usual | None:
        moments = range(key - DAYS * _DAY_NS, key + DAYS * _DAY_NS + 1, _DAY_NS)
        found = tuple(self._fields[moment] for moment in moments if moment in self._fields)
        return Usual(found) if len(found) >= ENOUGH else None

    def _item(self, index: int) -> tuple[Instant, Field]:
        key = self._times[index]
        return np.datetime64(key, "ns"), self._fields[key]


def _ns(moment: Instant | Duration) -> int:
    return int(moment.astype(np.int64))
