"""Bring the analysis archive up to date with its source."""

from typing import Any

from prefect import get_run_logger, task
from prefect.artifacts import create_table_artifact

from lsntp.archives.analysis import AnalysisArchive
from lsntp.archives.coverage import coverage
from lsntp.config import Domain
from lsntp.ingest import ingest
from lsntp.times import Period, format_time
from lsntp.workspace import Workspace
from tasks.policy import HOUR_S, OPTIONS
from tasks.slots import archive_slot, slots, source_slot


@task(name="ingest-hours", timeout_seconds=6 * HOUR_S, **OPTIONS)
def ingest_hours(domain: Domain, period: Period | None = None) -> dict[str, Any]:
    """Fetch, check, regrid and publish every hour of the period that is not final yet."""
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
    return outcome


@task(name="publish-coverage", **OPTIONS)
def publish_coverage(domain: Domain) -> dict[str, Any]:
    """Show which hours the archive holds as a table artifact."""
    archive = AnalysisArchive.open(Workspace.of(domain).analysis)
    end = domain.start + max(1, archive.times.size) * domain.cadence
    known = coverage(archive, domain.start, domain.cadence, Period(domain.start, end))
    create_table_artifact(
        key=f"coverage-{domain.domain}",
        table=[
            {"from": format_time(run.start), "to": format_time(run.end), "status": run.status.name}
            for run in known.runs()
        ],
        description=f"Hours of the analysis archive of {domain.domain}",
    )
    return known.summary()
