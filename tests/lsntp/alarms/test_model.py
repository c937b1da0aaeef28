"""Drift and promotions."""

import datetime as dt

import numpy as np
import pytest

from lsntp.alarms import model
from lsntp.alarms.finding import Level
from lsntp.alarms.model import failed_promotion, skill_drift
from lsntp.evaluation.drift import judge_drift
from lsntp.times import parse_time
from lsntp.training.champion import champion_path, promote
from lsntp.training.decisions import Decision, settle
from tests.lsntp.training.made_versions import biased, gate_domain

DECIDED = dt.datetime(2021, 2, 1, tzinfo=dt.UTC)
NOW = parse_time("2021-02-02")


@pytest.fixture
def domain(make_domain, tmp_path):
    return gate_domain(make_domain, tmp_path / "root")


@pytest.fixture
def bar(domain):
    version = biased(domain, 1.0, 1.0)
    promote(domain, version, by="test", reason="the bar")
    return version


def decide(domain, candidate, champion, verdict, *, hour=0):
    decision = Decision(
        id=f"{candidate}.{verdict}{hour}",
        domain=domain.domain,
        candidate=candidate,
        champion=champion,
        verdict=verdict,
        rule="against the champion",
        reason="Expected finite weights, found NaN.",
        margin=0.02,
        decided_at=DECIDED + dt.timedelta(hours=hour),
    )
    settle(domain, decision, by="test")
    return decision


def test_a_domain_without_a_candidate_has_nothing_to_judge(domain):
    assert failed_promotion(domain, NOW).level is Level.UNKNOWN


@pytest.mark.parametrize(
    ("verdict", "level"),
    [
        ("kept", Level.GREEN),
        ("promoted", Level.GREEN),
        ("postponed", Level.YELLOW),
        ("refused", Level.RED),
    ],
)
def test_only_a_refused_candidate_is_a_failed_promotion(domain, bar, verdict, level):
    decide(domain, biased(domain, 0.5, 0.5), bar, verdict)
    found = failed_promotion(domain, NOW)
    assert found.level is level
    if level is Level.RED:
        assert "Expected finite weights, found NaN." in found.found
        assert found.where.endswith("models/small/decisions")


def test_a_refusal_ends_with_the_next_judgement_or_after_some_days(domain, bar):
    first = biased(domain, 0.5, 0.5)
    decide(domain, first, bar, "refused")
    days = np.timedelta64(domain.alarms.promotion_days, "D")
    decided = parse_time(DECIDED)
    assert failed_promotion(domain, decided + days).level is Level.RED
    assert failed_promotion(domain, decided + days + np.timedelta64(1, "m")).level is Level.GREEN
    decide(domain, first, bar, "kept", hour=1)
    assert failed_promotion(domain, NOW).level is Level.GREEN


def test_a_promotion_that_was_cut_short_and_a_damaged_champion_are_failures(domain, bar):
    before = champion_path(domain).read_bytes()
    decide(domain, biased(domain, 0.5, 0.5), bar, "promoted")
    assert failed_promotion(domain, NOW).level is Level.GREEN
    champion_path(domain).write_bytes(before)  # as a process killed between the two leaves it
    found = failed_promotion(domain, NOW)
    assert found.level is Level.RED
    assert "was decided, but not carried out" in found.found
    champion_path(domain).write_text("{}")
    found = failed_promotion(domain, NOW)
    assert found.level is Level.RED
    assert "Expected a readable" in found.found


@pytest.mark.parametrize(
    ("skill", "level"),
    [
        ((0.2, 0.1, 0.0, 0.0), Level.GREEN),  # equal is not below
        ((0.2, 0.1, 0.1, -0.1), Level.YELLOW),
        ((0.2, 0.1, -0.1, -0.1), Level.RED),
        ((), Level.UNKNOWN),
    ],
)
def test_drift_by_the_domains_rule_is_an_alarm(domain, monkeypatch, skill, level):
    days = np.datetime64("2021-01-20", "ns") + np.arange(len(skill)) * np.timedelta64(1, "D")
    drift = judge_drift(days, np.array(skill), threshold=0.0, for_days=2, window_days=1)
    monkeypatch.setattr(model, "drift_of", lambda *_: drift)
    found = skill_drift(domain)
    assert (found.level, found.found) == (level, drift.verdict)
    assert found.where.endswith("evaluations/small.zarr")
