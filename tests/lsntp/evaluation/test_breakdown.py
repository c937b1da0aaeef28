"""Scores by hour, month and day, worst cases and trends, against errors known by hand."""

import numpy as np
import pytest

from lsntp.errors import EvaluationError
from lsntp.evaluation.breakdown import scores_by, skill_through_time, worst_cases
from lsntp.times import Period, hours

# In the stepped world ridge misses by 0, 1 … 13 K in slots 40 (30 January 00 UTC) to 53.
FIRST, LAST = 40, 54


def period(world, first=FIRST, last=LAST):
    return Period(world.times[first], world.times[last])


def by(world, group, **changes):
    settings = {"models": ["ridge", "lsntp"], "period": period(world)} | changes
    return scores_by(world.domain, group, **settings)


def test_by_the_hour_a_forecast_starts_from(stepped):
    found = by(stepped, "init_hour")
    assert found["init_hour"].values.tolist() == [0, 6, 12, 18]
    assert found["frames"].values.tolist() == [[4, 4], [4, 4], [3, 3], [3, 3]]
    # 00 UTC: 0, 4, 8, 12; 06 UTC: 1, 5, 9, 13; 12 UTC: 2, 6, 10; 18 UTC: 3, 7, 11
    ridge = found.sel(model="ridge")
    np.testing.assert_allclose(ridge["mae"], np.array([[6, 7, 6, 7]] * 2).T, rtol=1e-4)
    np.testing.assert_allclose(ridge["rmse_pooled"][0], np.sqrt(56), rtol=1e-4)
    np.testing.assert_allclose(ridge["rmse_per_image"][0], 6.0, rtol=1e-4)
    np.testing.assert_allclose(found.sel(model="lsntp")["mae"], [[2, 4]] * 4, rtol=1e-4)
    assert found["mae"].attrs["units"] == "K"
    assert found.attrs["common_init_times"] == 14


def test_by_the_hour_a_forecast_is_for_each_lead_comes_from_another_start(stepped):
    ridge = by(stepped, "valid_hour").sel(model="ridge")
    # valid at 00 UTC: six hours ahead from 18 UTC (7 K), twelve hours ahead from 12 UTC (6 K)
    np.testing.assert_allclose(ridge["mae"], [[7, 6], [6, 7], [7, 6], [6, 7]], rtol=1e-4)
    assert ridge["frames"].values.tolist() == [[3, 3], [4, 3], [4, 4], [3, 4]]


def test_by_month_and_by_day(stepped):
    month = by(stepped, "month").sel(model="ridge")
    assert month["month"].values.astype("datetime64[D]").astype(str).tolist() == [
        "2024-01-01",
        "2024-02-01",
    ]
    np.testing.assert_allclose(month["bias"], [[3.5] * 2, [10.5] * 2], rtol=1e-4)
    day = by(stepped, "day").sel(model="ridge")
    np.testing.assert_allclose(day["mae"][:, 0], [1.5, 5.5, 9.5, 12.5], rtol=1e-4)


def test_an_unknown_group_is_refused(stepped):
    with pytest.raises(EvaluationError, match="valid_hour, init_hour, month or day"):
        by(stepped, "week")


def test_models_are_compared_over_common_init_times_only(stepped):
    found = by(stepped, "day", models=["ridge", "climatology"])
    assert found["frames"].values[:, 0].tolist() == [4, 2]
    np.testing.assert_allclose(found.sel(model="ridge")["mae"][:, 0], [1.5, 12.5], rtol=1e-4)


def test_the_worst_cases_with_the_lead_that_was_worst(stepped):
    cases = worst_cases(stepped.domain, n=2, models=["ridge", "lsntp"], period=period(stepped))
    assert cases["init_time"].values[0].tolist() == stepped.times[[53, 52]].tolist()
    np.testing.assert_allclose(cases["mae"][0], [13, 12], rtol=1e-4)
    # lsntp misses by 2 K at the first lead and by 4 K at the second one
    np.testing.assert_allclose(cases.sel(model="lsntp")["mae"], 3.0, rtol=1e-4)
    np.testing.assert_allclose(cases.sel(model="lsntp")["lead_mae"], 4.0, rtol=1e-4)
    late = cases.sel(model="lsntp", rank=1)
    assert late["valid_time"].values == late["init_time"].values + hours(12)


def test_worst_cases_can_be_kept_apart_and_may_be_few(stepped):
    cases = worst_cases(
        stepped.domain, n=5, models=["ridge"], period=period(stepped), apart=hours(24)
    )
    assert cases["init_time"].values[0, :4].tolist() == stepped.times[[53, 49, 45, 41]].tolist()
    assert np.isnat(cases["init_time"].values[0, 4])
    assert np.isnan(cases["mae"].values[0, 4])
    with pytest.raises(EvaluationError, match="at least one case"):
        worst_cases(stepped.domain, n=0)


def test_skill_in_a_trailing_window(stepped):
    found = skill_through_time(
        stepped.domain,
        window_days=2,
        baseline="persistence",
        models=["ridge"],
        period=period(stepped),
    )
    ridge = found.sel(model="ridge")
    # days of 1.5, 5.5, 9.5 (four forecasts each) and 12.5 K (two forecasts)
    np.testing.assert_allclose(ridge["mae"], [1.5, 3.5, 7.5, 10.5], rtol=1e-4)
    np.testing.assert_allclose(ridge["skill"], 1 - np.array([1.5, 3.5, 7.5, 10.5]) / 2, rtol=1e-3)
    assert found["init_times"].values.tolist() == [4, 8, 8, 6]
    assert found["days"].values.tolist() == [1, 2, 2, 2]
    assert found.attrs["baseline"] == "persistence"


def test_a_window_without_a_forecast_is_nan(stepped):
    found = skill_through_time(
        stepped.domain, window_days=1, models=["ridge", "climatology"], period=period(stepped)
    )
    assert found["init_times"].values.tolist() == [4, 0, 0, 2]
    assert np.isnan(found["mae"].values[:, 1:3]).all()
    assert found.attrs["baseline"] == "climatology"  # 1 K everywhere; ridge misses by more
    np.testing.assert_allclose(found["skill"].sel(model="climatology")[[0, 3]], 0.0)


def test_a_baseline_that_was_not_scored_is_refused(stepped):
    with pytest.raises(EvaluationError, match="diurnal"):
        skill_through_time(stepped.domain, baseline="diurnal-persistence")


def test_a_trend_goes_on_past_the_end_of_the_test_block_and_a_table_does_not(stepped):
    split = stepped.domain.split.model_dump(mode="json")
    split["test"]["end"] = "2024-02-01"
    domain = stepped.domain.model_validate(
        stepped.domain.model_dump(mode="json") | {"split": split}
    )
    # windows inside the test block start from slots 41 to 45; the last scored one is slot 53
    assert scores_by(domain, "day", models=["ridge"])["frames"].sum(axis=0).values.tolist() == [
        5,
        5,
    ]
    trend = skill_through_time(domain, window_days=1, models=["ridge"])
    assert trend["init_times"].values.tolist() == [3, 4, 4, 2]
