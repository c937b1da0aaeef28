"""NCEP/NCAR Reanalysis 1: one file a year and variable, over HTTPS."""

import math
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import xarray as xr

from lsntp.config import NcepR1Source
from lsntp.errors import SourceDataError
from lsntp.grid import Grid
from lsntp.sources.base import Hole
from lsntp.sources.files import read_parts
from lsntp.sources.parts import Part
from lsntp.sources.transfer import Limits
from lsntp.sources.yearly import Answer, YearlyFiles
from lsntp.times import Duration, Instant, Period, Times, format_duration_h, format_time, hours

FIRST = np.datetime64("1948-01-01", "ns")
CADENCE = hours(6)
FOLDERS = {"air.2m.gauss": "surface_gauss", "air.sig995": "surface"}
"""Where a variable lies below a root."""

_DAY_H = 24.0
_YEAR_BYTES = 2**29
"""A global year of either variable in single precision takes a fifth of it."""


class NcepR1:
    """Analyses of NCEP/NCAR Reanalysis 1; see :class:`lsntp.sources.base.Upstream`.

    It is not revised as ERA5 is, so every analysis is final. Should a value of a stored time
    change upstream nevertheless, a warning says so and the archive keeps what it has.

    Args:
        config: the variable, where it lies, and how patient to be.
        folder: where the yearly files are kept.
        area: the domain's cells.
        origin: a time on the domain's axis.
        cadence: the step of the domain's axis.
        clock: what time it is.
    """

    name = "ncep_r1"
    is_synthetic = False

    def __init__(
        self,
        config: NcepR1Source,
        *,
        folder: Path,
        area: Grid,
        origin: Instant,
        cadence: Duration,
        clock: Callable[[], Instant],
    ) -> None:
        self.publication_latency = hours(_DAY_H * config.publication_days)
        self._variable = config.variable
        self._files = YearlyFiles(
            folder,
            self._file,
            [f"{root}/{FOLDERS[config.variable]}" for root in config.hosts],
            area=area,
            cadence=CADENCE,
            limits=Limits(
                retries=config.retries,
                pause_s=config.pause_s,
                stall_s=config.stall_s,
                deadline_s=60.0 * config.deadline_minutes,
                max_bytes=_YEAR_BYTES,
            ),
        )
        self._origin = origin
        self._cadence = cadence
        self._clock = clock
        self._holes: dict[Instant, str] = {}

    def available(self, period: Period) -> Times:
        """The times old enough to be published, and younger ones that a file on disk holds.

        Asks no host; see :meth:`lsntp.sources.base.Source.available`.
        """
        due = self._due()
        times = self._on_axis(_clipped(period, due))
        young = _clipped(period, self._clock() + CADENCE, start=due)
        if young is None:
            return times
        held = [
            year.times
            for number in _years(np.array([young.start, young.end]))
            if (year := self._files.held(number)) is not None
        ]
        extra = np.intersect1d(self._on_axis(young), np.concatenate([times[:0], *held]))
        return np.union1d(times, extra)

    def fetch(self, times: Times, area: Grid) -> list[xr.Dataset]:
        """See :meth:`lsntp.sources.base.Source.fetch`.

        A host that cannot be reached is an error only where the files on disk hold none of
        the asked times of a year.
        """
        parts: list[Part] = []
        wanted: list[Times] = []
        for year in _years(times):
            asked = times[times.astype("datetime64[Y]") == np.datetime64(str(year), "Y")]
            answer = self._files.get(year)
            held = asked if answer.held is None else asked[np.isin(asked, answer.held.times)]
            if answer.held is None or not held.size:
                held = held[:0]
                if answer.problem is not None:
                    raise answer.problem
            else:
                parts.append(answer.held.part)
                wanted.append(held)
            self._note_holes(np.setdiff1d(asked, held), answer, year)
        if not parts:
            return []
        return read_parts(parts, np.concatenate(wanted), area, source=self.name)

    def pending(self, period: Period) -> Times:
        """None: files are there or they are not."""
        return self._on_axis(period)[:0]

    def holes(self) -> list[Hole]:
        """See :meth:`lsntp.sources.base.Upstream.holes`."""
        return [Hole(time, why) for time, why in sorted(self._holes.items())]

    def _file(self, year: int) -> str:
        return f"{self._variable}.{year}.nc"

    def _due(self) -> Instant:
        """Times before this one are expected to be published."""
        return self._clock() - self.publication_latency + np.timedelta64(1, "ns")

    def _note_holes(self, lacking: Times, answer: Answer, year: int) -> None:
        """What no host has although its hour has passed; a silent host proves nothing."""
        if not answer.is_current:
            return
        name = self._file(year)
        why = f"no host has {name}"
        if answer.held is not None and answer.held.times.size:
            why = f"{name} has no such field; its last is {format_time(answer.held.times[-1])}"
        for time in lacking[lacking < self._due()]:
            self._holes[time] = why

    def _on_axis(self, period: Period | None) -> Times:
        """The reanalysis' times inside a period that are steps of the domain."""
        common_ns = math.gcd(int(self._cadence.astype(int)), int(CADENCE.astype(int)))
        if int((self._origin - FIRST).astype(int)) % common_ns:
            raise SourceDataError(
                f"Expected a domain whose steps meet 00, 06, 12 and 18 UTC, the hours of "
                f"{self.name}, found {format_time(self._origin)} + k * "
                f"{format_duration_h(self._cadence)}; correct archive.start and cadence_h."
            )
        if period is None:
            return np.array([], "datetime64[ns]")
        times = period.steps(CADENCE, FIRST)
        on_axis: Times = times[(times - self._origin) % self._cadence == np.timedelta64(0, "ns")]
        return on_axis


def _clipped(period: Period, end: Instant, *, start: Instant = FIRST) -> Period | None:
    """What of a period lies in ``[start, end)``, or None if nothing does."""
    first, last = max(period.start, start), min(period.end, end)
    return Period(first, last) if first < last else None


def _years(times: Times) -> Sequence[int]:
    """The calendar years of some times, in order."""
    return [int(year) for year in np.unique(times.astype("datetime64[Y]").astype(int) + 1970)]
