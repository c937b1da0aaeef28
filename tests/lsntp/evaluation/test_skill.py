"""The skill table: common init_times, the honest winner, plain words."""

import json
import math

import numpy as np
import pytest

from lsntp.archives.evaluation import EvaluationArchive
from lsntp.errors import EvaluationError
from lsntp.evaluation.scoring import evaluate
from lsntp.evaluation.skill import render_table, skill_table
from lsntp.names import Status
from lsntp.times import Period

# The test block starts on 29 January, slot 36; behind the purge gap of 4 steps and one step of
# history its first window starts from slot 41. The last truth is slot 55, two steps after slot 53.
# An interval needs six days, more than the test block holds: WEEK starts before it, on 27 January.
WEEK = slice(30, 56)


def table_of_the_week(world):
    times = world.times[WEEK]
    return skill_table(world.domain, period=Period(times[0], times[-1] + world.domain.cadence))


def test_models_are_compared_over_the_test_windows_they_have_in_common(scored):
    table = skill_table(scored.domain)
    assert table.init_times.tolist() == scored.times[41:54].tolist()
    assert table.models == ("ridge", "lsntp", "persistence")
    assert table.unscored == ("climatology",)
    assert table.kinds == {"ridge": "baseline", "lsntp": "network", "persistence": "baseline"}
    assert table.days == 4


def test_a_model_with_fewer_forecasts_limits_the_common_set(scored, tmp_path):
    world = scored.copy(tmp_path)
    world.forecast("climatology", world.times[45:50], 3.0)
    evaluate(world.domain)
    table = skill_table(world.domain)
    assert table.init_times.tolist() == world.times[45:50].tolist()
    assert skill_table(world.domain, models=["ridge", "lsntp"]).init_times.size == 13
    world.forecast("climatology", world.times[30:33], 1.0)
    evaluate(world.domain)
    with pytest.raises(EvaluationError, match=r"in common \(.*climatology 3, ridge 4"):
        skill_table(world.domain, period=Period(world.times[30], world.times[40]))


def test_scores_and_skill_by_hand(prepared):
    for model, error in (("persistence", 2.0), ("lsntp", 1.0)):
        prepared.forecast(model, prepared.times[WEEK], error)
    evaluate(prepared.domain)
    table = table_of_the_week(prepared)
    for metric in ("mae", "bias", "rmse_pooled", "rmse_per_image", "rmse_per_cell", "rmse_psnr"):
        for weighting in ("plain", "area"):
            found = [table.score(m, metric, weighting=weighting) for m in ("persistence", "lsntp")]
            assert found == pytest.approx([2.0, 1.0], rel=1e-4), (metric, weighting)
    against = table.skill["lsntp"]["persistence"]
    assert (against.mae.low, against.mae.estimate, against.mae.high) == pytest.approx(
        (0.5, 0.5, 0.5), abs=1e-3
    )
    assert against.mse.estimate == pytest.approx(0.75, abs=1e-3)  # 1 - 1/4
    assert table.is_lead_significant
    assert "lsntp is best" in table.verdict
    assert "beats persistence, the only baseline scored:" in table.verdict


def test_a_network_that_loses_is_said_to_lose(prepared):
    for model, error in (("ridge", 1.0), ("lsntp", 2.0)):
        prepared.forecast(model, prepared.times[WEEK], error)
    evaluate(prepared.domain)
    table = table_of_the_week(prepared)
    assert table.winner == "ridge"
    assert table.best_baseline == "ridge"
    assert "The network lsntp loses to" in table.verdict
    assert table.skill["lsntp"]["ridge"].mae.is_below_zero


def test_equal_forecasts_are_not_told_apart(prepared):
    for model in ("ridge", "lsntp"):
        prepared.forecast(model, prepared.times[WEEK], prepared.noisy(1.0, 1))
    evaluate(prepared.domain)
    table = table_of_the_week(prepared)
    found = table.skill["lsntp"]["ridge"].mae
    assert (found.low, found.estimate, found.high) == (0.0, 0.0, 0.0)
    assert not table.is_lead_significant
    assert "is not significant" in table.verdict
    assert "lsntp equals the best baseline ridge" in table.verdict


def test_a_chosen_period_and_a_whole_archive(scored):
    short = skill_table(scored.domain, period=Period(scored.times[40], scored.times[44]))
    assert short.init_times.size == 4
    before_test = scored.domain.model_dump(mode="json")
    before_test["split"]["test"] = {"start": "2024-03-01", "end": "2024-03-05"}
    everything = skill_table(scored.domain.model_validate(before_test))
    assert everything.init_times.size == 18


def test_one_model_alone_is_described_without_comparison(scored):
    table = skill_table(scored.domain, models=["lsntp"])
    assert table.winner_skill is None
    assert table.runner_up is None
    assert "no other model" in table.verdict
    assert "No baseline was scored." in table.verdict
    json.dumps(table.to_dict(), allow_nan=False)
    render_table(table)


