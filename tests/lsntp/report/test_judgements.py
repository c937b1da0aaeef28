"""The gate on the page about models; every RMSE is known by hand, see made_versions."""

import pytest

from lsntp.report import judgements as module
from lsntp.report.history import collect_histories, render_models
from lsntp.report.judgements import judgements
from lsntp.training.champion import promote
from lsntp.training.gate import offer
from tests.lsntp.conftest import publish_small, small_domain
from tests.lsntp.report.parsing import Page
from tests.lsntp.training.made_versions import biased, gate_domain, truth


@pytest.fixture
def domain(tmp_path):
    made = gate_domain(small_domain, tmp_path / "root")
    publish_small(made, truth(made))
    return made


def test_before_the_first_judgement_there_is_no_table(domain):
    assert judgements(domain) is None
    page = Page(render_models(domain, collect_histories(domain), None, "no scores"))
    assert "At the gate" not in page.text


def test_the_newest_comes_first_with_both_scores_and_their_difference(domain, monkeypatch):
    bar = biased(domain, 1.0, 1.0)
    promote(domain, bar, by="test", reason="the bar")
    better = biased(domain, 0.5, -0.9)
    worse = biased(domain, 1.0, 1.2)
    has_seen_all = biased(domain, 0.1, 0.1, seen="2021-01-23")
    for version in (better, worse, has_seen_all):
        offer(domain, [version])

    table = judgements(domain)

    # constant truth: an RMSE is the bias, and its difference is the same on every day
    assert [[row[0], row[1].split()[0], *row[2:]] for row in table.rows] == [
        [has_seen_all, "postponed", "–", "–", "–", "–", better],
        [worse, "kept", "1.100", "0.700", "+0.400 [+0.400, +0.400]", "10", better],
        [better, "promoted", "0.700", "1.000", "−0.300 [−0.300, −0.300]", "10", bar],
    ]
    page = Page(render_models(domain, collect_histories(domain), None, "no scores"))
    assert "at no lead worse by more than 2 %" in page.text
    assert f"1.100 0.700 +0.400 [+0.400, +0.400] 10 {better}" in page.text
    monkeypatch.setattr(module, "MAX_JUDGEMENTS", 1)
    assert len(judgements(domain).rows) == 1
    assert "2 older judgements are not listed" in judgements(domain).caption
