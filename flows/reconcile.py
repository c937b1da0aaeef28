"""Preliminary hours become final."""

from functools import partial
from typing import Any

from prefect import flow

from flows.coverage import with_coverage
from flows.parameters import Overrides, ingest_period, resolve
from tasks.reconcile import reconcile_hours


@flow(name="reconcile")
def reconcile(
    domain: str, start: str | None = None, end: str | None = None, overrides: Overrides = None
) -> dict[str, Any]:
    """Ask again for the preliminary hours of [start, end); by default for those old enough."""
    config = resolve(domain, overrides)
    period = ingest_period(config, start, end)
    return with_coverage(config, partial(reconcile_hours, config, period))
