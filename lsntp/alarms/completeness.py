"""Are the analyses complete, and do they pass the quality checks?"""

from lsntp.alarms.finding import AlarmName, Finding, Level
from lsntp.alarms.holdings import Holdings
from lsntp.config import Domain
from lsntp.evaluation.table import counted
from lsntp.names import Status
from lsntp.times import format_time
from lsntp.workspace import Workspace


def coverage_share(domain: Domain, held: Holdings) -> Finding:
    """Whether the last days up to the newest analysis have a field at every time.

    What comes after the newest analysis is a matter of freshness. Known holes upstream do not
    count: nobody can fill them.
    """
    rule = domain.alarms
    recent = held if held.newest is None else held.last_days(rule.coverage_days, held.newest)
    holes = int((recent.status == Status.UPSTREAM_HOLE).sum())
    expected = recent.times.size - holes
    usable = int(recent.is_usable.sum())
    share = usable / expected if expected else 1.0
    found = f"{usable} of {expected} times have one ({100 * share:.1f} %)"
    if holes:
        found += f", and {counted(holes, 'hole')} upstream"
    if usable < expected:
        lacking = recent.times[~recent.is_usable & (recent.status != Status.UPSTREAM_HOLE)]
        found += f"; the last without is {format_time(lacking[-1])}"
    level = Level.falling(share, rule.coverage_low, rule.coverage_min)
    if held.newest is None:
        level, found = Level.UNKNOWN, "no analysis yet"
    return Finding(
        AlarmName.LOW_COVERAGE,
        level,
        expected=f"a field at {100 * rule.coverage_min:g} % of the times of the "
        f"{counted(rule.coverage_days, 'day')} up to the newest analysis",
        found=found,
        where=str(held.path),
        remedy=f"lsntp status {domain.reference} says why each is missing; lsntp backfill "
        f"{domain.reference} --from TIME asks for them at once",
        limits=f"green from {100 * rule.coverage_low:g} % on, "
        f"red below {100 * rule.coverage_min:g} %",
    )


def quality_rejections(domain: Domain, held: Holdings) -> Finding:
    """How many fields of the last days were rejected and not released or replaced since."""
    rule = domain.alarms
    recent = held if not held.times.size else held.last_days(rule.rejections_days, held.times[-1])
    rejected = recent.times[recent.status == Status.QUARANTINED]
    found = counted(rejected.size, "rejected field")
    if rejected.size:
        found += f", the last of {format_time(rejected[-1])}"
    level = Level.rising(rejected.size, rule.rejections_some - 1, rule.rejections_many - 1)
    return Finding(
        AlarmName.QUALITY_REJECTIONS,
        level if held.times.size else Level.UNKNOWN,
        expected=f"fewer than {counted(rule.rejections_many, 'rejected field')} in the last "
        f"{counted(rule.rejections_days, 'day')}",
        found=found,
        where=str(Workspace.of(domain).quarantine),
        remedy=f"lsntp quarantine list {domain.reference}, then show: release what is true, and "
        "tell the provider of what is not; many alike mean that the source or the limits are wrong",
        limits=f"yellow from {rule.rejections_some}, red from {rule.rejections_many} in "
        f"{counted(rule.rejections_days, 'day')}",
    )
