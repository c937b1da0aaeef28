"""Fill a period of the analysis archive."""

import dataclasses
from typing import Any

from prefect import get_run_logger, task

from lsntp.backfill import backfill
from lsntp.config import Domain
from lsntp.times import Period
from tasks.policy import HOUR_S, OPTIONS
from tasks.slots import archive_slot, source_slot, turns


@task(name="backfill-hours", timeout_seconds=7 * 24 * HOUR_S, **OPTIONS)
def backfill_hours(
    domain: Domain, period: Period | None = None, *, newest_first: bool = False
) -> dict[str, Any]:
    """Ask for every hour of the period that holds no field, piece by piece."""
    during = turns(source_slot(domain), archive_slot(domain, "analysis"))
    report = backfill(domain, period=period, newest_first=newest_first, during=during)
    outcome = {**dataclasses.asdict(report), "period": str(report.period)}
    get_run_logger().info("%s: backfill %s", domain.domain, outcome)
    return outcome
