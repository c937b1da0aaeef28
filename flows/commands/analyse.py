"""Commands that look into a trained network."""

from pathlib import Path
from typing import Annotated

import typer

from flows.commands.options import DomainArgument, SetOption, overrides_from
from flows.console import out
from lsntp.config import load_domain
from lsntp.errors import ConfigError
from lsntp.workspace import Workspace


def correlations(
    domain: DomainArgument,
    place: Annotated[
        str | None,
        typer.Option(
            metavar="LAT,LON", help="Degrees north and east; default: the domain's place."
        ),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option("--model", metavar="NAME", help="Which network; default: the first trained."),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", metavar="FILE", help="Figure, .svg; default: beside the report."
        ),
    ] = None,
    override: SetOption = None,
) -> None:
    """Draw what a network has learned about one place beside what the data say.

    Left, the column of the learned adjacency: with which weight every cell takes long-range
    information from this one. Right, the Pearson correlation of temperature over the training
    period. A NetCDF of the same name holds the numbers.

    Example: `lsntp analyse correlations demo --place 48.0,2.0 -o paris.svg`
    """
    resolved = load_domain(domain, overrides=overrides_from(override))
    where = resolved.place if place is None else _parse_place(place)
    if where is None:
        raise ConfigError(
            f"Expected --place LAT,LON, or place: [LAT, LON] in {domain}, found neither."
        )
    from lsntp.report.correlation_figure import check_figure_path, write_correlations
    from lsntp.report.correlations import correlations as analyse

    if output is not None:
        check_figure_path(output)
    found = analyse(resolved, where, model)
    # Beside the folder of pages, which the next report replaces.
    name = f"{resolved.domain}-correlations-{found.model}-{where[0]:g}-{where[1]:g}.svg"
    path = output or Workspace.of(resolved).report.parent.with_name(name)
    for written in write_correlations(found, path):
        out.print(f"wrote {written}", highlight=False, soft_wrap=True)


def _parse_place(text: str) -> tuple[float, float]:
    try:
        latitude, longitude = (float(part) for part in text.split(","))
    except ValueError:
        raise ConfigError(f"Expected --place LAT,LON such as 39.9,116.4, found {text!r}.") from None
    return latitude, longitude
