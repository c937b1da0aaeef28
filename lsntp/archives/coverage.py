"""What an analysis archive holds of a period: the work list of every run."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from lsntp.archives.analysis import AnalysisArchive
from lsntp.names import Status
from lsntp.times import Duration, Instant, Period, Times, format_time


@dataclass(frozen=True)
class Run:
    """Consecutive hours of one status, half-open ``[start, end)``."""

    start: Instant
    end: Instant
    status: Status


@dataclass(frozen=True)
class Coverage:
    """The status of every hour that is expected in a period.

    Attributes:
        times: the expected hours (n,), regular.
        status: their :class:`~lsntp.names.Status` codes (n,).
        cadence: time between two hours.
    """

    times: Times
    status: npt.NDArray[np.int8]
    cadence: Duration

    @property
    def counts(self) -> dict[Status, int]:
        """How many hours have each status."""
        return {status: int((self.status == status).sum()) for status in Status}

    @property
    def usable(self) -> Times:
        """Hours that hold a true field."""
        usable: Times = self.times[self._is_usable()]
        return usable

    @property
    def without_field(self) -> Times:
        """Hours that hold none."""
        empty: Times = self.times[~self._is_usable()]
        return empty

    @property
    def is_complete(self) -> bool:
        """Whether every hour holds a true field."""
        return bool(self._is_usable().all())

    def runs(self) -> list[Run]:
        """Spans of equal status, in order."""
        if not self.times.size:
            return []
        bounds = np.flatnonzero(np.diff(self.status)) + 1
        firsts = [0, *bounds.tolist()]
        lasts = [*(bounds - 1).tolist(), self.times.size - 1]
        return [
            Run(self.times[first], self.times[last] + self.cadence, Status(self.status[first]))
            for first, last in zip(firsts, lasts, strict=True)
        ]

    def summary(self) -> dict[str, Any]:
        """Counts and the spans that are not usable, ready for JSON."""
        runs = self.runs()
        return {
            "start": format_time(runs[0].start) if runs else None,
            "end": format_time(runs[-1].end) if runs else None,
            "expected": int(self.times.size),
            "usable": int(self._is_usable().sum()),
            **{status.name.lower(): count for status, count in self.counts.items()},
            "gaps": [
                {
                    "start": format_time(run.start),
                    "end": format_time(run.end),
                    "status": run.status.name.lower(),
                }
                for run in runs
                if not run.status.is_usable
            ],
        }

    def _is_usable(self) -> npt.NDArray[np.bool_]:
        return np.isin(self.status, [status for status in Status if status.is_usable])


def coverage(
    archive: AnalysisArchive | None, start: Instant, cadence: Duration, period: Period
) -> Coverage:
    """The coverage of ``period`` from ``start`` on; all missing where there is no archive yet.

    Args:
        archive: the archive, or None before its first publish.
        start: the archive's first hour; earlier ones are not expected.
        cadence: time between two hours.
        period: the span to look at.
    """
    times = period.steps(cadence, start)
    times = times[times >= start]
    if archive is None:
        return Coverage(times, np.full(times.size, Status.MISSING, np.int8), cadence)
    return Coverage(times, archive.status_at(times), cadence)
