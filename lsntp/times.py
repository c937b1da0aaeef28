"""UTC instants and regular time axes, as ``datetime64[ns]`` without zone."""

import datetime as dt
from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

from lsntp.errors import DomainError

Times = npt.NDArray[np.datetime64]
LeadTimes = npt.NDArray[np.timedelta64]
Instant = np.datetime64
Duration = np.timedelta64

FIRST_INSTANT = np.datetime64("1678-01-01", "us")
LAST_INSTANT = np.datetime64("2262-01-01", "us")
"""Nanoseconds in 64 bits reach no further."""
DAY = np.timedelta64(24, "h").astype("timedelta64[ns]")


def utc_now() -> Instant:
    """The system's time."""
    return np.datetime64("now", "ns")


def parse_time(value: str | dt.datetime | dt.date | np.datetime64) -> Instant:
    """The UTC instant that ``value`` names.

    Accepts ISO 8601 text (``2019-03-01``, ``2019-03-01T06``, a trailing ``Z`` or
    an offset), dates and datetimes; a value without zone is UTC.

    Raises:
        DomainError: if ``value`` is not a time, or lies outside 1678 to 2261.
    """
    instant = value if isinstance(value, np.datetime64) else _parsed(value)
    if not FIRST_INSTANT <= instant <= LAST_INSTANT:
        raise DomainError(f"Expected a time from 1678 to 2261, found {value}.")
    return np.datetime64(str(instant), "ns")


def _parsed(value: str | dt.date) -> Instant:
    try:
        moment = dt.datetime.fromisoformat(str(value))
        if moment.tzinfo is not None:
            moment = moment.astimezone(dt.UTC).replace(tzinfo=None)
    except (ValueError, OverflowError) as error:
        raise DomainError(
            f"Expected an ISO 8601 time such as 2019-03-01T06, found {value!r}."
        ) from error
    return np.datetime64(moment, "us")


def format_time(time: Instant) -> str:
    """``2019-03-01T06:00Z``, to the minute."""
    return f"{np.datetime_as_string(time, unit='m')}Z"


def hours(count: float) -> Duration:
    """``count`` hours as ``timedelta64[ns]``."""
    return np.timedelta64(round(count * 3600e9), "ns")


def in_hours(duration: Duration) -> float:
    """``duration`` as a number of hours."""
    return float(duration / np.timedelta64(1, "h"))


def format_duration_h(duration: Duration) -> str:
    """``6 h``, ``1.5 h``."""
    return f"{in_hours(duration):g} h"


@dataclass(frozen=True)
class Period:
    """A half-open span of time ``[start, end)``."""

    start: Instant
    end: Instant

    def __post_init__(self) -> None:
        """Refuse an empty or reversed span."""
        if not self.start < self.end:
            raise DomainError(f"Expected a period whose start lies before its end, found {self}.")

    @classmethod
    def parse(cls, start: str | dt.datetime, end: str | dt.datetime) -> Self:
        """The period between two ISO 8601 times; see :func:`parse_time`."""
        return cls(parse_time(start), parse_time(end))

    def __str__(self) -> str:
        """``2019-03-01T00:00Z..2019-03-22T00:00Z``; nothing after the dots for one without end."""
        end = "" if self.end >= LAST_INSTANT else format_time(self.end)
        return f"{format_time(self.start)}..{end}"

    def contains(self, times: Times) -> npt.NDArray[np.bool_]:
        """Which of ``times`` lie inside."""
        return (times >= self.start) & (times < self.end)

    def steps(self, cadence: Duration, origin: Instant) -> Times:
        """The instants ``origin + k * cadence`` that lie inside, in order."""
        first = -((origin - self.start) // cadence)
        last = -((origin - self.end) // cadence)
        return origin + np.arange(int(first), int(last)) * cadence


def slot_index(times: Times, origin: Instant, cadence: Duration) -> npt.NDArray[np.int64]:
    """The position of each time on the axis ``origin + k * cadence``.

    Raises:
        DomainError: if a time lies between two steps or before ``origin``.
    """
    offset = times - origin
    index = offset // cadence
    off_axis = times[(offset != index * cadence) | (index < 0)]
    if off_axis.size:
        raise DomainError(
            f"Expected times on the axis {format_time(origin)} + k * {format_duration_h(cadence)}, "
            f"found {format_time(off_axis[0])}; resample the input or start the archive earlier."
        )
    return index.astype(np.int64)
