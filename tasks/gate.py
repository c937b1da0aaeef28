"""Offer trained versions to the gate."""

from collections import Counter
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
def forecast_rivals(domain: Domain) -> list[str]:
    """Keep what the newest judged network versions, and the champions they met, forecast.

    The slot of the forecasts stays free for the next forecast meanwhile; a version's archive has a
    lease of its own.

    Returns:
        The versions whose forecasts are kept, each once.
    """
    from lsntp.forecasting import forecast_rivals as forecast

    with slots(archive_slot(domain, "training")):
        reports = forecast(domain, list(domain.networks))
    written = Counter({report.version: 0 for report in reports})
    for report in reports:
        written[report.version] += len(report.written)
    get_run_logger().info("%s: forecasts of rivals %s", domain.domain, dict(written))
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
