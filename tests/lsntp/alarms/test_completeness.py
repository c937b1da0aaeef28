"""Coverage and rejections, at and next to their limits."""

from pathlib import Path

import numpy as np
import pytest

from lsntp.alarms.completeness import coverage_share, quality_rejections
from lsntp.alarms.finding import Level
from lsntp.alarms.holdings import Holdings
from lsntp.names import Status
from lsntp.times import hours

RULE = {"coverage_days": 2, "coverage_low": 47 / 48, "coverage_min": 46 / 48}
"""Of 48 steps one may lack a field, and two before it is an alarm."""


def holdings(domain, **steps):
    """240 final steps, but for some of another status: ``missing=(200,)``."""
    times = domain.start + np.arange(240) * domain.cadence
    status = np.full(240, Status.FINAL, np.int8)
    for name, places in steps.items():
        status[list(places)] = Status[name.upper()]
    return Holdings(Path("archive"), times, status, times, domain.cadence, hours(0))


def covered(domain):
    return coverage_share(domain, Holdings.of(domain))


def rejected(domain):
    return quality_rejections(domain, Holdings.of(domain))


@pytest.mark.parametrize(
    ("missing", "level"),
    [
        ((), Level.GREEN),
        ((200,), Level.GREEN),
        ((200, 201), Level.YELLOW),
        ((200, 201, 202), Level.RED),
        ((100, 101, 102, 103), Level.GREEN),  # before the two days
        ((191, 192), Level.GREEN),  # the first of them is one step too early to count
        ((237, 238, 239), Level.GREEN),  # after the newest: a matter of freshness
    ],
)
def test_times_without_a_field_in_the_last_days_are_low_coverage(live, missing, level):
    domain = live(alarms=RULE)
    assert coverage_share(domain, holdings(domain, missing=missing)).level is level


def test_low_coverage_says_how_much_and_which_is_the_last(live, store):
    domain = live(alarms=RULE)
    store(domain, missing=(200, 201, 202))
    found = covered(domain)
    assert "45 of 48 times have one (93.8 %)" in found.found
    assert "the last without is 2021-01-09T10:00Z" in found.found
    assert found.remedy.startswith("lsntp status small")


def test_what_follows_the_newest_analysis_and_holes_upstream_do_not_count(live, store):
    domain = live(alarms=RULE)
    archive = store(domain, missing=(200, 201, 202))
    archive.mark(domain.start + np.array([200, 201, 202]) * hours(1), Status.UPSTREAM_HOLE)
    archive.mark(domain.start + np.arange(240, 250) * hours(1), Status.QUARANTINED)
    found = covered(domain)
    assert found.level is Level.GREEN
    assert "45 of 45 times" in found.found
    assert "3 holes upstream" in found.found


@pytest.mark.parametrize(
    ("quarantined", "level"),
    [
        ((), Level.GREEN),
        ((200,), Level.YELLOW),
        ((200, 239), Level.YELLOW),
        ((72, 200, 239), Level.RED),
        ((71, 200, 239), Level.YELLOW),  # seven days are 168 steps: 72 to 239
    ],
)
def test_rejected_fields_of_the_last_days_are_counted(live, quarantined, level):
    domain = live()
    found = quality_rejections(domain, holdings(domain, quarantined=quarantined))
    assert found.level is level
    assert found.where.endswith("quarantine/small")
    if level is Level.RED:
        assert found.found == "3 rejected fields, the last of 2021-01-10T23:00Z"


def test_rejected_fields_before_the_window_and_replaced_ones_do_not_count(
    live, store, publish, make_fields
):
    domain = live(alarms={"rejections_days": 2, "rejections_many": 3})
    archive = store(domain, missing=(100, 101, 102, 200, 201, 202))
    steps = np.array([100, 101, 102, 200, 201, 202])
    archive.mark(domain.start + steps * hours(1), Status.QUARANTINED)
    assert rejected(domain).level is Level.RED
    publish(domain, make_fields(domain, 1), first=202)
    assert rejected(domain).level is Level.YELLOW


def test_a_domain_without_an_archive_has_neither(live):
    assert covered(live()).level is Level.UNKNOWN
    assert rejected(live()).level is Level.UNKNOWN
