import pytest

from lsntp.alarms.thresholds import Pair, Thresholds
from lsntp.config import load_domain


@pytest.mark.parametrize(
    ("preset", "analysis_h", "forecast_h"),
    [
        ("gfs-6hourly", Pair(12, 24), Pair(6, 18)),  # two steps, four; a step, three
        ("era5-hourly", Pair(26, 52), Pair(2, 6)),  # two steps and the day that arrives at once
        ("ncep-6hourly", Pair(36, 72), Pair(6, 18)),
    ],
)
def test_limits_follow_the_cadence_and_how_the_source_publishes(preset, analysis_h, forecast_h):
    found = Thresholds.of(load_domain(preset))
    assert (found.analysis_h, found.forecast_h) == (analysis_h, forecast_h)
    assert found.is_watched


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"analysis_late_h": 3}, Pair(3, 6)),
        ({"analysis_overdue_h": 100}, Pair(12, 100)),
        ({"analysis_overdue_h": 5}, Pair(5, 5)),
        ({"analysis_late_h": 3, "analysis_overdue_h": 4}, Pair(3, 4)),
    ],
)
def test_what_the_domain_file_says_holds(given, expected):
    domain = load_domain("gfs-6hourly", overrides={"alarms": given})
    assert Thresholds.of(domain).analysis_h == expected


def test_made_up_weather_is_watched_where_it_goes_on_or_a_limit_is_set():
    assert not Thresholds.of(load_domain("demo")).is_watched
    assert Thresholds.of(load_domain("demo", overrides={"source.live": True})).is_watched
    asked = load_domain("demo", overrides={"alarms": {"analysis_late_h": 5}})
    assert Thresholds.of(asked).is_watched
