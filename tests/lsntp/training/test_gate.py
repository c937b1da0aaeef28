"""Constructed candidates: every RMSE is known by hand, see made_versions."""

import json
import shutil

import numpy as np
import pytest

from lsntp.archives.forecast import ForecastArchive
from lsntp.errors import ArchiveBusyError, ModelError
from lsntp.forecasting import forecast
from lsntp.training import gate, latest_version, train
from lsntp.training.champion import champion_of, promote, rollback
from lsntp.training.contents import CLIMATOLOGY, HOURS_OF_DAY, RIDGE
from lsntp.training.decisions import decisions_of
from lsntp.training.gate import is_due, offer
from lsntp.training.versions import save_version
from lsntp.workspace import Workspace
from tests.lsntp.training.made_versions import biased, gate_domain, rewrite, truth


@pytest.fixture
def domain(make_domain, publish, tmp_path):
    """Constant truth; the champion misses by 1 K at both leads."""
    domain = gate_domain(make_domain, tmp_path / "root")
    publish(domain, truth(domain))
    promote(domain, biased(domain, 1.0, 1.0), by="test", reason="the bar")
    return domain


@pytest.fixture
def bar(domain):
    return champion_of(domain).version


def judged(domain, name):
    (outcome,) = offer(domain, [name])
    return outcome.decision


def test_a_better_candidate_becomes_champion_and_the_decision_has_its_numbers(domain, bar):
    better = biased(domain, 0.5, -0.9)
    decision = judged(domain, better)
    assert decision.verdict == "promoted"
    assert champion_of(domain).version == better
    assert champion_of(domain).history[0].version == bar
    # constant truth: RMSE is the bias; mean over leads 0.7 K against 1 K
    assert decision.candidate_rmse_k == pytest.approx([0.5, 0.9], abs=1e-5)
    assert decision.champion_rmse_k == pytest.approx([1.0, 1.0], abs=1e-5)
    assert decision.difference_k == pytest.approx(-0.3, abs=1e-5)
    assert decision.interval_k == pytest.approx((-0.3, -0.3), abs=1e-5)
    # validation ends on the 11th; a day of purge gap, one step of history: from the 12th 06 UTC.
    # The last truth is of the 22nd 18 UTC, so the last initial time is 06 UTC; ten whole days.
    assert decision.window == ("2021-01-12T12:00Z", "2021-01-22T06:00Z")
    assert (decision.days, decision.init_times) == (10, 40)
    assert decision == decisions_of(domain, better)[-1]
    assert "0.700 K against 1.000 K" in decision.reason


def test_errors_are_weighted_by_area(domain):
    # wrong by 3 K in the northern half, right in the southern: rows of 50..45 N, three each;
    # the area of a row of one degree is sin(phi + 0.5) - sin(phi - 0.5)
    half = np.full((4, 1, *domain.target_grid.shape), 280.0, np.float32)
    half[:, :, :3] += 3.0
    candidate = biased(domain, model="climatology", tensors={CLIMATOLOGY: half})
    latitude = np.radians([50, 49, 48, 47, 46, 45])
    area = np.sin(latitude + np.radians(0.5)) - np.sin(latitude - np.radians(0.5))
    expected = 3.0 * np.sqrt(area[:3].sum() / area.sum())
    assert judged(domain, candidate).candidate_rmse_k == pytest.approx([expected] * 2, abs=1e-4)


def test_a_worse_candidate_is_kept_with_the_reason_and_the_champion_stays(domain, bar):
    decision = judged(domain, biased(domain, 1.2, 1.2))
    assert decision.verdict == "kept"
    assert "Expected a lower RMSE than the champion's, found RMSE 1.200 K" in decision.reason
    assert champion_of(domain).version == bar


def test_an_equal_candidate_is_kept(domain, bar):
    decision = judged(domain, biased(domain, -1.0, -1.0))
    assert decision.verdict == "kept"
    assert decision.difference_k == 0.0
    assert champion_of(domain).version == bar


def cold_and_warm(domain):
    """Two climatologies, of which each is right on every other day where truth swings by 2 K."""
    return (
        biased(
            domain,
            model="climatology",
            repeat=repeat,
            tensors={CLIMATOLOGY: np.full((4, 1, 6, 8), value, np.float32)},
        )
        for repeat, value in enumerate((280.0, 282.0))
    )


