"""Line charts as SVG that takes its ink from the page, so that it reads in light and in dark."""

import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.typing import RcKeyType

from lsntp.evaluation.table import MODEL, WEIGHTING, SkillTable
from lsntp.grid import Floats
from lsntp.names import LEAD_TIME
from lsntp.report.data import Links
from lsntp.times import Instant, Times

_INK, _FAINT, _ACCENT = "#010203", "#040506", "#070809"
_PAGE_COLOURS = {_INK: "var(--muted)", _FAINT: "var(--rule)", _ACCENT: "var(--accent)"}
_DOCUMENT_ONLY = re.compile(
    r'\s(?:xmlns(?::\w+)?|version|width|height)="[^"]*"(?=[^<>]*viewBox)'
    r'|\sxmlns(?::\w+)?="[^"]*"|xlink:(?=href)|<style.*?</style>',
    re.DOTALL,
)
"""What a separate SVG file needs and an element of an HTML page must not have."""
_SIZE_INCHES = (4.6, 3.4)
_MOST_MARKERS = 40
"""More points than this are drawn as a line alone."""
_MOST_TICKS, _MOST_WORDS, _MOST_DATES = 8, 5, 4
_SETTINGS: dict[RcKeyType, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "lsntp",
    "font.family": "sans-serif",
    "font.size": 10.5,
    "text.color": _INK,
    "axes.labelcolor": _INK,
    "axes.edgecolor": _FAINT,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.spines.left": False,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.axisbelow": True,
    "axes.titlelocation": "left",
    "grid.color": _FAINT,
    "grid.linewidth": 0.8,
    "xtick.color": _FAINT,
    "ytick.color": _FAINT,
    "xtick.labelcolor": _INK,
    "ytick.labelcolor": _INK,
    "ytick.left": False,
}


@dataclass(frozen=True)
class Style:
    """How one model is drawn everywhere: colour, dash pattern and marker, each telling enough."""

    colour: str
    dash: tuple[float, ...]
    marker: str
    width: float

    @property
    def marker_path(self) -> str:
        """The marker as SVG path data around the origin, for legends in HTML."""
        return _MARKER_PATHS[self.marker]


_NETWORK_STYLES = (
    Style("#d55e00", (), "o", 2.4),
    Style("#0072b2", (), "D", 2.4),
    Style("#cc79a7", (), "s", 2.4),
    Style("#009e73", (), "^", 2.4),
)
_BASELINE_STYLES = {
    "persistence": Style("#8a8f98", (1.5, 2), "s", 1.4),
    "diurnal-persistence": Style("#56b4e9", (5, 2), "^", 1.4),
    "climatology": Style("#8c7a4f", (1.5, 2), "v", 1.4),
    "persistence-climatological-increment": Style("#009e73", (5, 2), "D", 1.4),
    "persistence-diurnal-increment": Style("#cc79a7", (6, 2, 1.5, 2), "o", 1.4),
    "ridge": Style("#d99a00", (), "X", 1.8),
    "gfs": Style("#3b3f46", (5, 2), "o", 1.6),
    "gfs-bias-corrected": Style("#3b3f46", (), "D", 1.8),
}
"""Okabe and Ito's colours, safe for the colour blind, and two quiet ones."""

_MARKER_PATHS = {
    "o": "M-4 0a4 4 0 1 0 8 0a4 4 0 1 0 -8 0z",
    "s": "M-3.6 -3.6h7.2v7.2h-7.2z",
    "D": "M0 -5L5 0L0 5L-5 0z",
    "^": "M0 -4.4L4.4 3.8H-4.4z",
    "v": "M0 4.4L4.4 -3.8H-4.4z",
    "X": "M-4 -2L-2 -4L0 -2L2 -4L4 -2L2 0L4 2L2 4L0 2L-2 4L-4 2L-2 0z",
}


def styles_of(kinds: Mapping[str, str]) -> dict[str, Style]:
    """A style per model, from what each is; a baseline always keeps its own."""
    networks = sorted(model for model in kinds if kinds[model] == "network")
    return _BASELINE_STYLES | {
        name: _NETWORK_STYLES[index % len(_NETWORK_STYLES)] for index, name in enumerate(networks)
    }


def by_lead(table: SkillTable, model: str, metric: str) -> Floats:
    """A metric of one model at every lead (K,)."""
    chosen = table.scores[metric].sel({MODEL: model, WEIGHTING: table.weighting})
    return np.asarray(chosen.transpose(LEAD_TIME).values, np.float64)


@dataclass(frozen=True)
class Chart:
    """One drawing; the id of a model's line is ``line-<name>-<model>``."""

    name: str
    caption: str
    alt: str
    svg: str


@dataclass(frozen=True)
class Curves:
    """Charts of the same models under one legend."""

    legend: list[tuple[str, Style]]
    charts: list[Chart]


def lead_curves(table: SkillTable, styles: Mapping[str, Style]) -> Curves:
    """MAE and RMSE of every model against lead time."""
    return Curves(
        [(model, styles[model]) for model in table.models],
        [
            Chart(
                name,
                f"{caption}, K",
                f"{caption} against lead time, every model",
                line_chart(
                    table.lead_hours,
                    {model: by_lead(table, model, metric) for model in table.models},
                    styles,
                    name=name,
                    label="lead time, hours",
                ),
            )
            for name, metric, caption in (
                ("mae", "mae", "Mean absolute error"),
                ("rmse", "rmse_pooled", "Root mean square error"),
            )
        ],
    )


