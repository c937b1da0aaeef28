"""Coverage and rejections, at and next to their limits."""

import numpy as np
import pytest

from lsntp.alarms.completeness import coverage_share, quality_rejections
from lsntp.alarms.finding import Level
from lsntp.alarms.holdings import Holdings
from lsntp.names import Status
from lsntp.times import hours

RULE = {"coverage_days": 2, "coverage_low": 47 / 48, "coverage_min": 46 / 48}
"""Of 48 steps one may lack a field, and two before it is an alarm."""


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
    ],
)
def test_times_without_a_field_in_the_last_days_are_low_coverage(live, store, missing, level):
    domain = live(alarms=RULE)
    store(domain, missing=missing)
    assert covered(domain).level is level


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
    ("count", "level"), [(0, Level.GREEN), (1, Level.YELLOW), (2, Level.YELLOW), (3, Level.RED)]
)
def test_rejected_fields_of_the_last_days_are_counted(live, store, count, level):
    domain = live()
    archive = store(domain, count=230)
    archive.mark(domain.start + np.arange(230, 230 + count) * hours(1), Status.QUARANTINED)
    found = rejected(domain)
    assert found.level is level
    assert found.found.startswith(f"{count} rejected field")
    assert found.where.endswith("quarantine/small")


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
