"""Offer trained versions to the gate."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from prefect import get_run_logger, task

from lsntp.config import Domain
from tasks.events import NEW_CHAMPION, tell
from tasks.policy import HOUR_S, OPTIONS
from tasks.slots import archive_slot, slots


@task(name="gate", timeout_seconds=6 * HOUR_S, **OPTIONS)
def pass_gate(domain: Domain, versions: Sequence[str]) -> list[dict[str, Any]]:
    """Judge the versions that wait for it; one entry a judgement.

    Emits :data:`~tasks.events.NEW_CHAMPION` if another version is champion afterwards, also where
    a later judgement failed.
    """
    from lsntp.training.gate import is_due, offer

    with slots(archive_slot(domain, "training")), _champion_told(domain):
        outcomes = offer(domain, [version for version in versions if is_due(domain, version)])
    found = [
        {
            "candidate": outcome.decision.candidate,
            "champion": outcome.decision.champion,
            "verdict": outcome.decision.verdict,
            "rule": outcome.decision.rule,
            "reason": outcome.decision.reason,
            "is_new": outcome.is_new,
        }
        for outcome in outcomes
    ]
    get_run_logger().info("%s: gate %s", domain.domain, found)
    return found


@task(name="forecast-rivals", timeout_seconds=6 * HOUR_S, **OPTIONS)
def forecast_rivals(domain: Domain, versions: Sequence[str]) -> list[str]:
    """Keep what judged versions, and the champions they were judged against, forecast.

    Those archives are no one else's: the slot of the forecasts stays free meanwhile.

    Returns:
        The versions that have forecasts now, each once.
    """
    from lsntp.forecasting import forecast_rivals as forecast

    with slots(archive_slot(domain, "training")):
        reports = [report for version in versions for report in forecast(domain, version)]
    written = {report.version: len(report.written) for report in reports}
    get_run_logger().info("%s: forecasts of rivals %s", domain.domain, written)
    return list(written)


@contextmanager
def _champion_told(domain: Domain) -> Iterator[None]:
    from lsntp.training.champion import champion_of

    before = champion_of(domain)
    try:
        yield
    finally:
        after = champion_of(domain)
        if after is not None and (before is None or after.version != before.version):
            tell(domain, NEW_CHAMPION, {"version": after.version})
