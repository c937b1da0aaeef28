"""The life cycle of every hour as a calendar of letters, at most a screenful."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from rich.text import Text

from lsntp.life_cycle import STATES, HourState, LifeCycle
from lsntp.times import in_hours

MAX_ROWS: Final = 40
"""Newer rows are shown; of the earlier ones only how many hours they lack."""
SYMBOLS: Final = {
    HourState.FINAL: ("#", "green"),
    HourState.PRELIMINARY: ("+", "cyan"),
    HourState.UPSTREAM_HOLE: ("o", "bright_black"),
    HourState.PENDING: ("~", "yellow"),
    HourState.QUARANTINED: ("q", "magenta"),
    HourState.MISSING: (".", "red"),
}
"""A letter and a colour each, the gravest last: a letter stands for the gravest of its hours."""

_DAYS_BY_HOUR = 31
_MONTHS_BY_DAY = 36
_GRAVITY = {state: place for place, state in enumerate(SYMBOLS)}


@dataclass(frozen=True)
class Calendar:
    """The calendar as lines.

    Attributes:
        lines: the newest rows, oldest first, each with its date.
        legend: what the letters mean, with the number of hours of each.
        unit: what a letter stands for.
        earlier: rows that are not shown.
        earlier_without_field: hours of those without a usable field.
    """

    lines: list[Text]
    legend: Text
    unit: str
    earlier: int
    earlier_without_field: int


def calendar(hours: LifeCycle) -> Calendar:
    """Rows of days by the hour for a month, of months by the day for three years, else of years.

    Args:
        hours: every expected hour, not empty.
    """
    days = hours.times.astype("datetime64[D]")
    months = hours.times.astype("datetime64[M]")
    if (days[-1] - days[0]).astype(int) < _DAYS_BY_HOUR:
        rows, unit = days, "a step"
        column = ((hours.times - days) // hours.cadence).astype(int)
    elif (months[-1] - months[0]).astype(int) < _MONTHS_BY_DAY:
        rows, unit = months, "a day"
        column = (days - months.astype("datetime64[D]")).astype(int)
    else:
        rows, unit = hours.times.astype("datetime64[Y]"), "a week"
        column = (days - rows.astype("datetime64[D]")).astype(int) // 7
    gravity = np.array([_GRAVITY[state] for state in STATES])[hours.codes]
    row = (rows - rows[0]).astype(int)
    cells = np.full((row[-1] + 1, column.max() + 1), -1)
    np.maximum.at(cells, (row, column), gravity)
    first = max(0, cells.shape[0] - MAX_ROWS)
    is_usable = np.array([state.is_usable for state in STATES])[hours.codes]
    return Calendar(
        [_line(str(rows[0] + place), cells[place]) for place in range(first, cells.shape[0])],
        _legend(hours),
        f"{unit} ({in_hours(hours.cadence):g} h)" if unit == "a step" else unit,
        first,
        int((~is_usable & (row < first)).sum()),
    )


def _line(label: str, cells: "np.ndarray[tuple[int, ...], np.dtype[np.int64]]") -> Text:
    line = Text(f"{label:<10}  ")
    symbols = list(SYMBOLS.values())
    for gravity in cells:
        line.append(*(symbols[gravity] if gravity >= 0 else (" ", "")))
    return line


def _legend(hours: LifeCycle) -> Text:
    legend = Text()
    for state, (symbol, colour) in SYMBOLS.items():
        if count := hours.counts[state]:
            legend.append(symbol, colour)
            legend.append(f" {state.value.replace('_', ' ')} {count}   ")
    return legend
