"""Maps as small images of cells under one shared drawing of coastlines.

A map is a picture with one pixel a cell, enlarged by the browser without smoothing; coastlines,
graticule and marks lie over it as SVG and stay sharp on any screen. Colours never carry text.
"""

import base64
import io
from dataclasses import dataclass
from functools import cached_property
from typing import Self

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
from matplotlib.colors import to_hex
from matplotlib.image import imsave
from matplotlib.ticker import MaxNLocator

from lsntp.grid import COORDINATE_TOLERANCE_DEG, EARTH_RADIUS_KM, Floats, Grid
from lsntp.report.coastlines import Box, box_of, clip, coastlines

CANVAS_WIDTH = 1000.0
MAX_PIXELS = 400
"""Larger grids are sampled, so that a page stays small."""

_INNER = (0.04, 0.96)
_INNER_ONE_WAY = (0.04, 0.76)
"""The part of a two-sided and of a one-sided colour map that dark coastlines stay visible on."""


@dataclass(frozen=True)
class Frame:
    """One picture (a data URI) and what it says to those who cannot see it."""

    image: str
    alt: str


@dataclass(frozen=True)
class Tick:
    """A label at a share (0..100 %) of an axis."""

    percent: float
    label: str


@dataclass(frozen=True)
class Scale:
    """Colours for values between ``low`` and ``high``; NaN is transparent."""

    colormap: str
    low: float
    high: float
    unit: str
    inner: tuple[float, float] = _INNER

    @classmethod
    def spanning(cls, values: Floats, *, colormap: str, unit: str, two_sided: bool = False) -> Self:
        """A scale from the smallest to the largest finite value, ends rounded outwards."""
        low, high = _range(values)
        step = 10.0 ** np.floor(np.log10((high - low) / 5))
        inner = _INNER if two_sided else _INNER_ONE_WAY
        return cls(
            colormap,
            float(np.floor(low / step) * step),
            float(np.ceil(high / step) * step),
            unit,
            inner,
        )

    @classmethod
    def diverging(cls, values: Floats, *, colormap: str, unit: str) -> Self:
        """A scale centred on zero that holds 99 % of the values; the rest saturates."""
        finite = np.abs(values[np.isfinite(values)])
        largest = float(np.quantile(finite, 0.99)) if finite.size else 1.0
        end = float(MaxNLocator(2).tick_values(0.0, max(largest, 1e-3))[-1])
        return cls(colormap, -end, end, unit)

    def rgba(self, values: Floats) -> npt.NDArray[np.uint8]:
        """Colours (..., 4)."""
        share = np.clip((values - self.low) / (self.high - self.low), 0.0, 1.0)
        position = np.ma.masked_invalid(self.inner[0] + share * (self.inner[1] - self.inner[0]))
        chosen = mpl.colormaps[self.colormap].with_extremes(bad=(0, 0, 0, 0))
        colours: npt.NDArray[np.uint8] = chosen(position, bytes=True)
        return colours

    @property
    def gradient(self) -> str:
        """The scale as a CSS gradient."""
        chosen = mpl.colormaps[self.colormap]
        return ",".join(to_hex(chosen(position)) for position in np.linspace(*self.inner, 13))

    @property
    def ticks(self) -> list[Tick]:
        """A handful of round values."""
        locator = MaxNLocator(6, steps=[1, 2, 2.5, 5, 10])
        values = np.asarray(locator.tick_values(self.low, self.high))
        margin = 1e-9 * (self.high - self.low)
        inside = values[(values >= self.low - margin) & (values <= self.high + margin)]
        width = self.high - self.low
        return [Tick(100 * (v - self.low) / width, signed(v)) for v in inside]