def test_a_difference_that_may_be_chance_promotes_nobody(make_domain, publish, tmp_path):
    domain = gate_domain(make_domain, tmp_path / "root", gate={"days": 9})
    publish(domain, truth(domain, swing_k=2.0))
    cold, warm = cold_and_warm(domain)
    promote(domain, cold, by="test", reason="the bar")
    decision = judged(domain, warm)
    # right on warm days, which are five of nine, and 2 K off on the others; the champion the
    # other way round
    assert decision.difference_k < 0 < decision.interval_k[1]
    assert decision.verdict == "kept"
    assert "Expected a difference that is not chance" in decision.reason
    assert champion_of(domain).version == cold


def test_an_undecided_candidate_stays_due_until_the_window_is_full(make_domain, publish, tmp_path):
    domain = gate_domain(make_domain, tmp_path / "root", gate={"days": 9})
    # of 20 days there are eight behind the purge gap of the 12th, half of them warm
    publish(domain, truth(domain, 20, swing_k=2.0))
    cold, warm = cold_and_warm(domain)
    promote(domain, cold, by="test", reason="the bar")
    decision = judged(domain, warm)
    assert (decision.verdict, decision.days) == ("kept", 8)
    assert decision.interval_k[0] <= 0.0 <= decision.interval_k[1]
    assert is_due(domain, warm)
    publish(domain, truth(domain, 21, swing_k=2.0)[80:], first=80)
    full = judged(domain, warm)
    assert (full.verdict, full.days) == ("kept", 9)
    assert full.interval_k[0] <= 0.0 <= full.interval_k[1]
    assert not is_due(domain, warm)
    roomier = domain.model_copy(update={"gate": domain.gate.model_copy(update={"days": 10})})
    assert is_due(roomier, warm)


def test_a_candidate_that_is_surely_worse_is_not_due_however_few_the_days(domain):
    for bias_k in [(1.2, 1.2), (0.1, 1.05)]:  # in the mean, at one lead; ten days of 28
        name = biased(domain, *bias_k)
        assert judged(domain, name).days == 10
        assert not is_due(domain, name)


def test_better_in_the_mean_but_worse_at_one_lead_is_kept(domain, bar):
    decision = judged(domain, biased(domain, 0.1, 1.05))
    assert decision.verdict == "kept"
    assert "no lead worse than the champion's by more than 2 %" in decision.reason
    assert "+12 h 1.050 K against 1.000 K" in decision.reason
    assert champion_of(domain).version == bar


def test_a_lead_may_be_worse_within_the_margin(domain):
    assert judged(domain, biased(domain, 0.1, 1.015)).verdict == "promoted"


def test_the_margin_is_the_domains(domain):
    strict = domain.model_copy(update={"gate": domain.gate.model_copy(update={"margin": 0.0})})
    assert judged(strict, biased(domain, 0.1, 1.015)).verdict == "kept"


def test_an_error_free_champion_stays(domain):
    perfect = biased(domain, 0.0, 0.0)
    assert judged(domain, perfect).verdict == "promoted"
    assert judged(domain, biased(domain, 0.001, 0.0)).verdict == "kept"
    assert champion_of(domain).version == perfect


def test_candidates_are_judged_in_turn_each_against_the_champion_so_far(domain):
    names = [biased(domain, bias, bias) for bias in (0.8, 0.9, 0.6)]
    verdicts = [outcome.decision.verdict for outcome in offer(domain, names)]
    assert verdicts == ["promoted", "kept", "promoted"]
    assert champion_of(domain).version == names[2]


# --- refused before any comparison -----------------------------------------------------------


def refused(domain, name, *words):
    decision = judged(domain, name)
    assert decision.verdict == "refused"
    assert decision.window is None
    assert decision.candidate_rmse_k == ()
    for word in words:
        assert word in decision.reason
    assert champion_of(domain).version != name


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_weights_that_are_not_finite_are_refused(domain, value):
    broken = np.zeros((2, 30))
    broken[1, 7] = value
    refused(domain, biased(domain, tensors={RIDGE: broken}), RIDGE, "not finite")


def test_weights_of_another_shape_are_refused(domain):
    refused(domain, biased(domain, tensors={RIDGE: np.zeros((3, 30))}), "(2, 30)", "(3, 30)")


