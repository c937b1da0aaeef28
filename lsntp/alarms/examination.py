"""Every alarm of a domain, judged on what is stored: no source and no scheduler is asked."""

from collections.abc import Callable

from lsntp.alarms.completeness import coverage_share, quality_rejections
from lsntp.alarms.disk import disk_space
from lsntp.alarms.finding import AlarmName, Finding, Level
from lsntp.alarms.freshness import analysis_freshness, forecast_freshness
from lsntp.alarms.holdings import Holdings
from lsntp.alarms.model import failed_promotion, skill_drift
from lsntp.alarms.thresholds import Thresholds
from lsntp.config import Domain
from lsntp.errors import LsntpError
from lsntp.times import Instant
from lsntp.training.champion import one_line
from lsntp.workspace import Workspace


def findings(domain: Domain, now: Instant) -> list[Finding]:
    """How everything stands that somebody is called for, in a fixed order; changes nothing.

    What cannot be judged because an archive is damaged or the storage refuses is red, and says
    so: an alarm that falls silent with what it watches is none.
    """
    limits = Thresholds.of(domain)
    judges: dict[AlarmName, Callable[[], Finding]] = {
        AlarmName.STALE_ANALYSIS: lambda: analysis_freshness(
            domain, Holdings.of(domain), limits, now
        ),
        AlarmName.STALE_FORECAST: lambda: forecast_freshness(
            domain, Holdings.of(domain), limits, now
        ),
        AlarmName.LOW_COVERAGE: lambda: coverage_share(domain, Holdings.of(domain)),
        AlarmName.QUALITY_REJECTIONS: lambda: quality_rejections(domain, Holdings.of(domain)),
        AlarmName.SKILL_DRIFT: lambda: skill_drift(domain),
        AlarmName.FAILED_PROMOTION: lambda: failed_promotion(domain, now),
        AlarmName.DISK_SPACE: lambda: disk_space(domain),
    }
    return [_judged(domain, name, judge) for name, judge in judges.items()]


def _judged(domain: Domain, name: AlarmName, judge: Callable[[], Finding]) -> Finding:
    try:
        return judge()
    except (LsntpError, OSError) as error:
        return Finding(
            name,
            Level.RED,
            expected="archives and folders that can be read",
            found=f"this could not be judged: {one_line(error)}",
            where=str(Workspace.of(domain).root),
            remedy=f"lsntp verify {domain.reference} --all, then lsntp repair "
            f"{domain.reference}; for a refusal of the storage, permissions and mounts first",
            limits="red where it cannot be judged",
        )
