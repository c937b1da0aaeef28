"""A figure of learned beside measured correlations: one SVG file that any browser shows."""

from collections.abc import Sequence
from html import escape
from pathlib import Path

import numpy as np

from lsntp.archives.staging import storage_errors
from lsntp.durable import written_aside
from lsntp.errors import ConfigError
from lsntp.grid import Floats, Grid
from lsntp.report.correlations import Correlations
from lsntp.report.links import node_index, place_mark, ring_distances
from lsntp.report.maps import CANVAS_WIDTH, Canvas, Scale, field_image, meridian, parallel

MARGIN, TITLE, GAP, BAR, FOOT = 70.0, 110.0, 90.0, 26.0, 90.0

_STYLE = """
text { font: 26px system-ui, sans-serif; fill: #24292f; }
text.title { font-size: 34px; font-weight: 600; }
text.small { font-size: 22px; fill: #57606a; }
.coast, .ring { fill: none; stroke: #24292f; stroke-width: 1.2; vector-effect: non-scaling-stroke; }
.ring { stroke-dasharray: 6 8; stroke-width: 1.5; }
.mark { fill: none; stroke: #d1242f; stroke-width: 4; }
.mark.halo { stroke: #ffffff; stroke-width: 9; }
image { image-rendering: pixelated; }
"""


def write_correlations(found: Correlations, path: Path) -> tuple[Path, Path]:
    """Write the figure to ``path`` and its numbers, NetCDF, beside it; both are whole or absent.

    Args:
        found: what to show.
        path: ending in ``.svg``.

    Returns:
        The figure's path and that of the numbers, which ends in ``.nc``.

    Raises:
        ConfigError: if ``path`` has another ending.
        StorageError: if the storage refuses.
    """
    check_figure_path(path)
    numbers = path.with_suffix(".nc")
    dataset = found.to_dataset()
    with storage_errors(str(path)):
        path.parent.mkdir(parents=True, exist_ok=True)
        with written_aside(numbers) as aside:
            # Encoded to bytes first, so that a full disk is an OSError, no netCDF one.
            aside.write_bytes(dataset.to_netcdf(engine="scipy"))
        with written_aside(path) as aside:
            aside.write_text(draw_correlations(found), "utf-8")
    return path, numbers


def check_figure_path(path: Path) -> None:
    """Refuse a file that is no SVG by its name.

    Raises:
        ConfigError: naming the file.
    """
    if path.suffix.lower() != ".svg":
        raise ConfigError(f"Expected a figure file that ends in .svg, found {path}.")


def draw_correlations(found: Correlations) -> str:
    """The SVG: the learned column on a map, beside the correlation of the data."""
    canvas = Canvas.of(found.grid)
    latitude, longitude = found.place
    place = _written(latitude, longitude)
    node = (found.node_grid.latitude[found.node[0]], found.node_grid.longitude[found.node[1]])
    relative = found.adjacency * found.adjacency.size
    relative[found.node] = np.nan
    nodes = np.ix_(
        node_index(found.grid.latitude, found.node_grid.latitude),
        node_index(found.grid.longitude, found.node_grid.longitude),
    )
    measured = found.correlation.copy()
    measured[found.cell] = np.nan
    panels = (
        (
            f"Learned by {found.model}",
            f"column of the adjacency for the node at {_written(*node)}, times an even share",
            relative[nodes],
            Scale.spanning(relative, colormap="YlGnBu", unit="times an even share"),
            node,
        ),
        (
            "Measured",
            f"Pearson correlation with {place}, {found.frames} analyses",
            measured,
            _correlation_scale(measured),
            (found.grid.latitude[found.cell[0]], found.grid.longitude[found.cell[1]]),
        ),
    )
    rings = ring_distances(float(found.grid.distance_km(latitude, longitude).max()))
    label = "Synthetic data. " if found.is_synthetic else ""
    foot = (
        f"{label}{found.domain}, {found.version}; training period {found.period}; rings at "
        f"{', '.join(str(ring) for ring in rings)} km; the place itself is left out."
    )
    width = 2 * MARGIN + 2 * CANVAS_WIDTH + GAP
    height = TITLE + canvas.height + BAR + FOOT + MARGIN
    body = "".join(
        _panel(canvas, found.grid, *panel, x=MARGIN + index * (CANVAS_WIDTH + GAP), rings=rings)
        for index, panel in enumerate(panels)
    )
    title = f"Correlations with {place}: learned and measured"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:.1f}" '
        f'role="img"><title>{escape(title)}</title><style>{_STYLE}</style>'
        f'<rect width="100%" height="100%" fill="#ffffff"/>'
        f"{body}"
        f'<text class="small" x="{MARGIN:g}" y="{height - 24:.1f}">{escape(foot)}</text></svg>\n'
    )


def _written(latitude: float, longitude: float) -> str:
    return f"{parallel(round(latitude, 2))}, {meridian(round(longitude, 2))}"


def _panel(
    canvas: Canvas,
    grid: Grid,
    title: str,
    subtitle: str,
    values: Floats,
    scale: Scale,
    place: tuple[float, float],
    *,
    x: float,
    rings: Sequence[int],
) -> str:
    """One map with title, coast, rings, mark, ticks and colour bar."""
    height = canvas.height
    ticks = [
        f'<text class="small" x="{tick.percent * CANVAS_WIDTH / 100:.1f}" y="{height + 26:.1f}" '
        f'text-anchor="middle">{escape(tick.label)}</text>'
        for tick in canvas.longitude_ticks
    ] + [
        f'<text class="small" x="-8" y="{tick.percent * height / 100 + 8:.1f}" '
        f'text-anchor="end" >{escape(tick.label)}</text>'
        for tick in canvas.latitude_ticks
    ]
    circles = "".join(f'<path class="ring" d="{canvas.ring(*place, ring)}"/>' for ring in rings)
    return (
        f'<g transform="translate({x:g} {TITLE:g})">'
        f'<text class="title" y="-52">{escape(title)}</text>'
        f'<text y="-16">{escape(subtitle)}</text>'
        f'<image href="{field_image(values, grid, scale)}" width="{CANVAS_WIDTH:g}" '
        f'height="{height:.1f}" preserveAspectRatio="none"/>'
        f'<path class="coast" d="{canvas.coast}"/>{circles}{place_mark(canvas, *place)}'
        f'<rect width="{CANVAS_WIDTH:g}" height="{height:.1f}" fill="none" stroke="#57606a"/>'
        f"{''.join(ticks)}{_bar(scale, top=height + 46)}</g>"
    )


def _bar(scale: Scale, *, top: float) -> str:
    """The scale: bands of colour and their values."""
    colours = scale.gradient.split(",")
    step = CANVAS_WIDTH / len(colours)
    bands = "".join(
        f'<rect x="{index * step:.1f}" y="{top:.1f}" width="{step + 0.5:.1f}" height="{BAR:g}" '
        f'fill="{colour}"/>'
        for index, colour in enumerate(colours)
    )
    labels = "".join(
        f'<text class="small" x="{tick.percent * CANVAS_WIDTH / 100:.1f}" '
        f'y="{top + BAR + 24:.1f}" text-anchor="middle">{escape(tick.label)}</text>'
        for tick in scale.ticks
    )
    return bands + labels


def _correlation_scale(values: Floats) -> Scale:
    """One-sided if every correlation is positive, as over a year; else from -1 to 1."""
    if np.nanmin(values, initial=1.0) >= 0:
        return Scale.spanning(values, colormap="YlOrRd", unit="correlation")
    return Scale("RdBu_r", -1.0, 1.0, "correlation")
