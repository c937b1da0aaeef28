"""A status document from what is stored, and from what the alarms found."""

import datetime as dt
import shutil
from collections.abc import Callable, Mapping, Sequence
from typing import Final, TypeVar

import numpy as np

import lsntp
from lsntp.alarms import AlarmName, Finding, Level
from lsntp.alarms.disk import GB, place_of
from lsntp.alarms.freshness import champion_forecasts
from lsntp.alarms.holdings import Holdings
from lsntp.archives.evaluation import MODEL
from lsntp.archives.forecast import ForecastArchive
from lsntp.config import Domain
from lsntp.errors import ArchiveNotFoundError, EvaluationError, LsntpError
from lsntp.evaluation.breakdown import DAY, skill_through_time
from lsntp.evaluation.drift import BAR
from lsntp.evaluation.selection import open_scores
from lsntp.names import CHAMPION
from lsntp.names import Status as HourStatus
from lsntp.status.document import (
    GRAVITY,
    VERSION,
    Analysis,
    Coverage,
    Day,
    Disk,
    Forecast,
    Judgement,
    Skill,
    Status,
)
from lsntp.times import DAY as ONE_DAY
from lsntp.times import LAST_INSTANT, Instant, Period, in_hours
from lsntp.training.champion import one_line
from lsntp.workspace import Workspace

SKILL_DAYS: Final = 30

T = TypeVar("T")


def status_of(
    domain: Domain,
    found: Sequence[Finding],
    open_since: Mapping[AlarmName, dt.datetime],
    now: Instant,
) -> Status:
    """How a domain stands; what cannot be read is null here and red among the judgements.

    Args:
        domain: whose.
        found: see :func:`lsntp.alarms.findings`.
        open_since: the open alarms.
        now: the time.
    """
    held = _attempt(lambda: Holdings.of(domain))
    skill, why = _skill(domain)
    made_at = moment(now)
    return Status(
        version=VERSION,
        domain=domain.domain,
        description=domain.description,
        is_synthetic=domain.is_synthetic,
        source=domain.source.name,
        made_at=made_at,
        good_until=made_at + dt.timedelta(minutes=domain.alarms.page_minutes),
        level=max((one.level for one in found), key=GRAVITY.index, default=Level.UNKNOWN),
        analysis=_analysis(held, now) if held else None,
        forecast=_attempt(lambda: _forecast(domain, now)),
        skill=skill,
        why_no_skill=why,
        coverage=_coverage(held, domain.alarms.coverage_days) if held else None,
        disk=_attempt(lambda: _disk(domain)),
        judgements=tuple(
            Judgement(
                name=one.name,
                level=one.level,
                expected=one.expected,
                found=one.found,
                where=one.where,
                remedy=one.remedy,
                limits=one.limits,
                open_since=open_since.get(one.name),
            )
            for one in found
        ),
        lsntp_version=lsntp.__version__,
    )


def moment(time: Instant) -> dt.datetime:
    """A UTC instant as datetime, to the second."""
    seconds = int((time - np.datetime64(0, "ns")) // np.timedelta64(1, "s"))
    return dt.datetime.fromtimestamp(seconds, dt.UTC)


def _analysis(held: Holdings, now: Instant) -> Analysis | None:
    if held.newest is None:
        return None
    place = int(np.searchsorted(held.times, held.newest))
    return Analysis(
        time=moment(held.newest),
        status="final" if held.status[place] == HourStatus.FINAL else "preliminary",
        stored_at=moment(held.ingested_at[place]),
        age_h=_hours(now - held.newest),
        latency_h=_hours(held.latency),
    )


def _forecast(domain: Domain, now: Instant) -> Forecast | None:
    last = champion_forecasts(domain)[-1:]
    if not last.size:
        return None
    archive = ForecastArchive.open(Workspace.of(domain).forecast(CHAMPION))
    return Forecast(
        init_time=moment(last[0]),
        valid_until=moment(last[0] + domain.lead_times[-1]),
        model_version=archive.model_versions(last)[0],
        is_preliminary=bool(archive.analysis_status_at(last)[0] == HourStatus.PRELIMINARY),
        age_h=_hours(now - last[0]),
    )


def _skill(domain: Domain) -> tuple[Skill | None, str]:
    """Of the champion's last scored days, whichever versions it was; or why there is none."""
    try:
        scored = open_scores(domain).scored(CHAMPION)
        if not scored.size:
            return None, f"No forecast of the {CHAMPION} is scored yet."
        end = scored[-1].astype("datetime64[D]").astype("datetime64[ns]") + ONE_DAY
        period = Period(end - SKILL_DAYS * ONE_DAY, LAST_INSTANT)
        whole, daily = (
            skill_through_time(
                domain, window_days=days, baseline=BAR, models=[CHAMPION], period=period
            ).sel({MODEL: CHAMPION}, drop=True)
            for days in (SKILL_DAYS, 1)
        )
    except (EvaluationError, ArchiveNotFoundError) as error:
        return None, one_line(error)
    except LsntpError as error:
        return None, f"The scores cannot be read: {one_line(error)}"
    last = whole.isel({DAY: -1})
    return Skill(
        days=SKILL_DAYS,
        until=_date(whole[DAY].values[-1]),
        against=BAR,
        skill=_number(float(last["skill"])),
        mae_k=_number(float(last["mae"])),
        init_times=int(last["init_times"]),
        daily=tuple(
            Day(day=_date(day), skill=_number(float(value)))
            for day, value in zip(daily[DAY].values, daily["skill"].values, strict=True)
        ),
    ), ""


def _coverage(held: Holdings, days: int) -> Coverage | None:
    if held.newest is None:
        return None
    recent = held.last_days(days, held.newest)
    counts = {status.name.lower(): int((recent.status == status).sum()) for status in HourStatus}
    return Coverage(days=days, expected=recent.times.size, **counts)


def _disk(domain: Domain) -> Disk:
    usage = shutil.disk_usage(place_of(domain))
    return Disk(free_gb=round(usage.free / GB, 2), total_gb=round(usage.total / GB, 2))


def _attempt(make: Callable[[], T]) -> T | None:
    """What is made; None where an archive is damaged, which the judgements tell."""
    try:
        return make()
    except (LsntpError, OSError):
        return None


def _hours(duration: np.timedelta64) -> float:
    return round(in_hours(duration), 2)


def _number(value: float) -> float | None:
    return round(value, 4) if np.isfinite(value) else None


def _date(day: np.datetime64) -> str:
    return str(day.astype("datetime64[D]"))
