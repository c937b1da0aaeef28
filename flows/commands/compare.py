"""The command that sets two models side by side."""

import json
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from flows.commands.options import (
    DomainArgument,
    FromOption,
    SetOption,
    ToOption,
    overrides_from,
)
from flows.console import out
from flows.parameters import period_between
from lsntp.config import Domain, load_domain
from lsntp.times import Period


class By(StrEnum):
    """What the rows of the table stand for."""

    LEAD = "lead"
    HOUR = "hour"
    MONTH = "month"


class Metric(StrEnum):
    """What is compared."""

    MAE = "mae"
    RMSE = "rmse"


class Weighting(StrEnum):
    """How cells count."""

    PLAIN = "plain"
    AREA = "area"


def compare(
    domain: DomainArgument,
    model_a: Annotated[
        str, typer.Argument(metavar="MODEL_A", help="A model, a version, or MODEL@VERSION.")
    ],
    model_b: Annotated[str, typer.Argument(metavar="MODEL_B", help="What to compare it with.")],
    by: Annotated[By, typer.Option(help="Rows: lead time, hour of day (UTC), or month.")] = By.LEAD,
    metric: Annotated[Metric, typer.Option(help="Error to compare, K.")] = Metric.MAE,
    region: Annotated[
        str, typer.Option(help="all, land, sea, or a region of the domain file.")
    ] = "all",
    weighting: Annotated[
        Weighting, typer.Option(help="Every cell counts the same, or by its area.")
    ] = Weighting.PLAIN,
    start: FromOption = None,
    end: ToOption = None,
    block_days: Annotated[
        int | None,
        typer.Option(
            min=1, help="Days drawn together by the bootstrap; default: their number^⅓, rounded."
        ),
    ] = None,
    plot: Annotated[
        Path | None, typer.Option(metavar="FILE.png", help="Draw scores and differences as well.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="For scripts.")] = False,
    override: SetOption = None,
) -> None:
    """Say which of two models is better, by how much, and whether that could be chance.

    Both are taken over the initial times that both have fully scored, by default those of the
    test period. Blocks of whole days are drawn again and again with the same days for both models
    (paired block bootstrap): an interval without 0 is a difference that chance hardly makes. Fewer
    than six days give no interval.

    A version named whole has forecasts of its own: the gate keeps those of candidate and champion
    over the days that it compared, `lsntp forecast --model VERSION` makes others. MODEL@VERSION are
    those of the model's archive, which has one for each initial time, by whichever was newest then.

    Example: `lsntp compare demo ridge persistence --by hour --region land --plot hours.png`
    """
    from lsntp.evaluation.comparison import compare as compare_models
    from lsntp.evaluation.comparison_view import plot_comparison, render_comparison

    resolved = load_domain(domain, overrides=overrides_from(override))
    found = compare_models(
        resolved,
        model_a,
        model_b,
        by=by.value,
        metric=metric.value,
        region=region,
        weighting=weighting.value,
        period=_period(resolved, start, end),
        block_days=block_days,
    )
    if plot is not None:
        plot_comparison(found, plot)
    if as_json:
        out.print_json(json.dumps(found.to_dict(), allow_nan=False))
        return
    out.print(render_comparison(found))
    out.print(found.verdict, highlight=False, soft_wrap=True)
    if plot is not None:
        out.print(f"plot {plot}", highlight=False, soft_wrap=True)


def _period(domain: Domain, start: str | None, end: str | None) -> Period | None:
    """The initial times to compare; None for the test period."""
    return None if start is None and end is None else period_between(domain, start, end)
