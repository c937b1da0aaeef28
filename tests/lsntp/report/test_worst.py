from dataclasses import replace

import numpy as np
import pytest

from lsntp.config import load_domain
from lsntp.evaluation.scoring import evaluate
from lsntp.evaluation.skill import skill_table
from lsntp.report.worst import CASES, WorstCase, collect_worst, leaders, render_worst
from lsntp.times import hours, parse_time
from tests.lsntp.report.parsing import Page


def case_of(domain, *, forecast_k=281.0, persistence_k=283.0, **changes):
    """Truth is 280 K everywhere."""
    shape = domain.target_grid.shape
    made = WorstCase(
        model="ridge",
        rank=1,
        init_time=parse_time("2019-03-31T12"),
        lead_time=hours(6),
        mae=0.5,
        lead_mae=abs(forecast_k - 280.0),
        forecast=np.full(shape, forecast_k),
        truth=np.full(shape, 280.0),
        persistence=np.full(shape, persistence_k),
        is_preliminary=False,
    )
    return replace(made, **changes)


@pytest.mark.parametrize(
    ("persistence_k", "said"),
    [(283.0, "Persistence did worse: 3.00 K."), (279.5, "Persistence did better: 0.50 K.")],
)
def test_it_says_when_and_what_persistence_did(make_data, uk, persistence_k, said):
    case = case_of(uk, persistence_k=persistence_k)
    page = Page(render_worst(uk, make_data().table, [case], ""))
    assert "Started 2019-03-31T12:00Z" in page.text
    assert "Valid 2019-03-31T18:00Z (+6 h, its worst lead): mean absolute error 1.00 K" in page.text
    assert said in page.text
    assert [image["alt"].split(":")[0] for image in page.all("img")] == [
        "Forecast by ridge valid 2019-03-31T18",
        "Analysis of 2019-03-31T18",
        "Forecast by ridge minus analysis at 2019-03-31T18",
        "Persistence minus analysis at 2019-03-31T18",
    ]


def test_without_persistence_it_says_so_and_shows_three_maps(make_data, uk):
    case = case_of(uk, persistence=None, is_preliminary=True)
    page = Page(render_worst(uk, make_data().table, [case], ""))
    assert len(page.all("img")) == 3
    assert "Persistence was not forecast from there." in page.text
    assert "An input of the forecast was preliminary." in page.text


def test_the_leaders_are_the_winner_and_the_best_network(make_data):
    assert leaders(make_data({"ridge": 1.0, "lsntp-increment": 2.0}).table) == [
        "ridge",
        "lsntp-increment",
    ]
    assert leaders(make_data({"lsntp-increment": 1.0, "ridge": 2.0}).table) == ["lsntp-increment"]


def test_cases_of_a_real_domain_carry_the_error_of_their_fields(scored):
    table = skill_table(scored)
    cases = collect_worst(scored, table)
    assert {case.model for case in cases} == set(leaders(table))
    assert all(case.rank <= CASES for case in cases)
    for case in cases:
        assert np.abs(case.forecast - case.truth).mean() == pytest.approx(case.lead_mae, rel=1e-6)
    first = [case.init_time for case in cases if case.model == table.winner]
    gaps = np.abs(np.subtract.outer(np.array(first), np.array(first)))
    assert (gaps[~np.eye(len(first), dtype=bool)] >= hours(24)).all()
    assert evaluate(scored).did_nothing


def test_the_page_of_the_largest_preset_is_below_three_megabytes(make_data):
    domain = load_domain("era5-hourly")
    random = np.random.default_rng(0)
    cases = [
        replace(
            case_of(domain),
            rank=rank,
            forecast=280 + random.normal(size=domain.target_grid.shape),
            persistence=280 + random.normal(size=domain.target_grid.shape),
        )
        for rank in range(1, 2 * CASES + 1)
    ]
    table = make_data(domain=domain).table
    assert len(render_worst(domain, table, cases, "")) < 3_000_000
