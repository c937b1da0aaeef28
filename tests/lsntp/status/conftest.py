"""Status documents made by hand: one domain well, one in trouble, one that has just begun."""

import datetime as dt

import pytest

from lsntp.alarms import AlarmName, Level
from lsntp.status.document import (
    Analysis,
    Coverage,
    Day,
    Disk,
    Forecast,
    Judgement,
    Skill,
    Status,
)

UTC = dt.UTC
LONG_AGO = dt.datetime(2021, 2, 1, 12, tzinfo=UTC)


def judgement(name, level=Level.GREEN, **changes):
    content = {
        "name": name,
        "level": level,
        "expected": f"what {name} should be",
        "found": f"what {name} is",
        "where": f"/srv/forecasts/archives/{name}",
        "remedy": f"what to do about {name}",
        "limits": "green up to 2 h, red beyond 6 h",
        "open_since": None,
    }
    return Judgement(**content | changes)


def status(domain="gfs-europe", made_at=None, good_for_minutes=60, **changes):
    made_at = made_at or dt.datetime.now(UTC).replace(microsecond=0)
    at = made_at - dt.timedelta(hours=5)
    days = [at.date() - dt.timedelta(days=back) for back in range(29, -1, -1)]
    content = {
        "version": 1,
        "domain": domain,
        "description": "Europe at a quarter of a degree, every six hours",
        "is_synthetic": False,
        "source": "gfs",
        "made_at": made_at,
        "good_until": made_at + dt.timedelta(minutes=good_for_minutes),
        "level": Level.GREEN,
        "analysis": Analysis(time=at, status="final", stored_at=made_at, age_h=5.0, latency_h=3.6),
        "forecast": Forecast(
            init_time=at,
            valid_until=at + dt.timedelta(hours=36),
            model_version="lsntp-plus-0123456789ab",
            is_preliminary=False,
            age_h=5.0,
        ),
        "skill": Skill(
            days=30,
            until=str(days[-1]),
            against="persistence",
            skill=0.2345,
            mae_k=1.234,
            init_times=120,
            daily=tuple(
                Day(day=str(day), skill=None if place == 12 else 0.25 + 0.01 * (place % 7) - 0.02)
                for place, day in enumerate(days)
            ),
        ),
        "why_no_skill": "",
        "coverage": Coverage(
            days=7, expected=28, final=20, preliminary=7, quarantined=1, upstream_hole=0, missing=0
        ),
        "disk": Disk(free_gb=123.4, total_gb=500.0),
        "judgements": tuple(judgement(name) for name in AlarmName),
        "lsntp_version": "0",
    }
    return Status(**content | changes)


def troubled(**changes):
    """Two alarms, one of them about a damaged archive with a long and hostile text."""
    since = dt.datetime.now(UTC).replace(microsecond=0) - dt.timedelta(hours=7)
    judgements = [judgement(name) for name in AlarmName]
    judgements[0] = judgement(
        AlarmName.STALE_ANALYSIS,
        Level.RED,
        open_since=since,
        found="the newest is of 2021-01-31T06:00Z, 26.4 h behind what the source should have "
        "published; asked in vain at 2021-02-01T11:40Z: <b>503</b> " + "x" * 120,
    )
    judgements[2] = judgement(AlarmName.LOW_COVERAGE, Level.YELLOW)
    judgements[6] = judgement(
        AlarmName.DISK_SPACE, Level.RED, open_since=since, found="1.2 GB free"
    )
    content = {"domain": "era5-hourly", "level": Level.RED, "judgements": tuple(judgements)}
    return status(**content | changes)


def new(**changes):
    nothing = {"analysis": None, "forecast": None, "skill": None, "coverage": None}
    return status(
        "demo",
        **nothing
        | {
            "why_no_skill": "No forecast of the champion is scored yet.",
            "level": Level.UNKNOWN,
            "is_synthetic": True,
            "judgements": tuple(judgement(name, Level.UNKNOWN) for name in AlarmName),
        }
        | changes,
    )


@pytest.fixture(scope="session")
def make_status():
    """``make_status(domain, made_at, good_for_minutes, **changes)``: all is well."""
    return status


@pytest.fixture(scope="session")
def make_troubled():
    return troubled


@pytest.fixture(scope="session")
def make_new():
    return new