def line_chart(
    x: Floats,
    lines: Mapping[str, Floats],
    styles: Mapping[str, Style],
    *,
    name: str,
    label: str,
    tick_labels: Sequence[str] = (),
) -> str:
    """An SVG of a line per model, the first on top, from zero up.

    Args:
        x: (n,) common places.
        lines: (n,) values by model; NaN is a gap.
        styles: of the models.
        name: of the chart.
        label: of the x axis.
        tick_labels: (n,) names of the places; by default their numbers.
    """
    with mpl.rc_context(_SETTINGS):
        figure, axes = _figure()
        for model in reversed(list(lines)):
            _draw_line(axes, x, lines[model], styles[model], gid=f"line-{name}-{model}")
        most = _MOST_WORDS if tick_labels else _MOST_TICKS
        shown = slice(None, None, max(1, -(-x.size // most)))
        axes.set_xticks(x[shown], tick_labels[shown] if tick_labels else None)
        axes.set_xlabel(label)
        axes.set_ylim(bottom=0)
        return svg_of(figure, name=name)


def time_chart(
    lines: Mapping[str, tuple[Times, Floats]],
    styles: Mapping[str, Style],
    *,
    name: str,
    marks: Sequence[Instant] = (),
) -> str:
    """An SVG of a line per model through time, the first on top, with a line at zero.

    Args:
        lines: times (n,) and values (n,) by model; NaN is a gap.
        styles: of the models.
        name: of the chart.
        marks: instants to mark by an upright line.
    """
    with mpl.rc_context(_SETTINGS):
        figure, axes = _figure()
        axes.axhline(0.0, color=_INK, linewidth=0.9)
        for mark in marks:
            axes.axvline(mark, color=_INK, linewidth=0.9, dashes=(2, 3))  # type: ignore[arg-type]
        for model in reversed(list(lines)):
            times, values = lines[model]
            few = times.size <= _MOST_MARKERS
            style = replace(styles[model], marker=styles[model].marker if few else "")
            _draw_line(axes, times, values, style, gid=f"line-{name}-{model}")
        everywhere = np.unique(np.concatenate([times for times, _ in lines.values()]))
        places = np.linspace(0, everywhere.size - 1, min(everywhere.size, _MOST_DATES)).round()
        shown = everywhere[places.astype(int)]
        axes.set_xticks(shown, [str(day) for day in shown.astype("datetime64[D]")])
        return svg_of(figure, name=name)


def distance_chart(links: Links) -> str:
    """An SVG of link weight against great-circle distance: median and the middle 90 %."""
    distance, weight = link_distances(links)
    edges = np.linspace(0.0, distance.max() + 1e-6, 25)
    bins = np.digitize(distance, edges) - 1
    filled = [index for index in range(24) if np.count_nonzero(bins == index) >= 3]
    middle = (edges[:-1] + edges[1:])[filled] / 2
    low, median, high = (
        np.array([np.quantile(weight[bins == index], share) for index in filled])
        for share in (0.05, 0.5, 0.95)
    )
    with mpl.rc_context(_SETTINGS):
        figure, axes = _figure()
        axes.axhline(1.0, color=_INK, linewidth=0.9, dashes=(4, 3))
        axes.fill_between(middle, low, high, color=_ACCENT, alpha=0.22, linewidth=0)
        axes.plot(middle, median, color=_ACCENT, linewidth=2.2)
        axes.set_xlim(left=0)
        axes.set_xlabel("great-circle distance, km")
        return svg_of(figure, name="distance")


def link_distances(links: Links) -> tuple[Floats, Floats]:
    """(nodes - 1,) distance in km and weight relative to an even share, without the cell itself."""
    row, column = links.cell
    grid = links.grid
    distance = grid.distance_km(grid.latitude[row], grid.longitude[column])
    others = np.ones(grid.shape, bool)
    others[row, column] = False
    return distance[others], links.weights[others] * links.weights.size


def svg_of(figure: Figure, *, name: str) -> str:
    """The figure as an SVG element for an HTML page: no namespaces, unique ids, the page's ink."""
    content = io.StringIO()
    figure.savefig(
        content,
        format="svg",
        transparent=True,
        metadata={"Date": None, "Creator": None, "Format": None, "Type": None},
    )
    svg = content.getvalue()
    svg = _DOCUMENT_ONLY.sub("", svg[svg.index("<svg") :])
    svg = re.sub(r'(\bid="|url\(#|href="#)(?!line-)', rf"\1{name}-", svg)
    svg = re.sub(r"font-family: [^;]*", "font-family: inherit", svg)
    for placeholder, colour in _PAGE_COLOURS.items():
        svg = svg.replace(placeholder, colour)
    return svg.replace("<svg", '<svg class="chart" aria-hidden="true"', 1).strip()


def _draw_line(axes: Axes, x: Any, y: Floats, style: Style, *, gid: str) -> None:
    (line,) = axes.plot(
        x,
        y,
        color=style.colour,
        linewidth=style.width,
        marker=style.marker or None,
        markersize=5,
        markeredgewidth=0,
        gid=gid,
        clip_on=False,
    )
    if style.dash:
        line.set_dashes(style.dash)


def _figure() -> tuple[Figure, Axes]:
    figure = Figure(figsize=_SIZE_INCHES, layout="constrained")
    return figure, figure.add_subplot()
