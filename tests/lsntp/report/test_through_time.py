import numpy as np
import xarray as xr

from lsntp.report.through_time import MAX_ROWS, ThroughTime, trend_view
from lsntp.times import parse_time

START = parse_time("2021-01-01")
DAY = np.timedelta64(1, "D")


def trends_of(days):
    """lsntp has 0.6 of persistence's error, ridge 0.5; lsntp is 0.2 worse than ridge."""
    mae = {"ridge": 0.5, "lsntp": 0.6, "persistence": 1.0}

    def against(bar):
        skill = [np.full(days, 1 - value / mae[bar]) for value in mae.values()]
        return xr.Dataset(
            {
                "mae": (("model", "day"), [np.full(days, value) for value in mae.values()]),
                "skill": (("model", "day"), skill),
                "init_times": ("day", np.arange(1, days + 1)),
            },
            {"model": list(mae), "day": START + np.arange(days) * DAY},
        )

    trends = {bar: against(bar) for bar in ("persistence", "ridge")}
    return ThroughTime(trends, ("ridge", "lsntp"))


def test_the_table_says_what_the_curves_show_newest_first():
    view = trend_view(trends_of(3), [])
    assert view.table.rows[0] == [
        "2021-01-03",
        "3",
        "0.500",
        "0.600",
        "+0.500",
        "+0.400",
        "\N{MINUS SIGN}0.200",
    ]
    assert len(view.table.columns) == len(view.table.rows[0])
    first, second = view.curves.charts
    assert "line-skill-persistence-lsntp" in first.svg
    assert "line-skill-ridge-lsntp" in second.svg
    assert "line-skill-ridge-ridge" not in second.svg


def test_years_of_days_stay_a_short_table_that_begins_today():
    view = trend_view(trends_of(1000), [])
    assert len(view.table.rows) <= MAX_ROWS
    assert view.table.rows[0][0] == "2023-09-27"
    assert "2021-01-01" in view.curves.charts[0].svg
    assert "2023-09-27" in view.curves.charts[0].svg


def test_a_change_of_version_is_marked_and_said():
    changed = trend_view(trends_of(10), [START + 4 * DAY])
    assert "first forecast of another version" in changed.sentence
    assert "another version" not in trend_view(trends_of(10), [START - DAY]).sentence
