"""Hours from the source into the analysis archive."""

from functools import partial
from typing import Any

from prefect import flow

from flows.coverage import with_coverage
from flows.parameters import Overrides, ingest_period, resolve
from tasks.ingest import ingest_hours


@flow(name="ingest")
def ingest(
    domain: str, start: str | None = None, end: str | None = None, overrides: Overrides = None
) -> dict[str, Any]:
    """Ingest every hour of [start, end) that is not final yet.

    By default all that files have, and of a source beyond a network the newest hours and the
    oldest gaps within ``ingest.budget_h``.
    """
    config = resolve(domain, overrides)
    period = ingest_period(config, start, end)
    return with_coverage(config, partial(ingest_hours, config, period))
