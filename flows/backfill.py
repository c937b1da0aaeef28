"""Any period into the analysis archive, by hand."""

from typing import Any

from prefect import flow

from flows.parameters import Overrides, period_between, resolve
from tasks.backfill import backfill_hours
from tasks.ingest import publish_coverage


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
    outcome = backfill_hours(config, period, newest_first=newest_first)
    return {**outcome, "coverage": publish_coverage(config)}
