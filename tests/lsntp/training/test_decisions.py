import datetime as dt

import pytest

from lsntp.training.champion import champion_of, champion_path, promote
from lsntp.training.decisions import (
    ChampionChangedError,
    Decision,
    decision_id,
    decisions_of,
    settle,
    stored_decision,
)
from tests.lsntp.training.made_versions import biased, gate_domain


@pytest.fixture
def domain(make_domain, tmp_path):
    return gate_domain(make_domain, tmp_path / "root")


@pytest.fixture
def bar(domain):
    version = biased(domain, 1.0, 1.0)
    promote(domain, version, by="test", reason="the bar")
    return version


def decision(candidate, champion, verdict="kept", *, hour=0, **question):
    return Decision(
        id=decision_id(candidate, {"champion": champion, **question}),
        domain="small",
        candidate=candidate,
        champion=champion,
        verdict=verdict,
        rule="against the champion",
        reason="Expected more.",
        margin=0.02,
        decided_at=dt.datetime(2021, 2, 1, hour, tzinfo=dt.UTC),
    )


def test_equal_questions_have_equal_names_and_others_do_not():
    name = decision_id("ridge-0123456789ab", {"champion": "a", "window": ["b", "c"]})
    assert name == decision_id("ridge-0123456789ab", {"window": ["b", "c"], "champion": "a"})
    assert name != decision_id("ridge-0123456789ab", {"champion": "a", "window": ["b", "d"]})
    assert name.startswith("ridge-0123456789ab.")


def test_decisions_are_listed_oldest_first_of_one_candidate_or_of_all(domain, bar):
    first, other = biased(domain, 0.5, 0.5), biased(domain, 0.6, 0.6)
    late = decision(first, bar, hour=2)
    early = decision(first, bar, hour=1, window="earlier")
    between = decision(other, bar, hour=1)
    for one in (late, early, between):
        assert settle(domain, one, by="test").is_new
    assert decisions_of(domain, first) == [early, late]
    assert {one.id for one in decisions_of(domain)} == {late.id, early.id, between.id}


def test_a_stored_decision_is_never_changed(domain, bar):
    candidate = biased(domain, 0.5, 0.5)
    first, again = decision(candidate, bar, hour=1), decision(candidate, bar, hour=5)
    settle(domain, first, by="test")
    outcome = settle(domain, again, by="test")
    assert (outcome.decision, outcome.is_new) == (first, False)
    assert stored_decision(domain, first.id) == first


def test_a_promotion_replaces_the_champion_and_names_its_decision(domain, bar):
    candidate = biased(domain, 0.5, 0.5)
    found = decision(candidate, bar, "promoted")
    settle(domain, found, by="anna")
    champion = champion_of(domain)
    assert (champion.version, champion.by) == (candidate, "anna")
    assert (champion.action, champion.decision) == ("promoted", found.id)
    assert not settle_again(domain, found, bar)


def settle_again(domain, found, bar):
    """Back to the champion of before, then the same decision once more: is it new?"""
    promote(domain, bar, by="test", reason="back")
    return settle(domain, found, by="test").is_new


def test_a_decision_about_another_champion_is_not_stored(domain, bar):
    candidate = biased(domain, 0.5, 0.5)
    with pytest.raises(ChampionChangedError):
        settle(domain, decision(candidate, "ridge-0123456789ab", "promoted"), by="test")
    assert decisions_of(domain) == []
    assert champion_of(domain).version == bar


def test_a_damaged_decision_is_skipped_and_named(domain, bar, caplog):
    first, other = biased(domain, 0.5, 0.5), biased(domain, 0.6, 0.6)
    for candidate in (first, other):
        settle(domain, decision(candidate, bar), by="test")
    folder = champion_path(domain).parent / "decisions"
    (damaged,) = folder.glob(f"{first}.*.json")
    damaged.write_bytes(b"{")
    assert [one.candidate for one in decisions_of(domain)] == [other]
    assert damaged.name in caplog.text
