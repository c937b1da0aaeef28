"""Write the forecasts that are missing: our own, and those of the source itself."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from prefect import get_run_logger, task

from lsntp.config import Domain
from lsntp.times import Period
from lsntp.workspace import Workspace
from tasks.events import NEW_FORECAST, tell
from tasks.policy import HOUR_S, OPTIONS
from tasks.slots import archive_slot, slots, source_slot

if TYPE_CHECKING:
    from lsntp.publication import ForecastReport


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

    Waits for no one who is busy with the source.
    """
    from lsntp.forecasting import forecast_models

    with slots(archive_slot(domain, "forecasts")):
        reports = forecast_models(
            domain,
            models=models,
            period=period,
            latest=latest,
            redo_superseded=redo_superseded,
        )
    return _told(domain, reports)


@task(name="write-guidance", timeout_seconds=6 * HOUR_S, **OPTIONS)
def write_guidance(
    domain: Domain,
    *,
    models: Sequence[str] | None = None,
    period: Period | None = None,
    latest: bool = False,
    limit: int | None = None,
) -> list[dict[str, Any]]:
    """Fetch the source's own forecasts that are not there yet, and correct them.

    Its archives are no one else's, so it holds the source alone: our models never wait for it.
    """
    from lsntp.forecasting import forecast_guidance

    with slots(source_slot(domain)):
        reports = forecast_guidance(
            domain, models=models, period=period, latest=latest, limit=limit
        )
    return _told(domain, reports)


def _told(domain: Domain, reports: "Sequence[ForecastReport]") -> list[dict[str, Any]]:
    """What was done, logged, and told as :data:`~tasks.events.NEW_FORECAST` if it is new."""
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
            "waiting": report.waiting,
            "path": str(workspace.forecast(report.model)),
        }
        for report in reports
    ]
    get_run_logger().info("%s: forecast %s", domain.domain, outcome)
    written = {entry["model"]: entry["written"] for entry in outcome if entry["written"]}
    if written:
        tell(domain, NEW_FORECAST, {"written": written})
    return outcome
