"""Any period into the analysis archive, by hand."""

from functools import partial
from typing import Any

from prefect import flow

from flows.coverage import with_coverage
from flows.parameters import Overrides, period_between, resolve
from tasks.backfill import backfill_hours


@flow(name="backfill")
def backfill(
    domain: str,
    start: str | None = None,
    end: str | None = None,
    newest_first: bool = False,
    overrides: Overrides = None,
) -> dict[str, Any]:
    """Fill every hour of [start, end) that holds no field; all the source has by default."""
    config = resolve(domain, overrides)
    period = period_between(config, start, end)
    fill = partial(backfill_hours, config, period, newest_first=newest_first)
    return with_coverage(config, fill)
