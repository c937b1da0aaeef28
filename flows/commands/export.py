"""The command that puts forecasts into files for those who do not read Zarr."""

import os
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from pydantic import ValidationError

from flows.commands.options import DomainArgument, SetOption, overrides_from
from flows.console import err, out
from lsntp.config import load_domain
from lsntp.config.region import RegionConfig
from lsntp.errors import ConfigError, DomainError
from lsntp.names import CHAMPION

STDOUT = "-"
EDGES = ("north", "west", "south", "east")


class Units(StrEnum):
    """What temperatures are given in."""

    KELVIN = "kelvin"
    CELSIUS = "celsius"


def export(
    domain: DomainArgument,
    output: Annotated[
        str,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help="What to write: .nc or .csv by its name; - for CSV on standard output.",
        ),
    ],
    model: Annotated[
        str, typer.Option("--model", metavar="NAME", help="Whose forecasts.")
    ] = CHAMPION,
    initial: Annotated[
        str,
        typer.Option(
            "--init",
            metavar="latest|TIME|FROM..TO",
            help="Initial time, or a period of them (TO not included; either may be left out).",
        ),
    ] = "latest",
    place: Annotated[
        str | None,
        typer.Option(metavar="LAT,LON", help="Only the cell nearest to a place, degrees."),
    ] = None,
    box: Annotated[
        str | None,
        typer.Option(
            metavar="NORTH,WEST,SOUTH,EAST", help="Only cells with their centres inside, degrees."
        ),
    ] = None,
    units: Annotated[Units, typer.Option(help="Of temperatures.")] = Units.KELVIN,
    force: Annotated[bool, typer.Option("--force", help="Replace a file that is there.")] = False,
    override: SetOption = None,
) -> None:
    """Write forecasts as netCDF (CF-1.11) or CSV, those of the champion unless told otherwise.

    netCDF has the layout of the archive: t2m(init_time, lead_time, latitude, longitude), and which
    version made each forecast. CSV has a row for each initial time, lead time and cell:
    init_time, lead_time_h, valid_time, latitude, longitude, t2m, model_version; times are UTC.
    The file appears when it is whole and was read back.

    Example: `lsntp export demo -o latest.nc`

    Example: `lsntp export demo --place 48.9,2.4 --init 2024-03-04..2024-03-06 --units celsius -o -`
    """
    from lsntp.export.files import check_path, write_csv, write_file
    from lsntp.export.selection import parse_initial, parse_numbers, select_forecasts

    resolved = load_domain(domain, overrides=overrides_from(override))
    path = None if output == STDOUT else Path(output).expanduser()
    if path is not None:
        check_path(path, force=force)
    if place is not None and box is not None:
        raise ConfigError("Expected --place or --box, found both; choose one.")
    try:
        when = parse_initial(initial)
    except DomainError as error:
        raise ConfigError(f"--init: {error}") from error
    where = parse_numbers(place, ("LAT", "LON"), "--place") if place is not None else None
    chosen = select_forecasts(
        resolved,
        model=model,
        initial=when,
        place=None if where is None else (where[0], where[1]),
        box=None if box is None else _box(parse_numbers(box, ("N", "W", "S", "E"), "--box")),
        unit=units.value,
    )
    if path is None:
        try:
            write_csv(chosen, sys.stdout)
            sys.stdout.flush()
        except BrokenPipeError:  # whoever reads has seen enough, as `| head` does
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    else:
        write_file(chosen, path, force=force)
    say = err if path is None else out
    made_by = ", ".join(chosen.versions)
    target = "" if path is None else f" -> {path}"
    say.print(f"export: {chosen}, by {made_by}{target}", highlight=False, soft_wrap=True)


def _box(edges: tuple[float, ...]) -> RegionConfig:
    try:
        return RegionConfig.model_validate(dict(zip(EDGES, edges, strict=True)))
    except ValidationError as error:
        said = "; ".join(one["msg"].removeprefix("Value error, ") for one in error.errors())
        raise ConfigError(f"--box {','.join(EDGES).upper()}: {said}.") from error
