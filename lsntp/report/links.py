"""The long-range correlations a network has learned for one place, drawn and in words."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lsntp.grid import Floats, Grid
from lsntp.report.curves import distance_chart, link_distances
from lsntp.report.data import Links
from lsntp.report.maps import Canvas, Frame, Scale, field_image, meridian, parallel

RING_COUNT = 3
FAINT = 0.1
"""Weights within this of an even share count as no structure."""


@dataclass(frozen=True)
class LinksView:
    """A map of weights with distance rings, a chart, and what they say."""

    sentence: str
    frame: Frame
    caption: str
    marks: str
    scale: Scale
    chart: str
    chart_alt: str


def links_view(links: Links, domain_grid: Grid, canvas: Canvas) -> LinksView:
    """The view of the learned weights of one cell, relative to an even share (1/N each)."""
    row, column = links.cell
    latitude, longitude = links.grid.latitude[row], links.grid.longitude[column]
    distance, weight = link_distances(links)
    relative = links.weights * links.weights.size
    relative[row, column] = np.nan
    scale = Scale.spanning(relative, colormap="YlGnBu", unit="times an even share")
    shown = relative[
        np.ix_(
            node_index(domain_grid.latitude, links.grid.latitude),
            node_index(domain_grid.longitude, links.grid.longitude),
        )
    ]
    rings = ring_distances(float(distance.max()))
    place = f"{parallel(round(latitude, 2))}, {meridian(round(longitude, 2))}"
    own = links.weights[row, column] * links.weights.size
    reach, even = np.average(distance, weights=weight), distance.mean()
    strongest = int(np.argmax(weight))
    return LinksView(
        sentence=(
            f"{links.model} mixes every cell with all others by weights it has learned. This is "
            f"the column of the cell at {place}, as in figures 11 and 12 of the LS-NTP paper: with "
            "which weight every cell takes long-range information from this one. The mean distance "
            f"under these weights is {reach:.0f} km; an even share of all cells would give "
            f"{even:.0f} km. The other cell that takes most has {weight[strongest]:.2f} times an "
            f"even share, {distance[strongest]:.0f} km away; "
            f"the cell itself has {own:.2f} times.{_faintness(weight)}"
        ),
        frame=Frame(
            field_image(shown, domain_grid, scale),
            f"Map of the learned weights with which all cells take from the cell at {place}.",
        ),
        caption=f"Weight with which each cell takes from {place}; rings at {_and(rings)} km",
        marks=_rings(canvas, latitude, longitude, rings) + place_mark(canvas, latitude, longitude),
        scale=scale,
        chart=distance_chart(links),
        chart_alt="Learned weight against great-circle distance.",
    )


def _faintness(weight: Floats) -> str:
    """Said plainly when the weights are nearly even."""
    spread = float(np.abs(weight - 1.0).max())
    if spread >= FAINT:
        return ""
    return (
        f" No weight differs from an even share by more than {100 * spread:.1f} %: this network "
        "has learned next to no long-range structure, and the pattern below is mostly chance."
    )


def place_mark(canvas: Canvas, latitude: float, longitude: float) -> str:
    """A small ring around a place, as SVG."""
    x, y = canvas.position(latitude, longitude)
    circle = f'cx="{x:.1f}" cy="{y:.1f}" r="14"'
    return f'<circle class="mark halo" {circle}/><circle class="mark" {circle}/>'


def node_index(cells: Floats, nodes: Floats) -> npt.NDArray[np.intp]:
    """The node nearest to each cell of an axis, counted in cells; of two, the one before.

    As ``node_of`` of a network.

    Args:
        cells: (n,) degrees.
        nodes: (m,) degrees, ascending or descending like the cells, each at a cell.
    """
    places = np.abs(cells[:, None] - nodes).argmin(axis=0)
    nearest: npt.NDArray[np.intp] = np.abs(np.arange(cells.size)[:, None] - places).argmin(axis=1)
    return nearest


def ring_distances(largest_km: float) -> list[int]:
    """Up to three round distances below the largest."""
    raw = largest_km / (RING_COUNT + 1)
    power = 10.0 ** np.floor(np.log10(raw))
    step = power * max(factor for factor in (1, 2, 2.5, 5) if factor * power <= raw)
    return [round(step * count) for count in range(1, RING_COUNT + 1)]


def _rings(canvas: Canvas, latitude: float, longitude: float, distances: list[int]) -> str:
    return "".join(
        f'<path class="ring" d="{canvas.ring(latitude, longitude, distance)}"/>'
        for distance in distances
    )


def _and(values: list[int]) -> str:
    return ", ".join(f"{value:g}" for value in values[:-1]) + f" and {values[-1]:g}"
