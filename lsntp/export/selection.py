"""What to export: forecasts of one model, chosen by initial time, place or box, and unit."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
import xarray as xr

import lsntp
from lsntp.archives.forecast import ForecastArchive
from lsntp.archives.layout import CADENCE_S, START
from lsntp.config import Domain
from lsntp.config.region import RegionConfig
from lsntp.errors import ArchiveNotFoundError, ConfigError, DomainError, EvaluationError
from lsntp.grid import Grid
from lsntp.names import (
    CHAMPION,
    INIT_TIME,
    KELVIN,
    LATITUDE,
    LEAD_TIME,
    LONGITUDE,
    VERSION_PATTERN,
)
from lsntp.times import LAST_INSTANT, Instant, Period, Times, format_time, parse_time, utc_now
from lsntp.workspace import Workspace

Unit = Literal["kelvin", "celsius"]
LATEST: Final = "latest"
FREEZING_POINT_K: Final = 273.15
CELSIUS: Final = "degC"


@dataclass(frozen=True, eq=False)
class Selection:
    """Forecasts that were chosen.

    Attributes:
        dataset: lazy, one forecast a chunk; fields have the dimensions ``init_time``, further
            ones if the model has them, ``lead_time``, then, unless a place was chosen,
            ``latitude`` and ``longitude``.
        model: whose they are.
        where: the cell that stands for the place, and how far it is; the box; or all cells.
    """

    dataset: xr.Dataset
    model: str
    where: str

    @property
    def init_times(self) -> Times:
        """When the forecasts start, ascending (n,)."""
        times: Times = self.dataset[INIT_TIME].to_numpy()
        return times

    @property
    def versions(self) -> list[str]:
        """The model versions that made them, each once."""
        return sorted({str(version) for version in self.dataset["model_version"].to_numpy()})

    def __str__(self) -> str:
        """``145 forecasts of champion, 2024-03-04T17:00Z..2024-03-10T18:00Z, all cells``."""
        count = self.init_times.size
        forecasts = "forecast" if count == 1 else "forecasts"
        return f"{count} {forecasts} of {self.model}, {_span(self.init_times)}, {self.where}"


def parse_initial(text: str) -> Period | Instant | None:
    """What ``latest`` (None), ``TIME`` or ``FROM..TO`` (either may be left out) names.

    Raises:
        DomainError: if a time is none, or the period is reversed.
    """
    if text == LATEST:
        return None
    first, dots, last = text.partition("..")
    if not dots:
        return parse_time(text)
    return Period(
        parse_time(first) if first else np.datetime64("1700-01-01", "ns"),
        parse_time(last or LAST_INSTANT),
    )


def parse_numbers(text: str, names: Sequence[str], option: str) -> tuple[float, ...]:
    """The finite numbers of ``48.9,2.4``, one for each name.

    Raises:
        ConfigError: if they are not as many finite numbers.
    """
    try:
        numbers = tuple(float(part) for part in text.split(","))
    except ValueError:
        numbers = ()
    if len(numbers) != len(names) or not np.isfinite(numbers).all():
        raise ConfigError(
            f"Expected {option} {','.join(names)} in degrees north and east, found {text!r}."
        )
    return numbers


def select_forecasts(
    domain: Domain,
    *,
    model: str = CHAMPION,
    initial: Period | Instant | None = None,
    place: tuple[float, float] | None = None,
    box: RegionConfig | None = None,
    unit: Unit = "kelvin",
) -> Selection:
    """Complete forecasts of one model; nothing but coordinates is read yet.

    Args:
        domain: whose forecasts.
        model: whose among them.
        initial: an initial time, a period of them (its end not included), or None for the newest.
        place: degrees north and east; the nearest cell stands for it.
        box: the cells whose centres lie inside.
        unit: of the temperatures.

    Raises:
        ConfigError: if the domain has no such model.
        ArchiveNotFoundError: if it has no forecasts yet.
        EvaluationError: if there is no complete forecast from that time; says which there are.
        DomainError: if the place lies outside the grid, or no cell inside the box.
    """
    archive = _open(domain, model)
    written = archive.written()
    chosen = _chosen(written, initial, f"{model} of {domain.domain}")
    slots = np.searchsorted(archive.init_times, chosen)
    dataset = archive.dataset().isel({INIT_TIME: slots})
    dataset = dataset.drop_vars([name for name in dataset if INIT_TIME not in dataset[name].dims])
    rows, columns, where = _cells(archive.grid, place, box)
    dataset = dataset.isel({LATITUDE: rows, LONGITUDE: columns})
    if unit == "celsius":
        dataset = dataset.assign(
            {name: _in_celsius(variable) for name, variable in dataset.data_vars.items()}
        )
    return Selection(_described(dataset, model, where), model, where)


def _open(domain: Domain, model: str) -> ForecastArchive:
    workspace = Workspace.of(domain)
    known = (CHAMPION, *domain.model_names)
    if model not in known and not VERSION_PATTERN.fullmatch(model):
        raise ConfigError(
            f"Expected a model of the domain {domain.domain}, one of {', '.join(known)}, or a "
            f"version; found {model!r}."
        )
    try:
        return ForecastArchive.open(workspace.forecast(model))
    except ArchiveNotFoundError as error:
        having = [name for name in known if _has_forecasts(workspace, name)]
        others = f"there are some of {', '.join(having)} (--model)" if having else "of no other"
        raise ArchiveNotFoundError(
            f"Expected forecasts of {model} at {workspace.forecast(model)}, found none, and "
            f"{others}; run `lsntp forecast`."
        ) from error


def _has_forecasts(workspace: Workspace, model: str) -> bool:
    try:
        ForecastArchive.open(workspace.forecast(model))
    except ArchiveNotFoundError:
        return False
    return True


def _chosen(written: Times, initial: Period | Instant | None, what: str) -> Times:
    if initial is None:
        chosen, asked = written[-1:], "any time"
    elif isinstance(initial, Period):
        chosen, asked = written[initial.contains(written)], str(initial)
    else:
        chosen, asked = written[written == initial], format_time(initial)
    if chosen.size:
        return chosen
    there = "there is none at all"
    if written.size:
        there = f"there are {written.size}, {_span(written)}"
        if isinstance(initial, np.datetime64):
            nearest = written[np.argsort(np.abs(written - initial), kind="stable")[:2]]
            there += f", next to it {' and '.join(map(format_time, np.sort(nearest)))}"
    raise EvaluationError(
        f"Expected a complete forecast by {what} from {asked}, found none; {there}. "
        "`lsntp forecast` makes those that are missing."
    )


def _span(times: Times) -> str:
    first, last = format_time(times[0]), format_time(times[-1])
    return first if times.size == 1 else f"{first}..{last}"


def _cells(
    grid: Grid, place: tuple[float, float] | None, box: RegionConfig | None
) -> tuple[Any, Any, str]:
    """Positions of rows and columns, and the choice in words."""
    if place is not None:
        if not (-90 <= place[0] <= 90 and grid.contains(*place)):
            (north, *_, south), (west, *_, east) = grid.latitude_edges, grid.longitude_edges
            raise DomainError(
                f"Expected a place in the domain's cells, {south:g}..{north:g} N, "
                f"{west:g}..{east:g} E, found {place[0]:g}, {place[1]:g}; choose one inside."
            )
        row, column = grid.nearest_cell(*place)
        distance = grid.distance_km(*place)[row, column]
        centre = f"{grid.latitude[row]:g}, {grid.longitude[column]:g}"
        where = f"the cell at {centre}, {distance:.1f} km from {place[0]:g}, {place[1]:g}"
        return row, column, where
    if box is None:
        return slice(None), slice(None), "all cells"
    inside = box.box_cells(grid)
    if not inside.any():
        raise DomainError(
            f"Expected cell centres in the box {box.south:g}..{box.north:g} N, "
            f"{box.west:g}..{box.east:g} E, found none among {grid}; move its edges."
        )
    rows, columns = np.flatnonzero(inside.any(axis=1)), np.flatnonzero(inside.any(axis=0))
    return rows, columns, f"{rows.size} x {columns.size} cells"


def _in_celsius(variable: xr.DataArray) -> xr.DataArray:
    if variable.attrs.get("units") != KELVIN:
        return variable
    values = (variable.astype(np.float64) - FREEZING_POINT_K).astype(variable.dtype)
    return values.assign_attrs(variable.attrs | {"units": CELSIUS})


def _described(dataset: xr.Dataset, model: str, where: str) -> xr.Dataset:
    """With what was done in its history, and without what holds for the whole archive only."""
    line = f"{format_time(utc_now())} lsntp {lsntp.__version__} exported {model}, {where}"
    earlier = dataset.attrs.get("history")
    kept = {key: value for key, value in dataset.attrs.items() if key not in (START, CADENCE_S)}
    history = f"{earlier}\n{line}" if earlier else line
    found = dataset.drop_encoding()
    found.attrs = kept | {"history": history}
    return found


def fields_of(dataset: xr.Dataset) -> list[str]:
    """The names of the temperatures: what depends on initial and lead time, coordinates apart."""
    return [str(name) for name, one in dataset.data_vars.items() if LEAD_TIME in one.dims]
