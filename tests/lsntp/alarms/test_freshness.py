"""Delays, at and next to their limits; a source is late by its nature, and that is no delay."""

import numpy as np
import pytest

from lsntp.alarms.finding import Level
from lsntp.alarms.freshness import analysis_freshness, forecast_freshness, in_words
from lsntp.alarms.holdings import Holdings
from lsntp.alarms.thresholds import Thresholds
from lsntp.archives.ledger import HourLedger
from lsntp.times import format_time, hours, parse_time
from lsntp.workspace import Workspace

NEWEST = parse_time("2021-01-10T23")
STORED_AT = parse_time("2021-02-01")  # by tests/lsntp/conftest.py
MINUTE = np.timedelta64(1, "m")


def analysis(domain, now):
    return analysis_freshness(domain, Holdings.of(domain), Thresholds.of(domain), now)


def forecast(domain, now):
    return forecast_freshness(domain, Holdings.of(domain), Thresholds.of(domain), now)


@pytest.mark.parametrize(
    ("late", "level"),
    [
        (hours(0), Level.GREEN),
        (hours(2), Level.GREEN),  # two steps are the limit of green
        (hours(2) + MINUTE, Level.YELLOW),
        (hours(4), Level.YELLOW),
        (hours(4) + MINUTE, Level.RED),
    ],
)
def test_the_newest_analysis_is_late_beyond_the_latency_of_its_source(live, store, late, level):
    domain = live("gfs")
    store(domain)
    found = analysis(domain, NEWEST + hours(4) + late)  # GFS publishes 4 h after its time here
    assert found.level is level
    assert format_time(NEWEST) in found.found
    assert "gfs publishes 4 h late" in found.expected
    assert found.where.endswith("analysis/small.zarr")
    assert "lsntp ingest small" in found.remedy


def test_preliminary_era5_of_six_days_ago_is_green_and_two_days_later_red(live, store):
    domain = live("era5")
    store(domain)
    usual = hours(24 * domain.source.publication_days)
    assert usual == hours(132)
    # it comes a day at a time: two steps and a day late is a good day
    assert analysis(domain, NEWEST + usual + hours(26)).level is Level.GREEN
    assert analysis(domain, NEWEST + usual + hours(52)).level is Level.YELLOW
    late = analysis(domain, NEWEST + usual + hours(53))
    assert late.level is Level.RED
    assert "53 h behind" in late.found
    assert "era5 publishes 5.5 days late" in late.expected


@pytest.mark.parametrize(
    ("number_h", "words"),
    [(0.25, "15 min"), (1.5, "1.5 h"), (95, "95 h"), (132, "5.5 days"), (110_206, "4591.9 days")],
)
def test_delays_are_told_as_people_tell_them(number_h, words):
    assert in_words(number_h) == words


def test_nothing_stored_is_red_where_a_source_promises_something(live):
    found = analysis(live("gfs"), NEWEST)
    assert (found.level, found.found) == (Level.RED, "none yet")


def test_made_up_weather_cannot_be_late(make_domain, tmp_path, store):
    domain = make_domain(tmp_path / "root")
    store(domain)
    found = analysis(domain, NEWEST + hours(10_000))
    assert found.level is Level.UNKNOWN
    assert "synthetic promises no new ones" in found.found


def test_a_late_analysis_says_what_the_source_said_last(live, store):
    domain = live("gfs")
    store(domain)
    asked = np.array([NEWEST + hours(1)])
    HourLedger(Workspace.of(domain).quarantine, domain.cadence).note_asked(
        asked, in_vain=asked, why={asked[0]: "the bucket says 503"}, now=NEWEST + hours(20)
    )
    found = analysis(domain, NEWEST + hours(24))
    assert found.found.endswith("asked in vain at 2021-01-11T19:00Z: the bucket says 503")
    assert "503" not in analysis(domain, NEWEST + hours(4)).found


@pytest.mark.parametrize(
    ("waited", "level"),
    [
        (hours(2), Level.GREEN),
        (hours(2) + MINUTE, Level.YELLOW),
        (hours(6), Level.YELLOW),
        (hours(6) + MINUTE, Level.RED),
    ],
)
def test_a_forecast_is_late_from_when_its_analyses_were_stored(live, store, crown, waited, level):
    domain = live()
    store(domain)
    crown(domain, last=238)
    found = forecast(domain, STORED_AT + waited)
    assert found.level is level
    assert "the last starts at 2021-01-10T22:00Z" in found.found
    assert found.where.endswith("forecasts/small/champion.zarr")


def test_a_forecast_from_the_newest_analysis_is_never_late(live, store, crown):
    domain = live()
    store(domain)
    crown(domain, last=239)
    assert forecast(domain, STORED_AT + hours(10_000)).level is Level.GREEN


def test_a_gap_in_the_history_makes_no_forecast_late(live, store, crown):
    domain = live()
    store(domain, missing=(230,))
    crown(domain, last=229)  # no later one has a whole day before it
    assert forecast(domain, STORED_AT + hours(10_000)).level is Level.GREEN


def test_initial_times_that_were_trained_on_make_no_forecast_late(live, store, crown):
    domain = live()
    store(domain, count=144)  # to the end of 2021-01-06; the test block begins with the 7th
    crown(domain)
    assert forecast(domain, STORED_AT + hours(10_000)).level is Level.GREEN


def test_a_champion_that_never_forecast_is_late_and_a_domain_without_one_is_not(live, store, crown):
    domain = live()
    store(domain)
    assert forecast(domain, STORED_AT + hours(7)).level is Level.UNKNOWN
    crown(domain)
    found = forecast(domain, STORED_AT + hours(7))
    assert found.level is Level.RED
    assert found.found.startswith("none yet, though later analyses have been there for 7 h")
