"""Replace preliminary hours by the final ones that have appeared."""

import dataclasses
from typing import Any

from prefect import get_run_logger, task

from lsntp.config import Domain
from lsntp.reconcile import reconcile
from lsntp.times import Period
from tasks.policy import HOUR_S, OPTIONS
from tasks.slots import archive_slot, source_slot, turns


@task(name="reconcile-hours", timeout_seconds=6 * HOUR_S, **OPTIONS)
def reconcile_hours(domain: Domain, period: Period | None = None) -> dict[str, Any]:
    """Ask again for preliminary hours that may be final by now."""
    during = turns(source_slot(domain), archive_slot(domain, "analysis"))
    report = reconcile(domain, period=period, during=during)
    outcome = {**dataclasses.asdict(report), "did_nothing": report.did_nothing}
    get_run_logger().info("%s: reconcile %s", domain.domain, outcome)
    return outcome