def test_forecasts_of_what_was_trained_on_are_said_to_be_no_test(prepared):
    # training and validation end before slot 36: the truth of slots 30 to 34 lies inside them
    for model in ("ridge", "lsntp"):
        prepared.forecast(model, prepared.times[30:35], prepared.noisy(1.0, 1))
    evaluate(prepared.domain)
    table = skill_table(prepared.domain)
    assert table.seen == 5
    assert table.verdict.startswith(
        "No test: 5 of the 5 initial times have truth that training or validation has seen."
    )
    assert table.to_dict()["seen"] == 5


def test_a_test_says_nothing_about_what_was_seen(scored):
    table = skill_table(scored.domain)
    assert table.seen == 0
    assert "No test" not in table.verdict


def test_models_that_were_not_asked_for_are_not_called_unscored(scored):
    assert skill_table(scored.domain, models=["ridge", "lsntp"]).unscored == ()
    assert "Not scored: climatology." in skill_table(scored.domain).verdict


def test_a_frame_of_preliminary_truth_counts_once_whoever_forecast_it(world):
    world.ingest(world.times[:50])
    world.ingest(world.times[50:52], status=Status.PRELIMINARY)
    world.prepare()
    for model in ("ridge", "persistence", "lsntp"):
        world.forecast(model, world.times[41:50], 1.0)
    evaluate(world.domain)
    # valid at slot 50: from 48 and 49; valid at 51: from 49
    assert skill_table(world.domain).preliminary_frames == 3


def test_one_of_a_kind_is_said_in_the_singular(prepared):
    for model, error in (("ridge", 2.0), ("lsntp", 1.0)):
        prepared.forecast(model, prepared.times[44:45], error)
    evaluate(prepared.domain)
    verdict = skill_table(prepared.domain).verdict
    assert "mean of 2 leads over 1 initial time on 1 day;" in verdict
    assert "its lead over ridge cannot be tested (skill +0.500; fewer than 6 days" in verdict
    assert "significant" not in verdict
    assert "lsntp beats ridge, the only baseline scored:" in verdict


def test_the_table_is_json_without_nan(scored):
    content = skill_table(scored.domain).to_dict()
    assert json.loads(json.dumps(content, allow_nan=False)) == content
    ridge = content["models"][0]
    assert ridge["model"] == "ridge"
    assert ridge["versions"] == ["ridge-0123456789ab"]
    assert len(ridge["scores"]["area"]["mae"]["leads"]) == 2
    assert set(ridge["skill"]) == {"persistence"}
    assert content["preliminary_frames"] == 0


def test_the_frame_has_one_row_a_model_best_first(scored):
    frame = skill_table(scored.domain).to_frame()
    assert frame.index.tolist() == ["ridge", "lsntp", "persistence"]
    assert frame.loc["ridge", "mae"] == pytest.approx(
        (frame.loc["ridge", "mae_6h"] + frame.loc["ridge", "mae_12h"]) / 2
    )
    assert math.isnan(frame.loc["ridge", "skill"])
    assert frame.loc["lsntp", "skill"] < 0
    assert math.isnan(frame.loc["lsntp", "skill_low"])  # four days


def test_the_ranking_follows_the_weighting(prepared):
    grid = prepared.domain.target_grid
    north = (np.arange(8) < 4)[:, None] * np.ones((1, 8))
    for model, pattern in (("ridge", north), ("lsntp", 1 - north)):
        missed = np.broadcast_to(pattern, (16, 8, 8))
        prepared.forecast(model, prepared.times[40:56], lambda times, missed=missed: missed)
    evaluate(prepared.domain)
    plain, area = (skill_table(prepared.domain, weighting=w) for w in ("plain", "area"))
    assert plain.score("ridge", "mae") == pytest.approx(0.5, abs=1e-3)
    share = (grid.area_weights * north).sum() / 64
    assert area.score("ridge", "mae") == pytest.approx(share, abs=1e-3)
    assert area.winner == "ridge"  # northern cells are smaller
    assert area.winner_skill.mae.estimate == pytest.approx(1 - share / (1 - share), abs=1e-3)


def test_without_scores_the_error_says_what_to_run(prepared):
    with pytest.raises(
        EvaluationError, match=r"lsntp forecast \S+small.yaml`.*lsntp evaluate \S+small.yaml`"
    ):
        skill_table(prepared.domain)


def test_an_archive_that_a_killed_run_left_empty_counts_as_nothing_scored(prepared):
    domain = prepared.domain
    EvaluationArchive.create(
        prepared.workspace.evaluation,
        grid=domain.target_grid,
        start=domain.start,
        cadence=domain.cadence,
        lead_times=domain.lead_times,
        attrs={},
    )
    with pytest.raises(EvaluationError, match=r"lsntp evaluate \S+small.yaml`"):
        skill_table(domain)


def test_a_named_model_without_scores_is_named(scored):
    with pytest.raises(EvaluationError, match="forecasts of climatology"):
        skill_table(scored.domain, models=["ridge", "climatology"])
