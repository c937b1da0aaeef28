"""Write the forecasts that are missing."""

from collections.abc import Sequence
from typing import Any

from prefect import get_run_logger, task

from lsntp.config import Domain
from lsntp.times import Period
from lsntp.workspace import Workspace
from tasks.policy import HOUR_S, OPTIONS
from tasks.slots import archive_slot, slots, source_slot


@task(name="write-forecasts", timeout_seconds=6 * HOUR_S, **OPTIONS)
def write_forecasts(
    domain: Domain,
    *,
    models: Sequence[str] | None = None,
    period: Period | None = None,
    latest: bool = False,
    redo_superseded: bool = False,
) -> list[dict[str, Any]]:
    """Forecast from every initial time with a complete history and no forecast yet.

    A source that has forecasts of its own is asked for them too.
    """
    from lsntp.forecasting import forecast

    held = (source_slot(domain),) if domain.guidance else ()
    with slots(*held, archive_slot(domain, "forecasts")):
        reports = forecast(
            domain,
            models=models,
            period=period,
            latest=latest,
            redo_superseded=redo_superseded,
        )
    workspace = Workspace.of(domain)
    outcome = [
        {
            "model": report.model,
            "version": report.version,
            "written": len(report.written),
            "already": report.already,
            "older": report.older,
            "incomplete": report.incomplete,
            "superseded": report.superseded,
            "path": str(workspace.forecast(report.model)),
        }
        for report in reports
    ]
    get_run_logger().info("%s: forecast %s", domain.domain, outcome)
    return outcome
