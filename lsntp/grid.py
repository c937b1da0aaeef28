"""Grids: cell centres and edges, area weights, distances, and identity."""

import hashlib
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, Self

import numpy as np
import numpy.typing as npt

from lsntp.errors import DomainError

Floats = npt.NDArray[np.float64]
Fields = npt.NDArray[np.float32]

EARTH_RADIUS_KM = 6371.0
COORDINATE_TOLERANCE_DEG = 1e-3
"""Coordinates closer than this are the same: GRIB 1 and float32 netCDF round to about 1e-3."""

POLAR_GAP_ROWS = 0.4
"""A smaller gap (in rows) to the pole belongs to the outermost row: 0.27 on Gaussian grids,
0.5 where a grid with centres at the poles is cut one row before them."""


@dataclass(frozen=True, eq=False)
class Grid:
    """A rectilinear grid: latitude north to south, longitude -180…180 ascending.

    Attributes:
        latitude: cell centres (H,), degrees north, strictly decreasing; may be irregular.
        longitude: cell centres (W,), degrees east, strictly increasing, regular.

    Raises:
        DomainError: if an axis is out of order or out of range.
    """

    latitude: Floats
    longitude: Floats

    def __post_init__(self) -> None:
        """Check order and range once, so that everything inside may trust them."""
        object.__setattr__(self, "latitude", np.asarray(self.latitude, np.float64))
        object.__setattr__(self, "longitude", np.asarray(self.longitude, np.float64))
        if self.latitude.ndim != 1 or self.longitude.ndim != 1 or min(self.shape) < 1:
            raise DomainError("Expected one-dimensional, non-empty latitude and longitude axes.")
        if not np.all(np.diff(self.latitude) < 0) or np.any(np.abs(self.latitude) > 90):
            raise DomainError(
                "Expected latitude strictly decreasing within 90..-90 degrees, "
                f"found {self.latitude[0]:g}..{self.latitude[-1]:g}; sort it north to south."
            )
        if not np.all(np.diff(self.longitude) > 0) or np.any(np.abs(self.longitude) > 180):
            raise DomainError(
                "Expected longitude strictly increasing within -180..180 degrees, "
                f"found {self.longitude[0]:g}..{self.longitude[-1]:g}; wrap and sort it."
            )

    @property
    def shape(self) -> tuple[int, int]:
        """(H, W)."""
        return self.latitude.size, self.longitude.size

    @cached_property
    def latitude_edges(self) -> Floats:
        """Cell edges (H+1,), degrees, descending: midpoints between centres, poles clipped.

        The outer ones are mirrored; a single row gets a height of one degree. The polar rows of
        a Gaussian grid reach the pole: their mirrored edge stops short of it by about a quarter
        of a row, which no other row would cover.
        """
        edges = np.clip(_edges(self.latitude, direction=-1), -90.0, 90.0)
        for outer, inner, pole in ((0, 1, 90.0), (-1, -2, -90.0)):
            if abs(pole - edges[outer]) < POLAR_GAP_ROWS * abs(edges[outer] - edges[inner]):
                edges[outer] = pole
        return edges

    @cached_property
    def longitude_edges(self) -> Floats:
        """Cell edges (W+1,), degrees, ascending: midpoints, the outer ones mirrored.

        A single column gets a width of one degree.
        """
        return _edges(self.longitude, direction=1)

    @property
    def is_global_in_longitude(self) -> bool:
        """Whether the cells close the circle."""
        width = self.longitude_edges[-1] - self.longitude_edges[0]
        return bool(abs(width - 360.0) < COORDINATE_TOLERANCE_DEG)

    @cached_property
    def area_weights(self) -> Floats:
        """Cell areas (H, W), scaled to mean 1: exact spherical bands, not cos(latitude)."""
        bands = -np.diff(np.sin(np.radians(self.latitude_edges)))
        widths = np.diff(self.longitude_edges)
        area: Floats = np.outer(bands, widths)
        weights: Floats = area / area.mean()
        return weights

    @cached_property
    def extent_deg(self) -> float:
        """Side of a square as large as the grid on a map: square root of height times width."""
        height, width = np.ptp(self.latitude_edges), np.ptp(self.longitude_edges)
        return float(np.sqrt(height * width))

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the coordinates rounded to 1e-3 degrees: equal grids, equal digests."""
        content = hashlib.sha256()
        for axis in (self.latitude, self.longitude):
            content.update(np.round(axis / COORDINATE_TOLERANCE_DEG).astype("<i8").tobytes())
            content.update(b"|")
        return content.hexdigest()

    def matches(self, other: Self) -> bool:
        """Whether both grids have the same cells, within :data:`COORDINATE_TOLERANCE_DEG`."""
        return (
            self.shape == other.shape
            and np.allclose(self.latitude, other.latitude, atol=COORDINATE_TOLERANCE_DEG, rtol=0)
            and np.allclose(self.longitude, other.longitude, atol=COORDINATE_TOLERANCE_DEG, rtol=0)
        )

    def contains(self, latitude: float, longitude: float) -> bool:
        """Whether a place lies in one of the cells."""
        (north, *_, south), (west, *_, east) = self.latitude_edges, self.longitude_edges
        turn = (longitude - west) % 360.0
        return bool(south <= latitude <= north and turn <= east - west)

    def nearest_cell(self, latitude: float, longitude: float) -> tuple[int, int]:
        """(row, column) of the cell centre nearest to a place."""
        row = int(np.argmin(np.abs(self.latitude - latitude)))
        turn = (self.longitude - longitude + 180.0) % 360.0 - 180.0
        return row, int(np.argmin(np.abs(turn)))

    def distance_km(self, latitude: float, longitude: float) -> Floats:
        """Great-circle distance (H, W) of every cell centre from a place (haversine)."""
        phi, lam = np.radians(self.latitude)[:, None], np.radians(self.longitude)[None, :]
        phi0, lam0 = np.radians(latitude), np.radians(longitude)
        chord = (
            np.sin((phi - phi0) / 2) ** 2
            + np.cos(phi) * np.cos(phi0) * np.sin((lam - lam0) / 2) ** 2
        )
        angle: Floats = 2 * np.arcsin(np.sqrt(np.clip(chord, 0.0, 1.0)))
        return EARTH_RADIUS_KM * angle

    def __str__(self) -> str:
        """``33 x 49 cells, 58..50 N, -10..2 E``."""
        height, width = self.shape
        return (
            f"{height} x {width} cells, {self.latitude[0]:g}..{self.latitude[-1]:g} N, "
            f"{self.longitude[0]:g}..{self.longitude[-1]:g} E"
        )


def regular_grid(*, north: float, south: float, west: float, east: float, spacing: float) -> Grid:
    """The grid with centres at ``north, north - spacing … south`` and ``west … east``.

    Raises:
        DomainError: if the box is reversed, crosses the date line or is no multiple of spacing.
    """
    if not (north > south and east > west and spacing > 0):
        raise DomainError(
            f"Expected north > south, east > west and spacing > 0, found north {north:g}, "
            f"south {south:g}, west {west:g}, east {east:g}, spacing {spacing:g}; a box across "
            "the date line is not supported."
        )
    counts = np.array([(north - south) / spacing, (east - west) / spacing])
    if np.any(np.abs(counts - np.round(counts)) > 1e-6):
        raise DomainError(
            f"Expected a box that is a whole number of {spacing:g} degree steps, found "
            f"{counts[0]:g} x {counts[1]:g} steps; move its edges."
        )
    rows, columns = (round(count) + 1 for count in counts)
    return Grid(
        north - spacing * np.arange(rows, dtype=np.float64),
        west + spacing * np.arange(columns, dtype=np.float64),
    )


def gaussian_grid(
    *, latitudes: int, longitudes: int, north: float, south: float, west: float, east: float
) -> Grid:
    """The cells of a global Gaussian grid whose centres lie inside a box.

    Latitudes are the arcsines of the roots of the Legendre polynomial of degree
    ``latitudes`` (94 for T62); longitudes start at 0 with step ``360 / longitudes``.

    Raises:
        DomainError: if no cell centre lies inside the box.
    """
    nodes, _ = np.polynomial.legendre.leggauss(latitudes)
    latitude = np.degrees(np.arcsin(nodes))[::-1]
    longitude = np.sort((np.arange(longitudes) * (360.0 / longitudes) + 180.0) % 360.0 - 180.0)
    tolerance = COORDINATE_TOLERANCE_DEG
    rows = (latitude <= north + tolerance) & (latitude >= south - tolerance)
    columns = (longitude >= west - tolerance) & (longitude <= east + tolerance)
    if not rows.any() or not columns.any():
        raise DomainError(
            f"Expected at least one cell inside {south:g}..{north:g} N, {west:g}..{east:g} E on "
            f"the {latitudes} x {longitudes} Gaussian grid, found none."
        )
    return Grid(latitude[rows], longitude[columns])


def _edges(centres: Floats, *, direction: Literal[1, -1]) -> Floats:
    """Midpoints, with the two outer edges mirrored; a single centre gets a cell of 1 degree.

    ``direction`` is that of the axis, which a single centre does not show.
    """
    if centres.size == 1:
        return np.array([centres[0] - 0.5 * direction, centres[0] + 0.5 * direction])
    middle = (centres[:-1] + centres[1:]) / 2
    first, last = 2 * centres[0] - middle[0], 2 * centres[-1] - middle[-1]
    return np.concatenate([[first], middle, [last]])
