"""The status of every time of the analysis archive as a compact calendar: a column a day."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from lsntp.archives.coverage import Coverage
from lsntp.names import Status
from lsntp.report.maps import Tick, png_uri
from lsntp.times import Instant, Period, format_time, in_hours

MAX_GAPS = 20
_DAY = np.timedelta64(1, "D")
_COLOURS = {
    Status.FINAL: (47, 126, 163, 255),
    Status.PRELIMINARY: (140, 197, 222, 255),
    Status.QUARANTINED: (213, 94, 0, 255),
    Status.UPSTREAM_HOLE: (154, 160, 166, 255),
}
_LABELS = {
    Status.FINAL: "final",
    Status.PRELIMINARY: "preliminary",
    Status.QUARANTINED: "quarantined",
    Status.UPSTREAM_HOLE: "not published upstream",
    Status.MISSING: "missing",
}


@dataclass(frozen=True)
class Part:
    """A labelled span below a strip, in percent of the page's width."""

    left: float
    width: float
    label: str


@dataclass(frozen=True)
class Strip:
    """A picture of up to a year: columns are days, rows the times of a day from midnight down."""

    image: str
    alt: str
    width: float
    height: int
    ticks: list[Tick]
    parts: list[Part]


@dataclass(frozen=True)
class Count:
    """How many times have one status."""

    key: str
    label: str
    count: int
    share: str


@dataclass(frozen=True)
class Calendar:
    """The archive's coverage, drawn and in words."""

    sentence: str
    strips: list[Strip]
    counts: list[Count]
    gaps: list[str]


def calendar(coverage: Coverage, blocks: Mapping[str, Period]) -> Calendar:
    """The calendar of an archive, with the periods it is split into.

    Args:
        coverage: of the whole archive.
        blocks: name to period.
    """
    times = coverage.times
    counts = [
        Count(
            code.name.lower(),
            label,
            coverage.counts[code],
            f"{100 * coverage.counts[code] / times.size:.1f} %",
        )
        for code, label in _LABELS.items()
        if coverage.counts[code]
    ]
    sentence = (
        f"{coverage.usable.size} of {times.size} times between {format_time(times[0])} and "
        f"{format_time(times[-1])} hold a usable field. A column is a day, midnight at the top."
    )
    years = times.astype("datetime64[Y]")
    is_short = times[-1] - times[0] < 400 * _DAY
    spans = [np.ones(times.size, bool)] if is_short else [years == y for y in np.unique(years)]
    strips = [
        _strip(
            Coverage(times[chosen], coverage.status[chosen], coverage.cadence),
            blocks,
            full_days=0 if is_short else 366,
        )
        for chosen in spans
    ]
    return Calendar(sentence, strips, counts, _gaps(coverage))


def _strip(coverage: Coverage, blocks: Mapping[str, Period], *, full_days: int) -> Strip:
    days = coverage.times.astype("datetime64[D]")
    first, last = days[0], days[-1]
    column = ((days - first) // _DAY).astype(int)
    row = ((coverage.times - days) // coverage.cadence).astype(int)
    count = int((last - first) // _DAY) + 1
    pixels = np.zeros((round(24 / in_hours(coverage.cadence)), count, 4), np.uint8)
    for code, colour in _COLOURS.items():
        chosen = coverage.status == code
        pixels[row[chosen], column[chosen]] = colour
    width = 100.0 * count / max(count, full_days)

    def position(time: Instant) -> float:
        share = float((time - first) / (count * _DAY))
        return width * min(max(share, 0.0), 1.0)

    parts = [
        Part(position(period.start), position(period.end) - position(period.start), name)
        for name, period in blocks.items()
    ]
    return Strip(
        png_uri(pixels),
        f"Status of every time from {first} to {last}; the counts are in the table below.",
        width,
        72 if full_days == 0 else 36,
        [Tick(position(start), label) for start, label in _dates(first, last)],
        [part for part in parts if part.width > 0],
    )


def _dates(first: Instant, last: Instant) -> list[tuple[Instant, str]]:
    """Mondays of a short span, else the first days of months; about eight at most."""
    if last - first < 63 * _DAY:
        days = np.arange(first, last + 1)
        shown = days[(days.astype(int) + 3) % 7 == 0]
    else:
        months = np.arange(first.astype("datetime64[M]"), last.astype("datetime64[M]") + 1)
        shown = months.astype("datetime64[D]")
        shown = shown[shown >= first]
    return [(day, str(day)) for day in shown[:: -(-len(shown) // 8) or 1]]


def _gaps(coverage: Coverage) -> list[str]:
    """The spans without a usable field, in words; the first of them when there are many."""
    runs = [run for run in coverage.runs() if not run.status.is_usable]
    lines = [
        f"{format_time(run.start)} to {format_time(run.end)}: {_LABELS[run.status]}"
        for run in runs[:MAX_GAPS]
    ]
    if len(runs) > MAX_GAPS:
        lines.append(f"and {len(runs) - MAX_GAPS} more spans")
    return lines
