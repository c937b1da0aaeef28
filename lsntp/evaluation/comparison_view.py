"""A comparison of two models as a table for a terminal and as a picture."""

import math
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from rich.box import SIMPLE_HEAD
from rich.table import Table

from lsntp.archives.staging import storage_errors
from lsntp.durable import written_aside
from lsntp.errors import EvaluationError
from lsntp.evaluation.comparison import Comparison, Row
from lsntp.evaluation.regions import ALL
from lsntp.evaluation.table import counted

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FIRST_COLOUR, SECOND_COLOUR, CLEAR_COLOUR, DOUBT_COLOUR = "#0072b2", "#d55e00", "#000000", "#999999"
"""Told apart by colour-blind readers (Okabe and Ito 2008)."""
MOST_LABELS = 16


def render_comparison(comparison: Comparison) -> Table:
    """The rows, the better score of each in bold where that is clear; print it with ``rich``."""
    where = "" if comparison.region == ALL else f", {comparison.region}"
    drawn = Table(
        title=(
            f"{comparison.domain}{where}: {comparison.metric.upper()} (K) of "
            f"{counted(comparison.init_times.size, 'initial time')}\n{comparison.span}"
        ),
        caption=(
            "each interval on its own; "
            + (
                "cells weighted by area"
                if comparison.weighting == "area"
                else "every cell counts the same"
            )
        ),
        box=SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        pad_edge=False,
    )
    drawn.add_column(comparison.by)
    drawn.add_column(comparison.first, justify="right", overflow="fold")
    drawn.add_column(comparison.second, justify="right", overflow="fold")
    for heading in ("difference", "95 % interval", "days" if comparison.block_days == 1 else "n"):
        drawn.add_column(heading, justify="right", no_wrap=True)
    for row in comparison.rows:
        drawn.add_row(*_cells(row))
    drawn.add_section()
    drawn.add_row(*_cells(comparison.overall))
    return drawn


def plot_comparison(comparison: Comparison, path: Path) -> None:
    """Draw both scores above their difference and its interval; the ending names the format.

    Raises:
        EvaluationError: for an ending that matplotlib does not know.
        StorageError: if the file cannot be written.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8.0, 5.5), layout="constrained")
    known = figure.canvas.get_supported_filetypes()
    if (ending := path.suffix.removeprefix(".").lower()) not in known:
        raise EvaluationError(
            f"Expected a picture file ending in {', '.join(sorted(known))}, found {path}."
        )
    scores, gap = figure.subplots(2, 1, sharex=True, height_ratios=(3, 2))
    rows, place = comparison.rows, np.arange(len(comparison.rows))
    for name, colour, values in (
        (comparison.first, FIRST_COLOUR, [row.first for row in rows]),
        (comparison.second, SECOND_COLOUR, [row.second for row in rows]),
    ):
        scores.plot(place, values, "o-", color=colour, label=name, linewidth=1.5, markersize=4)
    scores.set_ylabel(f"{comparison.metric.upper()} (K)")
    scores.set_ylim(0.0, 1.1 * max(max(row.first, row.second) for row in rows) or 1.0)
    scores.legend(frameon=False)
    where = "" if comparison.region == ALL else f", {comparison.region}"
    scores.set_title(
        f"{comparison.domain}{where}: {comparison.first} and {comparison.second}, "
        f"{counted(comparison.init_times.size, 'initial time')}",
        fontsize=10,
    )
    _draw_gap(gap, rows)
    gap.set_ylabel(f"{comparison.first}\nminus {comparison.second} (K)", fontsize=9)
    step = max(1, math.ceil(len(rows) / MOST_LABELS))
    gap.set_xticks(place[::step], [row.label for row in rows[::step]])
    gap.set_xlabel(f"{_AXES[comparison.by]}; 95 % intervals, {comparison.blocks} in all")
    for axes in (scores, gap):
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
    with storage_errors(str(path)), written_aside(path) as aside:
        figure.savefig(aside, format=ending, dpi=150)


_AXES = {
    "lead": "lead time",
    "hour": "hour of day the forecast is for",
    "month": "month of the initial time",
}


def _draw_gap(axes: "Axes", rows: tuple[Row, ...]) -> None:
    """Differences with their intervals, grey where these hold 0."""
    axes.axhline(0.0, color="#666666", linewidth=1)
    for place, row in enumerate(rows):
        found = row.difference
        colour = CLEAR_COLOUR if found.is_clear else DOUBT_COLOUR
        axes.plot(place, found.estimate, "o", color=colour, markersize=4)
        if found.is_testable:
            axes.vlines(place, found.low, found.high, color=colour, linewidth=2)


def _cells(row: Row) -> tuple[str, ...]:
    found = row.difference
    first, second = f"{row.first:.3f}", f"{row.second:.3f}"
    if found.is_clear:
        first, second = (
            (f"[bold]{first}[/]", second) if found.estimate < 0 else (first, f"[bold]{second}[/]")
        )
    interval = f"{found.low:+.3f} to {found.high:+.3f}" if found.is_testable else "too few"
    return (row.label, first, second, f"{found.estimate:+.3f}", interval, str(found.blocks))