def test_a_missing_provenance_is_refused(domain):
    name = biased(domain, 0.1, 0.1)
    (Workspace.of(domain).models / name / "provenance.json").unlink()
    refused(domain, name, "found no provenance.json")


def test_a_damaged_provenance_is_refused(domain):
    name = biased(domain, 0.1, 0.1)
    path = Workspace.of(domain).models / name / "provenance.json"
    path.write_bytes(path.read_bytes()[:100])
    refused(domain, name, "Expected a readable", "provenance.json")


def test_changed_weights_are_refused(domain):
    name = biased(domain, 0.1, 0.1)
    path = Workspace.of(domain).models / name / "model.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    refused(domain, name, "Expected SHA-256")


def test_a_version_for_another_grid_is_refused(domain, make_domain, tmp_path):
    grid = {"kind": "regular", "north": 51, "south": 46, "west": 0, "east": 7, "spacing": 1}
    other = gate_domain(make_domain, tmp_path / "other", grid=grid)
    name = biased(other, 0.1, 0.1)
    source = Workspace.of(other).models / name
    shutil.copytree(source, Workspace.of(domain).models / name)
    refused(domain, name, "grid")


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda weights: np.full_like(weights, np.nan), "holds values that are not finite"),
        (lambda weights: weights[:-1], "expected ("),
    ],
)
def test_a_network_with_spoilt_weights_is_refused(trained, spoil, words):
    offer(trained, [])
    before = champion_of(trained).version
    version = latest_version(Workspace.of(trained).models, "net")
    tensors = version.tensors()
    name = next(name for name in tensors if name.startswith("network.") and tensors[name].ndim)
    recipe = version.provenance.recipe.model_copy(update={"repeat": 7})
    broken = save_version(
        version.path.parent,
        version.provenance.model_copy(update={"recipe": recipe, "version": recipe.version}),
        tensors=tensors | {name: spoil(tensors[name])},
        config=(version.path / "config.yaml").read_text(),
        statistics=version.statistics,
        scores=version.scores,
    )
    (outcome,) = offer(trained, [broken.version])
    assert outcome.decision.verdict == "refused"
    assert f"{name} {words}" in outcome.decision.reason
    assert champion_of(trained).version == before


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"std": 0.0}, "statistics to scale with"),
        ({"increment_std": [1.0] * 7}, "increment_std"),
        ({"mean": float("nan")}, "mean"),
    ],
)
def test_a_network_with_unusable_statistics_is_refused_and_the_next_is_judged(
    trained, changes, words
):
    offer(trained, [])
    version = latest_version(Workspace.of(trained).models, "net")
    broken = rewrite(version, "statistics.json", json.dumps(version.statistics | changes))
    (other,) = train(trained, models=["ridge"], force=True)
    first, second = offer(trained, [broken.version, other.version])
    assert first.decision.verdict == "refused"
    assert words in first.decision.reason
    assert second.decision.verdict != "refused"


def test_a_climatology_of_other_hours_is_refused_and_the_next_is_judged(domain):
    hours = np.arange(domain.steps_per_day) * domain.cadence_h + 1.0
    broken = biased(domain, 0.0, 0.0, tensors={HOURS_OF_DAY: hours})
    other = biased(domain, 0.1, 0.1, repeat=1)
    first, second = offer(domain, [broken, other])
    assert first.decision.verdict == "refused"
    assert "hours" in first.decision.reason
    assert second.decision.verdict != "refused"


def test_forecasts_that_are_not_finite_are_refused(domain):
    name = biased(domain, 1e39, 0.0)  # finite, but no float32
    with np.errstate(over="ignore"):
        decision = judged(domain, name)
    assert decision.verdict == "refused"
    assert "Expected finite forecasts" in decision.reason


def test_a_version_whose_parent_is_gone_cannot_prove_what_it_has_seen(domain):
    refused(domain, biased(domain, 0.1, 0.1, parent="net-0123456789ab"), "fine-tuned from")


def test_an_unknown_version_is_an_error_and_leaves_no_decision(domain):
    for name in ("ridge-0123456789ab", "../../etc"):
        with pytest.raises(ModelError, match="Expected one of the model versions"):
            offer(domain, [name])
    assert decisions_of(domain) == []


# --- the window ------------------------------------------------------------------------------


