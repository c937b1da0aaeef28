"""A source's own grid, and the part of it that covers a domain."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from lsntp.errors import DomainError, SourceDataError
from lsntp.grid import COORDINATE_TOLERANCE_DEG, Floats, Grid
from lsntp.names import LATITUDE, LONGITUDE

Ints = npt.NDArray[np.intp]

MAX_CELLS = 200_000_000
"""No global analysis has more; a header that claims more is damaged or hostile."""


@dataclass(frozen=True, eq=False)
class Window:
    """Which native rows and columns cover an area, and the grid they form.

    Attributes:
        rows: positions in the file's latitude axis, ordered north to south.
        columns: positions in the file's longitude axis, ordered -180..180.
        grid: the cells they form.
    """

    rows: Ints
    columns: Ints
    grid: Grid


@dataclass(frozen=True, eq=False)
class NativeGrid:
    """Latitude and longitude axes in the file's own order and convention (degrees)."""

    latitude: Floats
    longitude: Floats

    def check(self, where: str) -> None:
        """Refuse axes that are no grid.

        Raises:
            SourceDataError: naming the axis, what was expected and what was found.
        """
        for name, axis in ((LATITUDE, self.latitude), (LONGITUDE, self.longitude)):
            if axis.size < 2:
                raise SourceDataError(
                    f"Expected a field over an area in {where}, found a single {name}; a point "
                    "series cannot fill a gridded domain, use files of whole fields."
                )
            if not (np.isfinite(axis).all() and _is_ordered(name, axis)):
                raise SourceDataError(
                    f"Expected {name} to rise or fall throughout in {where}, found "
                    f"{axis.min():g}..{axis.max():g} out of order or with gaps; sort "
                    "the file along it."
                )
        if np.abs(self.latitude).max() > 90.0 + COORDINATE_TOLERANCE_DEG:
            raise SourceDataError(
                f"Expected latitude within -90..90 degrees in {where}, found "
                f"{self.latitude.min():g}..{self.latitude.max():g}."
            )
        if np.abs(self.longitude).max() > 720.0:
            raise SourceDataError(
                f"Expected longitude in degrees in {where}, found "
                f"{self.longitude.min():g}..{self.longitude.max():g}."
            )

    @cached_property
    def key(self) -> bytes:
        """Equal for the same axes in the same order, within the coordinate tolerance."""
        axes = (self.latitude, self.longitude)
        return b"|".join(
            np.round(a / COORDINATE_TOLERANCE_DEG).astype("<i8").tobytes() for a in axes
        )

    def window(self, area: Grid, where: str) -> Window:
        """The native cells that cover ``area`` and one more on each side, where there are any.

        Longitudes may follow any convention: they are turned by whole circles to lie
        around the area. Beside the date line, where one more cell would leave
        -180..180, a global grid is kept whole around the circle.

        Raises:
            DomainError: if a cell centre of ``area`` lies outside the native cells.
        """
        north_to_south = np.argsort(-self.latitude, kind="stable")
        latitude = np.clip(self.latitude[north_to_south], -90.0, 90.0)
        turned, west_to_east = self._turn(float(area.longitude[[0, -1]].mean()))
        if turned.size < 2 or not self._covers(area, latitude, turned):
            raise DomainError(self._not_covered(area, where))

        rows = _covering(-latitude, -area.latitude_edges[0], -area.latitude_edges[-1])
        columns = _covering(turned, area.longitude_edges[0], area.longitude_edges[-1])
        is_inside = np.abs(turned[columns]) <= 180.0
        if self._is_ring(turned) and not is_inside.all():
            turned, west_to_east = self._turn(0.0)
            columns = np.arange(turned.size)
        else:
            columns = columns[is_inside]
        grid = Grid(latitude[rows], turned[columns])
        if np.diff(grid.longitude).max(initial=0.0) > 1.5 * np.median(np.diff(turned)):
            raise DomainError(self._not_covered(area, where))
        return Window(north_to_south[rows], west_to_east[columns], grid)

    def _turn(self, centre: float) -> tuple[Floats, Ints]:
        """Longitudes within half a circle of ``centre``, ascending and unique, and their places."""
        west = centre - 180.0
        turned = self.longitude - 360.0 * np.floor((self.longitude - west) / 360.0)
        order = np.argsort(turned, kind="stable")
        turned = turned[order]
        is_new = np.diff(turned, prepend=-np.inf) > COORDINATE_TOLERANCE_DEG
        return turned[is_new], order[is_new]

    def _is_ring(self, turned: Floats) -> bool:
        step = float(np.median(np.diff(turned)))
        return bool(abs(turned[-1] - turned[0] + step - 360.0) < 0.5 * step)

    def _covers(self, area: Grid, latitude: Floats, turned: Floats) -> bool:
        rows, columns = _edges(-latitude), _edges(turned)
        slack = COORDINATE_TOLERANCE_DEG
        has_rows = rows[0] - slack <= -area.latitude[0] and -area.latitude[-1] <= rows[-1] + slack
        has_columns = self._is_ring(turned) or (
            columns[0] - slack <= area.longitude[0] and area.longitude[-1] <= columns[-1] + slack
        )
        return bool(has_rows and has_columns)

    def _not_covered(self, area: Grid, where: str) -> str:
        return (
            f"Expected data that cover the domain ({area}), found {self.latitude.max():g}.."
            f"{self.latitude.min():g} N, {self.longitude.min():g}..{self.longitude.max():g} E in "
            f"{where}; move the domain's box inside the data or point the source at other files."
        )


def _is_ordered(name: str, axis: Floats) -> bool:
    """Whether an axis rises or falls throughout; longitudes may go on from 360 to 0."""
    conventions = [axis, np.unwrap(axis, period=360.0)] if name == LONGITUDE else [axis]
    steps = [np.diff(convention) for convention in conventions]
    return any(np.all(step > 0) or np.all(step < 0) for step in steps)


def _edges(ascending: Floats) -> Floats:
    """Cell edges: midpoints, the outer ones mirrored."""
    middle = (ascending[:-1] + ascending[1:]) / 2
    first, last = 2 * ascending[0] - middle[0], 2 * ascending[-1] - middle[-1]
    return np.concatenate([[first], middle, [last]])


def _covering(ascending: Floats, low: float, high: float) -> Ints:
    """The cells that overlap ``low..high`` and one more on each side."""
    edges = _edges(ascending)
    first = int(np.searchsorted(edges[1:], low, side="right"))
    last = int(np.searchsorted(edges[:-1], high, side="left")) - 1
    return np.arange(max(first - 1, 0), min(last + 2, ascending.size))
