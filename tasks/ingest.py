"""Bring the analysis archive up to date with its source."""

from typing import Any

from prefect import get_run_logger, task
from prefect.artifacts import create_table_artifact

from lsntp.config import Domain
from lsntp.ingest import ingest
from lsntp.life_cycle import life_cycle
from lsntp.times import Period
from tasks.events import NEW_ANALYSIS, tell
from tasks.policy import HOUR_S, OPTIONS
from tasks.slots import archive_slot, slots, source_slot

MAX_SPANS = 500
"""Spans in the artifact, the newest: a page must stay a page."""


@task(name="ingest-hours", timeout_seconds=6 * HOUR_S, **OPTIONS)
def ingest_hours(domain: Domain, period: Period | None = None) -> dict[str, Any]:
    """Fetch, check, regrid and publish every hour of the period that is not final yet.

    Without a period, of a source beyond a network only what its budget allows: the newest hours
    and the oldest gaps; see :func:`lsntp.ingest.ingest`. What is stored is told as the event
    :data:`~tasks.events.NEW_ANALYSIS`.
    """
    # A tick is bounded by its budget, so it keeps its turn: a second one then finds nothing to do.
    with slots(source_slot(domain), archive_slot(domain, "analysis")):
        report = ingest(domain, period=period)
    outcome = {
        "written": report.written,
        "replaced": report.replaced,
        "quarantined": report.quarantined,
        "absent": report.absent,
        "left": report.left,
        "holes": report.holes,
        "did_nothing": report.did_nothing,
    }
    get_run_logger().info("%s: ingest %s", domain.domain, outcome)
    if report.written or report.replaced:
        tell(domain, NEW_ANALYSIS, {"written": report.written, "replaced": report.replaced})
    return outcome


@task(name="publish-coverage", **OPTIONS)
def publish_coverage(domain: Domain) -> dict[str, int]:
    """Show what every expected hour is as a table artifact; returns the count of each state."""
    found = life_cycle(domain)
    spans = found.spans()
    earlier = max(0, len(spans) - MAX_SPANS)
    create_table_artifact(
        key=f"coverage-{domain.domain}",
        table=[span.to_json() for span in spans[-MAX_SPANS:]],
        description=f"Expected hours of {domain.domain}"
        + (f"; {earlier} earlier spans are in `lsntp status --json`" if earlier else ""),
    )
    return {state.value: count for state, count in found.counts.items()}
