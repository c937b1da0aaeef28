"""What every time of a regular axis is, as a compact calendar: a column a day."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lsntp.archives.coverage import Coverage, Run
from lsntp.names import Status
from lsntp.report.maps import Tick, png_uri
from lsntp.times import Duration, Instant, Period, Times, format_time, in_hours

MAX_GAPS = 20
STATUS_LABELS = {
    Status.FINAL: "final",
    Status.PRELIMINARY: "preliminary",
    Status.QUARANTINED: "quarantined",
    Status.UPSTREAM_HOLE: "not published upstream",
    Status.MISSING: "missing",
}

_DAY = np.timedelta64(1, "D")
_COLOURS = {
    int(Status.FINAL): (47, 126, 163, 255),
    int(Status.PRELIMINARY): (140, 197, 222, 255),
    int(Status.QUARANTINED): (213, 94, 0, 255),
    int(Status.UPSTREAM_HOLE): (154, 160, 166, 255),
}
_HEIGHT, _HEIGHT_OF_A_YEAR = 72, 36


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
        coverage: of the whole archive, not empty.
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
        for code, label in STATUS_LABELS.items()
        if coverage.counts[code]
    ]
    sentence = (
        f"{coverage.usable.size} of {times.size} times between {format_time(times[0])} and "
        f"{format_time(times[-1])} hold a usable field. A column is a day, midnight at the top."
    )
    drawn = strips(
        times,
        coverage.status,
        coverage.cadence,
        _COLOURS,
        what="Status of every time",
        parts=blocks,
    )
    return Calendar(sentence, drawn, counts, _gaps(coverage))


def strips(
    times: Times,
    codes: npt.NDArray[np.int8],
    cadence: Duration,
    colours: Mapping[int, tuple[int, int, int, int]],
    *,
    what: str,
    parts: Mapping[str, Period],
) -> list[Strip]:
    """One strip for a short axis, else one a year, all on the same scale.

    Args:
        times: (n,) regular, not empty.
        codes: (n,) what each is.
        cadence: of the axis.
        colours: RGBA of each code; others stay transparent.
        what: is shown, for those who cannot see it.
        parts: spans to name below, name to period.
    """
    is_short = times[-1] - times[0] < 400 * _DAY
    years = times.astype("datetime64[Y]")
    spans = [np.ones(times.size, bool)] if is_short else [years == y for y in np.unique(years)]
    return [
        _strip(
            times[chosen],
            _pixels(times[chosen], codes[chosen], cadence, colours),
            what,
            parts,
            full_days=0 if is_short else 366,
        )
        for chosen in spans
    ]


def gap_runs(coverage: Coverage) -> list[Run]:
    """The spans without a usable field, in order."""
    return [run for run in coverage.runs() if not run.status.is_usable]


def _pixels(
    times: Times,
    codes: npt.NDArray[np.int8],
    cadence: Duration,
    colours: Mapping[int, tuple[int, int, int, int]],
) -> npt.NDArray[np.uint8]:
    days = times.astype("datetime64[D]")
    column = ((days - days[0]) // _DAY).astype(int)
    row = ((times - days) // cadence).astype(int)
    pixels = np.zeros((round(24 / in_hours(cadence)), column[-1] + 1, 4), np.uint8)
    for code, colour in colours.items():
        chosen = codes == code
        pixels[row[chosen], column[chosen]] = colour
    return pixels


def _strip(
    times: Times,
    pixels: npt.NDArray[np.uint8],
    what: str,
    parts: Mapping[str, Period],
    *,
    full_days: int,
) -> Strip:
    first, last = times[[0, -1]].astype("datetime64[D]")
    count = pixels.shape[1]
    width = 100.0 * count / max(count, full_days)

    def position(time: Instant) -> float:
        share = float((time - first) / (count * _DAY))
        return float(width * min(max(share, 0.0), 1.0))

    named = [
        Part(position(period.start), position(period.end) - position(period.start), name)
        for name, period in parts.items()
    ]
    return Strip(
        png_uri(pixels),
        f"{what} from {first} to {last}; the counts are in the table below.",
        width,
        _HEIGHT_OF_A_YEAR if full_days else _HEIGHT,
        [Tick(position(start), label) for start, label in _dates(first, last)],
        [part for part in named if part.width > 0],
    )


def _dates(first: Instant, last: Instant) -> list[tuple[Instant, str]]:
    """Mondays of a short span, else the first days of months; about eight at most."""
    if last - first < 63 * _DAY:
        days = np.arange(first, last + _DAY)
        shown = days[(days.astype(int) + 3) % 7 == 0]
    else:
        first_month, last_month = (day.astype("datetime64[M]") for day in (first, last))
        months = np.arange(first_month, last_month + np.timedelta64(1, "M"))
        shown = months.astype("datetime64[D]")
        shown = shown[shown >= first]
    return [(day, str(day)) for day in shown[:: -(-len(shown) // 8) or 1]]


def _gaps(coverage: Coverage) -> list[str]:
    """The spans without a usable field, in words; the first of them when there are many."""
    runs = gap_runs(coverage)
    lines = [
        f"{format_time(run.start)} to {format_time(run.end)}: {STATUS_LABELS[run.status]}"
        for run in runs[:MAX_GAPS]
    ]
    if len(runs) > MAX_GAPS:
        lines.append(f"and {len(runs) - MAX_GAPS} more spans")
    return lines
