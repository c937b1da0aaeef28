"""Preliminary hours become final."""

from typing import Any

from prefect import flow

from flows.parameters import Overrides, ingest_period, resolve
from tasks.ingest import publish_coverage
from tasks.reconcile import reconcile_hours


@flow(name="reconcile")
def reconcile(
    domain: str, start: str | None = None, end: str | None = None, overrides: Overrides = None
) -> dict[str, Any]:
    """Ask again for the preliminary hours of [start, end); by default for those old enough."""
    config = resolve(domain, overrides)
    outcome = reconcile_hours(config, ingest_period(config, start, end))
    return {**outcome, "coverage": publish_coverage(config)}