def test_days_that_the_candidate_has_seen_do_not_count(domain):
    name = biased(domain, 0.1, 0.1, seen="2021-01-14")
    # unseen from the 15th on, so initial times from the 15th 06 UTC to the 22nd 06 UTC
    decision = judged(domain, name)
    assert decision.window == ("2021-01-15T12:00Z", "2021-01-22T06:00Z")
    assert (decision.verdict, decision.days) == ("promoted", 7)


def test_days_that_the_champion_has_seen_do_not_count_either(domain):
    promote(domain, biased(domain, 0.7, 0.7, seen="2021-01-14"), by="test", reason="saw more")
    assert judged(domain, biased(domain, 0.1, 0.1)).days == 7


def test_days_that_an_ancestor_has_seen_do_not_count(domain):
    parent = biased(domain, 0.7, 0.7, seen="2021-01-14")
    assert judged(domain, biased(domain, 0.1, 0.1, parent=parent)).days == 7


def test_too_few_unseen_days_postpone_and_more_days_decide(domain, bar, publish):
    name = biased(domain, 0.1, 0.1, seen="2021-01-16")
    decision = judged(domain, name)
    assert decision.verdict == "postponed"
    assert "at least 6 whole days" in decision.reason
    assert "from 2021-01-17T00:00Z on, found 5" in decision.reason
    assert champion_of(domain).version == bar
    assert is_due(domain, name)
    publish(domain, truth(domain, 24)[88:], first=88)
    assert judged(domain, name).verdict == "promoted"
    assert not is_due(domain, name)


def test_a_candidate_that_has_seen_everything_is_postponed(domain):
    decision = judged(domain, biased(domain, 0.1, 0.1, seen="2021-01-23"))
    assert decision.verdict == "postponed"
    assert "found none" in decision.reason


def test_only_the_newest_days_count(domain):
    newest = domain.model_copy(update={"gate": domain.gate.model_copy(update={"days": 6})})
    decision = judged(newest, biased(domain, 0.1, 0.1))
    assert decision.window == ("2021-01-16T12:00Z", "2021-01-22T06:00Z")
    assert (decision.days, decision.init_times) == (6, 24)


# --- the first champion ----------------------------------------------------------------------


@pytest.fixture
def uncrowned(make_domain, publish, tmp_path):
    domain = gate_domain(make_domain, tmp_path / "root", baselines=["climatology", "ridge"])
    publish(domain, truth(domain))
    return domain


def test_the_first_champion_is_the_best_baseline(uncrowned):
    climatology = biased(uncrowned, model="climatology")  # constant truth: without error
    ridge = biased(uncrowned, 0.5, 0.5)
    first, second = offer(uncrowned, [ridge, climatology])
    assert (first.decision.candidate, first.decision.verdict) == (climatology, "promoted")
    assert (second.decision.candidate, second.decision.verdict) == (ridge, "kept")
    assert "found 0.500 K against 0.000 K" in second.decision.reason
    champion = champion_of(uncrowned)
    assert (champion.version, champion.action, champion.by) == (climatology, "crowned", "gate")
    assert not is_due(uncrowned, ridge)
    assert offer(uncrowned, []) == []


def test_a_broken_baseline_cannot_be_crowned(uncrowned):
    biased(uncrowned, tensors={RIDGE: np.full((2, 30), np.nan)})
    climatology = biased(uncrowned, model="climatology")
    verdicts = {one.decision.candidate: one.decision.verdict for one in offer(uncrowned, [])}
    assert sorted(verdicts.values()) == ["promoted", "refused"]
    assert champion_of(uncrowned).version == climatology


# Analyses of ten days end with validation. Those of 17 leave five whole days behind the purge gap
# of the 12th: one fewer than tell anything.
@pytest.mark.parametrize("days", [10, 17], ids=["none", "five"])
def test_with_too_few_unseen_days_the_validation_scores_choose(
    make_domain, publish, tmp_path, days
):
    domain = gate_domain(make_domain, tmp_path / "root", baselines=["climatology", "ridge"])
    publish(domain, truth(domain, days))
    ridge = biased(domain, 0.5, 0.5)
    biased(domain, model="climatology", tensors={})
    version = latest_version(Workspace.of(domain).models, "climatology")
    rewrite(version, "scores.json", json.dumps(version.scores | {"mse_k2": [4.0, 4.0]}))
    offer(domain, [])
    assert champion_of(domain).version == ridge
    assert "in validation: 0.500 K" in champion_of(domain).reason


