import numpy as np
import pytest

from lsntp.config import DriftConfig
from lsntp.evaluation.drift import drift_of, judge_drift
from lsntp.evaluation.scoring import evaluate

RULE = {"threshold": 0.1, "for_days": 3, "window_days": 2}


def judged(*skill, **changes):
    days = np.datetime64("2024-03-01", "ns") + np.arange(len(skill)) * np.timedelta64(1, "D")
    return judge_drift(days, np.array(skill), **RULE | changes)


@pytest.mark.parametrize(
    ("skill", "is_drifting", "days_below"),
    [
        ((0.5, 0.5, 0.09, 0.0, -0.4), True, 3),
        ((0.5, 0.5, 0.5, 0.0, -0.4), False, 2),
        ((0.5, 0.0, 0.0, 0.0, 0.1), False, 0),  # equal is not below
        ((0.0, 0.0, 0.0), False, 2),  # the first window is not whole
        ((0.5, 0.0, np.nan, 0.0, 0.0), False, 2),  # nothing is known of the third day
        ((0.5, 0.0, 0.0, 0.0, np.nan), False, 0),
    ],
)
def test_low_skill_on_each_of_the_last_days_is_drift(skill, is_drifting, days_below):
    found = judged(*skill)
    assert (found.is_drifting, found.days_below) == (is_drifting, days_below)


def test_the_verdict_has_its_numbers():
    found = judged(0.5, 0.0, 0.0, -0.25)
    assert found.to_dict() | {"verdict": ""} == {
        "is_drifting": True,
        "verdict": "",
        "skill": -0.25,
        "threshold": 0.1,
        "window_days": 2,
        "days_below": 3,
        "for_days": 3,
        "last_day": "2024-03-04",
    }
    assert found.verdict == (
        "The champion has drifted: skill against persistence -0.250 over the 2 days to 2024-03-04, "
        "below 0.1 for 3 days in a row; drift begins at 3 days."
    )


def test_without_a_skill_nothing_drifts():
    for found in (judged(), judged(np.nan, np.nan, np.nan)):
        assert not found.is_drifting
        assert found.last_day is None
        assert found.to_dict()["skill"] is None
        assert "No skill" in found.verdict


def worsening(times):
    """1 K wrong before 31 January, 3 K from then on."""
    return np.where(times < np.datetime64("2024-01-31"), 1.0, 3.0)


def test_the_champions_skill_is_that_of_the_forecasts_users_got(prepared):
    init_times = prepared.times[36:56]  # 29 January to 2 February
    prepared.forecast("persistence", init_times, 2.0)
    prepared.forecast("champion", init_times, worsening)
    rule = DriftConfig(window_days=1, threshold=0.0, for_days=3)
    domain = prepared.domain.model_copy(update={"drift": rule})
    assert drift_of(domain).last_day is None  # nothing is scored yet
    evaluate(domain)
    found = drift_of(domain)
    # 1 - 1 / 2 until the 30th, then 1 - 3 / 2; the archive has no truth for the last forecasts
    assert found.skill == pytest.approx(-0.5)
    assert found.is_drifting
    assert found.days_below >= 3
    patient = DriftConfig(window_days=1, threshold=0.0, for_days=4)
    assert not drift_of(domain.model_copy(update={"drift": patient})).is_drifting


def by_old_and_new(world, *, errors=(3.0, 1.0)):
    """Two days of the old champion, then of the new one: their forecasts, scored."""
    old, new = world.times[36:44], world.times[44:52]
    world.forecast("persistence", world.times[36:52], 2.0)
    world.forecast("champion", old, errors[0], version="old-0123456789ab")
    world.forecast("champion", new, errors[1], version="new-0123456789ab")
    evaluate(world.domain)
    rule = DriftConfig(window_days=1, threshold=0.0, for_days=2)
    return world.domain.model_copy(update={"drift": rule})


def test_after_a_promotion_the_skill_is_that_of_the_new_champion_alone(prepared):
    domain = by_old_and_new(prepared)
    two_days = DriftConfig(window_days=2, threshold=0.0, for_days=1)
    found = drift_of(domain.model_copy(update={"drift": two_days}), "new-0123456789ab")
    # its first window that is whole ends on its second day
    assert found.skill == pytest.approx(0.5)
    assert not found.is_drifting
    longer = DriftConfig(window_days=3, threshold=0.0, for_days=1)
    assert drift_of(domain.model_copy(update={"drift": longer})).last_day is None


def test_bad_days_of_the_old_champion_do_not_count_against_the_new_one(prepared):
    domain = by_old_and_new(prepared, errors=(3.0, 3.0))
    rule = DriftConfig(window_days=1, threshold=0.0, for_days=3)  # four bad days, two of them new
    found = drift_of(domain.model_copy(update={"drift": rule}))
    assert (found.is_drifting, found.days_below) == (False, 2)


def test_a_champion_without_a_scored_forecast_does_not_inherit_the_last_ones_skill(prepared):
    found = drift_of(by_old_and_new(prepared, errors=(3.0, 3.0)), "newer-0123456789ab")
    assert (found.is_drifting, found.last_day) == (False, None)
    assert "scored forecasts by the present champion newer-0123456789ab" in found.verdict


def test_without_persistence_the_verdict_says_what_to_add(prepared):
    found = drift_of(prepared.domain.model_copy(update={"baselines": ("ridge", "climatology")}))
    assert not found.is_drifting
    assert "Expected persistence under baselines" in found.verdict


def test_a_domain_without_a_champion_does_not_drift(scored):
    found = drift_of(scored.domain)
    assert (found.is_drifting, found.last_day) == (False, None)
