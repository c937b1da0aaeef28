"""What the Climate Data Store is asked: whole days times whole hours of one month, over one box."""

import hashlib
import json
import math
from collections import defaultdict
from collections.abc import Iterable
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict

from lsntp.grid import Floats, Grid
from lsntp.sources.parts import SHORTEST_MONTH
from lsntp.times import Times, format_time

NATIVE_STEP_DEG = 0.25
"""The regular grid on which the store delivers ERA5."""

Box = tuple[float, float, float, float]
"""North, west, south, east in degrees, the order of the store's ``area``."""

_HOUR = np.timedelta64(1, "h")
_TOLERANCE = 1e-6


class Product(BaseModel):
    """What every request of a domain has in common.

    Attributes:
        dataset: the store's name of it.
        data_format: what is delivered.
        area: the outermost native cell centres that are wanted.
        variables: what of the dataset.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    dataset: str
    data_format: Literal["grib", "netcdf"]
    area: Box
    variables: tuple[str, ...] = ("2m_temperature",)

    @property
    def cells(self) -> tuple[Floats, Floats]:
        """Native latitudes (north to south) and longitudes (west to east) of the area."""
        north, west, south, east = self.area
        rows, columns = (round(side / NATIVE_STEP_DEG) + 1 for side in (north - south, east - west))
        return (
            north - NATIVE_STEP_DEG * np.arange(rows, dtype=np.float64),
            west + NATIVE_STEP_DEG * np.arange(columns, dtype=np.float64),
        )


class Request(BaseModel):
    """Every one of some hours on every one of some days: exactly the times that are wanted."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    product: Product
    year: int
    month: int
    days: tuple[int, ...]
    hours: tuple[int, ...]

    @property
    def body(self) -> dict[str, Any]:
        """The request as the store takes it."""
        return {
            "product_type": ["reanalysis"],
            "variable": list(self.product.variables),
            "year": [f"{self.year:04d}"],
            "month": [f"{self.month:02d}"],
            "day": [f"{day:02d}" for day in self.days],
            "time": [f"{hour:02d}:00" for hour in self.hours],
            "area": list(self.product.area),
            "data_format": self.product.data_format,
            "download_format": "unarchived",
        }

    @property
    def key(self) -> str:
        """Names the request among ours: equal requests, equal keys."""
        content = json.dumps({"dataset": self.product.dataset, **self.body}, sort_keys=True)
        return hashlib.sha256(content.encode()).hexdigest()[:32]

    @property
    def times(self) -> Times:
        """The times it asks for, sorted (n,)."""
        month = np.datetime64(f"{self.year:04d}-{self.month:02d}", "M").astype("datetime64[h]")
        offsets = [24 * (day - 1) + hour for day in self.days for hour in self.hours]
        times: Times = (month + np.array(offsets) * _HOUR).astype("datetime64[ns]")
        return times

    def halves(self) -> "tuple[Request, Request] | None":
        """Two requests that ask for the same times: first fewer days each, then fewer hours.

        None if it asks for a single time.
        """
        for name in ("days", "hours"):
            values = getattr(self, name)
            if len(values) > 1:
                middle = (len(values) + 1) // 2
                first, second = values[:middle], values[middle:]
                return self.model_copy(update={name: first}), self.model_copy(update={name: second})
        return None

    def __str__(self) -> str:
        """``ERA5 2019-03-01T00:00Z..2019-03-31T23:00Z (744 times)``."""
        times = self.times
        return f"ERA5 {format_time(times[0])}..{format_time(times[-1])} ({times.size} times)"


def asked_box(area: Grid) -> Box:
    """The native cells that overlap ``area``, and one more on each side.

    Latitudes end at the poles; beside the date line the box ends at 180 degrees, and one that
    would close the circle asks for every longitude once.
    """
    north, south = _outermost(float(area.latitude_edges[0]), float(area.latitude_edges[-1]))
    east, west = _outermost(float(area.longitude_edges[-1]), float(area.longitude_edges[0]))
    west, east = max(west, -180.0), min(east, 180.0)
    if east - west > 360.0 - NATIVE_STEP_DEG:
        east = west + 360.0 - NATIVE_STEP_DEG
    return min(north, 90.0), west, max(south, -90.0), east


def requests_for(times: Times, product: Product) -> list[Request]:
    """The fewest requests that ask for ``times`` and nothing else, oldest first.

    Days of a month that want the same hours share a request.

    Args:
        times: sorted, whole hours.
        product: what they are wanted of.
    """
    hours_of: dict[tuple[int, int], dict[int, list[int]]] = defaultdict(lambda: defaultdict(list))
    for time in times.astype("datetime64[h]").tolist():
        hours_of[time.year, time.month][time.day].append(time.hour)
    found: list[Request] = []
    for (year, month), days in sorted(hours_of.items()):
        alike: dict[tuple[int, ...], list[int]] = defaultdict(list)
        for day, wanted in days.items():
            alike[tuple(wanted)].append(day)
        for hours, same in alike.items():
            request = Request(
                product=product, year=year, month=month, days=tuple(same), hours=hours
            )
            found += _apart(request)
    return sorted(found, key=lambda request: request.times[0])


def _apart(request: Request) -> Iterable[Request]:
    """Two times a month apart in a file of their own would pass for monthly means."""
    times = request.times
    halves = request.halves()
    if halves is not None and np.diff(times).min() >= SHORTEST_MONTH:
        return halves
    return (request,)


def _outermost(high: float, low: float) -> tuple[float, float]:
    """Centres of the cells that overlap ``low..high``, and one more on each side."""
    step = NATIVE_STEP_DEG
    last = math.ceil(high / step + 0.5 - _TOLERANCE) - 1
    first = math.floor(low / step - 0.5 + _TOLERANCE) + 1
    return (last + 1) * step, (first - 1) * step