def test_without_a_baseline_there_is_no_first_champion_and_the_reason_says_so(uncrowned):
    bare = uncrowned.model_copy(update={"baselines": ()})
    (outcome,) = offer(bare, [biased(uncrowned, 0.1, 0.1)])
    assert outcome.decision.verdict == "postponed"
    assert "Expected a baseline to be the first champion" in outcome.decision.reason
    assert champion_of(bare) is None


# --- again, and at the same time -------------------------------------------------------------


def everything(domain):
    folder = Workspace.of(domain).models
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("bias", [0.5, 1.5])
def test_the_same_question_again_changes_nothing_and_says_so(domain, monkeypatch, bias):
    name = biased(domain, bias, bias)
    (first,) = offer(domain, [name])
    before = everything(domain)
    monkeypatch.setattr(gate, "squared_errors", lambda *_: pytest.fail("scored again"))
    again = offer(domain, [name])
    assert first.is_new
    assert all(not outcome.is_new for outcome in again)
    assert everything(domain) == before


def test_a_refusal_again_changes_nothing(domain):
    name = biased(domain, tensors={RIDGE: np.full((2, 30), np.nan)})
    offer(domain, [name])
    before = everything(domain)
    (again,) = offer(domain, [name])
    assert not again.is_new
    assert everything(domain) == before


def test_a_promotion_cut_short_behind_its_decision_is_completed(domain, bar, monkeypatch):
    name = biased(domain, 0.5, 0.5)

    def dying(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("lsntp.training.decisions.put_champion", dying)
        with pytest.raises(KeyboardInterrupt):
            offer(domain, [name])
    assert champion_of(domain).version == bar
    assert is_due(domain, name)
    (outcome,) = offer(domain, [name])
    assert outcome.is_new
    assert champion_of(domain).version == name


def test_a_version_that_was_rolled_back_from_is_not_promoted_by_the_old_decision(domain, bar):
    name = biased(domain, 0.5, 0.5)
    offer(domain, [name])
    rollback(domain, by="test", reason="too warm")
    assert not is_due(domain, name)
    (again,) = offer(domain, [name])
    assert not again.is_new
    assert champion_of(domain).version == bar


def test_a_champion_promoted_meanwhile_is_the_one_to_beat(domain, monkeypatch):
    good, best = biased(domain, 0.5, 0.5), biased(domain, 0.3, 0.3)
    score, calls = gate.squared_errors, []

    def interrupted(*arguments):
        if not calls:
            calls.append(promote(domain, best, by="another", reason="first"))
        return score(*arguments)

    monkeypatch.setattr(gate, "squared_errors", interrupted)
    decision = judged(domain, good)
    assert (decision.champion, decision.verdict) == (best, "kept")
    assert champion_of(domain).version == best
    assert [one.champion for one in decisions_of(domain, good)] == [best]


def test_a_champion_that_never_stays_ends_the_attempts(domain, monkeypatch):
    name, score = biased(domain, 0.5, 0.5), gate.squared_errors
    others = [biased(domain, 1.0, 1.0, repeat=repeat) for repeat in (1, 2)]

    def restless(domain, analysis, contender, init_times):
        if contender.name == name:
            present = champion_of(domain).version
            promote(domain, others[present == others[0]], by="another", reason="restless")
        return score(domain, analysis, contender, init_times)

    monkeypatch.setattr(gate, "squared_errors", restless)
    with pytest.raises(ArchiveBusyError, match="found another 5 times"):
        offer(domain, [name])


def test_a_damaged_champion_is_an_error_that_says_what_to_do(domain, bar):
    (Workspace.of(domain).models / bar / "model.safetensors").write_bytes(b"")
    with pytest.raises(ModelError, match=r"unusable.*lsntp models rollback small --why"):
        offer(domain, [biased(domain, 0.5, 0.5)])


def test_the_old_champion_keeps_forecasting_after_a_refused_candidate(domain, bar):
    offer(domain, [biased(domain, tensors={RIDGE: np.full((2, 30), np.nan)})])
    (report,) = forecast(domain, models=["champion"], latest=True)
    archive = ForecastArchive.open(Workspace.of(domain).forecast("champion"))
    assert archive.model_versions(report.written) == [bar]
    assert archive.read(report.written) == pytest.approx(281.0)  # 280 K and its bias