@dataclass(frozen=True)
class Canvas:
    """The common ground of all maps of one box: coastlines, graticule, positions."""

    box: Box

    @classmethod
    def of(cls, grid: Grid) -> Self:
        """The canvas that a grid's cells fill."""
        return cls(box_of(grid))

    @property
    def height(self) -> float:
        """In units of the drawing, whose width is :data:`CANVAS_WIDTH`."""
        return CANVAS_WIDTH / self.box.aspect

    @cached_property
    def coast(self) -> str:
        """Path data of coastlines and lake shores."""
        return self.path(coastlines(self.box))

    @property
    def longitude_ticks(self) -> list[Tick]:
        """Round meridians from the left edge."""
        width = self.box.east - self.box.west
        return [
            Tick(100 * (degree - self.box.west) / width, meridian(degree))
            for degree in _round_degrees(self.box.west, self.box.east)
        ]

    @property
    def latitude_ticks(self) -> list[Tick]:
        """Round parallels from the top edge."""
        height = self.box.north - self.box.south
        return [
            Tick(100 * (self.box.north - degree) / height, parallel(degree))
            for degree in _round_degrees(self.box.south, self.box.north)
        ]

    def position(self, latitude: float, longitude: float) -> tuple[float, float]:
        """(x, y) of a place on the drawing."""
        x = (longitude - self.box.west) / (self.box.east - self.box.west) * CANVAS_WIDTH
        y = (self.box.north - latitude) / (self.box.north - self.box.south) * self.height
        return x, y

    def path(self, lines: list[Floats]) -> str:
        """SVG path data of polylines of (longitude, latitude), to a tenth of a unit."""
        parts = []
        for line in lines:
            x, y = self.position(line[:, 1], line[:, 0])  # type: ignore[arg-type]
            points = np.round(np.column_stack([x, y]), 1)
            moved = np.any(np.diff(points, axis=0) != 0, axis=1)
            points = points[np.concatenate([[True], moved])]
            if len(points) > 1:
                parts.append("M" + " ".join(f"{px:g},{py:g}" for px, py in points))
        return "".join(parts)

    def ring(self, latitude: float, longitude: float, distance_km: float) -> str:
        """Path data of all points at a great-circle distance from a place."""
        angle, bearing = distance_km / EARTH_RADIUS_KM, np.linspace(0, 2 * np.pi, 181)
        phi, lam = np.radians(latitude), np.radians(longitude)
        sine = np.sin(phi) * np.cos(angle) + np.cos(phi) * np.sin(angle) * np.cos(bearing)
        east = np.arctan2(
            np.sin(bearing) * np.sin(angle) * np.cos(phi), np.cos(angle) - np.sin(phi) * sine
        )
        circle = np.column_stack([np.degrees(lam + east), np.degrees(np.arcsin(sine))])
        return self.path(clip(circle, self.box))


def field_image(values: Floats, grid: Grid, scale: Scale) -> str:
    """A data URI of one pixel a cell (H, W); rows of equal height also on irregular latitudes."""
    rows = _pixel_rows(grid)
    columns = _sample(grid.shape[1])
    return png_uri(scale.rgba(values[np.ix_(rows, columns)]))


def png_uri(pixels: npt.NDArray[np.uint8]) -> str:
    """A data URI of an RGBA picture (rows, columns, 4)."""
    content = io.BytesIO()
    imsave(content, pixels, format="png", metadata={"Software": "lsntp"})
    return "data:image/png;base64," + base64.b64encode(content.getvalue()).decode("ascii")


def signed(value: float) -> str:
    """A short number with a true minus sign: −2, 0.5."""
    return f"{round(value, 6) + 0.0:g}".replace("-", "\N{MINUS SIGN}")


def meridian(degree: float) -> str:
    """``5° W``."""
    turned = (degree + 180) % 360 - 180
    side = "" if turned in (0, -180) else " E" if turned > 0 else " W"
    return f"{abs(turned):g}°{side}"


def parallel(degree: float) -> str:
    """``50° N``."""
    side = "" if degree == 0 else " N" if degree > 0 else " S"
    return f"{abs(degree):g}°{side}"


def _range(values: Floats) -> tuple[float, float]:
    finite = values[np.isfinite(values)]
    if not finite.size:
        return 0.0, 1.0
    low, high = float(finite.min()), float(finite.max())
    return (low, high) if high - low > 1e-9 else (low - 0.5, high + 0.5)


def _round_degrees(low: float, high: float) -> Floats:
    values = np.asarray(MaxNLocator(4, steps=[1, 2, 3, 5, 10]).tick_values(low, high))
    margin = 0.07 * (high - low)
    inside: Floats = values[(values > low + margin) & (values < high - margin)]
    return inside


def _sample(count: int) -> npt.NDArray[np.intp]:
    """Every cell, or an even choice of :data:`MAX_PIXELS`."""
    pixels = min(count, MAX_PIXELS)
    return ((np.arange(pixels) + 0.5) * count / pixels).astype(np.intp)


def _pixel_rows(grid: Grid) -> npt.NDArray[np.intp]:
    """The row of the grid behind each row of equally high pixels."""
    heights = -np.diff(grid.latitude_edges)
    if np.ptp(heights) < COORDINATE_TOLERANCE_DEG:
        return _sample(grid.shape[0])
    pixels = min(4 * grid.shape[0], MAX_PIXELS)
    top, bottom = grid.latitude_edges[[0, -1]]
    latitude = top + (np.arange(pixels) + 0.5) * (bottom - top) / pixels
    rows: npt.NDArray[np.intp] = np.searchsorted(-grid.latitude_edges, -latitude) - 1
    return rows
