"""What a skill table says of given scores; nothing is computed from forecasts here."""

import json
import math

import numpy as np
import pytest
import xarray as xr

from lsntp.evaluation.bootstrap import Interval
from lsntp.evaluation.metrics import METRICS
from lsntp.evaluation.table import Skill, SkillTable, counted
from lsntp.times import Period, parse_time

KINDS = {"ridge": "baseline", "persistence": "baseline", "net": "network"}
CLEAR, UNCLEAR = Interval(0.2, 0.1, 0.3), Interval(0.2, -0.1, 0.3)
WORSE, UNTESTED = Interval(-0.2, -0.3, -0.1), Interval(0.2, math.nan, math.nan)


def table_of(mae, against=CLEAR, **changes):
    """Leads of 3 h and 6 h; every metric is ``mae[model]`` K, twice that under ``plain``.

    The init_times are 22, 23, 0 and 1 h: two days.
    """
    models = sorted(mae, key=lambda model: np.mean(mae[model]))
    values = np.array([mae[model] for model in models], float)
    data = (("weighting", "model", "lead_time"), np.stack([2 * values, values]))
    skill = Skill(against, against)
    content = {
        "domain": "small",
        "period": Period.parse("2024-01-01", "2024-01-03"),
        "init_times": parse_time("2024-01-01T22") + np.arange(4) * np.timedelta64(1, "h"),
        "scores": xr.Dataset(
            dict.fromkeys(METRICS, data),
            {
                "weighting": ["plain", "area"],
                "model": models,
                "lead_time": np.array([3, 6], "timedelta64[h]").astype("timedelta64[ns]"),
            },
        ),
        "kinds": {model: KINDS[model] for model in models},
        "versions": {model: (f"{model}-0123",) for model in models},
        "skill": {
            m: {b: skill for b in models if b != m and KINDS[b] == "baseline"} for m in models
        },
        "winner_skill": skill if len(models) > 1 else None,
        "weighting": "area",
        "unscored": (),
        "seen": 0,
        "preliminary_frames": 0,
        "data_range_k": 30.0,
    }
    return SkillTable(**content | changes)


def test_a_score_is_the_mean_over_leads_under_the_weighting_of_the_table():
    table = table_of({"ridge": (1.0, 2.0)})
    assert table.score("ridge", "mae") == 1.5
    assert table.score("ridge", "mae", weighting="plain") == 3.0
    assert table.lead_hours.tolist() == [3.0, 6.0]
    assert table.days == 2


def test_a_lead_without_a_score_leaves_no_mean():
    assert math.isnan(table_of({"ridge": (1.0, math.nan)}).score("ridge", "acc"))


def test_the_best_baseline_is_the_first_that_is_one():
    table = table_of({"ridge": (2, 2), "persistence": (3, 3), "net": (1, 1)})
    assert (table.winner, table.runner_up, table.best_baseline) == ("net", "ridge", "ridge")
    alone = table_of({"net": (1, 1)})
    assert (alone.winner, alone.runner_up, alone.best_baseline) == ("net", None, None)
    assert not alone.is_lead_significant


@pytest.mark.parametrize(
    ("mae", "against", "sentence"),
    [
        ((2, 2), UNCLEAR, "net loses to the baseline ridge, though not significantly: MAE 2.000 K"),
        ((2, 2), WORSE, "net loses to the baseline ridge: MAE 2.000 K against 1.000 K"),
        ((0.5, 0.5), UNCLEAR, "net beats every baseline, though not significantly; the best"),
        ((0.5, 0.5), CLEAR, "net beats every baseline; the best of them is ridge: MAE 0.500 K"),
        ((0.5, 0.5), UNTESTED, "net beats every baseline; the best of them is ridge: MAE 0.500 K"),
        ((1, 1), UNCLEAR, "net equals the best baseline ridge: MAE 1.000 K against 1.000 K"),
    ],
)
def test_a_network_is_held_against_the_best_baseline(mae, against, sentence):
    table = table_of({"ridge": (1, 1), "persistence": (3, 3), "net": mae}, against)
    assert f"The network {sentence}" in table.verdict


@pytest.mark.parametrize(
    ("against", "claim"),
    [
        (CLEAR, "is significant (skill +0.200, 95 % interval +0.100 to +0.300)."),
        (UNCLEAR, "is not significant (skill +0.200, 95 % interval -0.100 to +0.300)."),
        (UNTESTED, "cannot be tested (skill +0.200; fewer than 6 days give no interval)."),
    ],
)
def test_the_lead_of_the_winner_is_called_what_its_interval_allows(against, claim):
    table = table_of({"ridge": (1, 1), "persistence": (2, 2)}, against)
    assert table.verdict == (
        "ridge is best: MAE 1.000 K, mean of 2 leads over 4 initial times on 2 days; its lead over "
        f"persistence {claim} No network was scored."
    )
    assert table.is_lead_significant == (against is CLEAR)


def test_what_spoils_the_comparison_is_said_first_and_who_is_missing_last():
    verdict = table_of({"net": (1, 1)}, seen=3, unscored=("ridge", "persistence")).verdict
    assert verdict.startswith("No test: 3 of the 4 initial times have truth that training")
    assert "there is no other model to compare it with. No baseline was scored." in verdict
    assert verdict.endswith(" Not scored: ridge, persistence.")


def test_the_best_baseline_has_no_skill_against_itself():
    frame = table_of({"ridge": (1, 3), "net": (4, 4)}, WORSE).to_frame()
    assert frame.index.tolist() == ["ridge", "net"]
    ridge = frame.loc["ridge"]
    assert ridge[["mae_3h", "mae_6h", "mae", "mae_plain", "mae_area"]].tolist() == [1, 3, 2, 4, 2]
    assert frame.loc["ridge", ["skill", "skill_low", "skill_high"]].isna().all()
    assert frame.loc["net", ["skill", "skill_low", "skill_high"]].tolist() == [-0.2, -0.3, -0.1]


def test_json_keeps_every_lead_and_has_null_for_what_is_not_known():
    table = table_of({"ridge": (1, 3), "net": (2.5, math.nan)}, UNTESTED)
    content = json.loads(json.dumps(table.to_dict(), allow_nan=False))
    assert content["period"] == ["2024-01-01T00:00:00.000000000", "2024-01-03T00:00:00.000000000"]
    assert content["winner_skill"]["mae"] == {"estimate": 0.2, "low": None, "high": None}
    first, second = content["models"]
    assert (first["model"], first["kind"], first["versions"]) == (
        "ridge",
        "baseline",
        ["ridge-0123"],
    )
    assert first["scores"]["plain"]["mae"] == {"leads": [2, 6], "mean": 4}
    assert second["scores"]["area"]["acc"] == {"leads": [2.5, None], "mean": None}
    assert list(second["skill"]) == ["ridge"]
    assert content["lead_hours"] == [3, 6]


def test_nouns_follow_their_number():
    assert [counted(n, "lead") for n in (0, 1, 2)] == ["0 leads", "1 lead", "2 leads"]
