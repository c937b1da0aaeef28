"""The page as text; tests/lsntp/status/test_in_a_browser.py looks at it."""

from lsntp.alarms import AlarmName, Level
from lsntp.status.page import render_status
from tests.lsntp.report.parsing import Page
from tests.lsntp.status.conftest import judgement


def test_the_page_is_sound_html_and_the_gravest_domain_comes_first(
    make_status, make_troubled, make_new
):
    html = render_status([make_status(), make_new(), make_troubled()], reports=["gfs-europe"])
    page = Page(html)
    assert (page.errors, page.stack) == ([], [])
    order = [one["data-domain"] for one in page.all("article")]
    assert order == ["era5-hourly", "demo", "gfs-europe"]
    assert "2 alarms" in page.text
    assert "era5-hourly needs somebody" in page.text
    assert [a["href"] for a in page.all("a") if "reports" in a["href"]] == [
        "../reports/gfs-europe/index.html"
    ]


def test_an_alarm_says_what_was_expected_and_found_where_and_what_to_do(make_troubled):
    html = render_status([make_troubled()])
    text = Page(html).text
    for said in (
        "26.4 h behind what the source should have published",
        "what stale-analysis should be",
        "/srv/forecasts/archives/stale-analysis",
        "what to do about stale-analysis",
        "open since",
    ):
        assert said in text
    assert text.count("26.4 h behind") == 1  # told in the alarm, not again in its row
    assert "<b>503</b>" not in html
    assert "&lt;b&gt;503&lt;/b&gt;" in html


def test_values_stand_large_with_their_limits(make_status):
    text = Page(render_status([make_status()])).text
    for said in ("27 of 28", "+0.234, MAE 1.23 K", "lsntp-plus-0123456789ab", "123 of 500 GB"):
        assert said in text
    assert text.count("Green up to 2 h, red beyond 6 h.") == len(AlarmName)


def test_the_small_curve_breaks_where_a_day_has_no_skill(make_status):
    html = render_status([make_status()])
    assert html.count("<polyline") == 2
    assert "Daily skill from +0.23 to +0.29" in html


def test_a_skill_below_zero_has_a_true_minus(make_status):
    found = "skill against persistence -0.250"
    one = judgement(AlarmName.SKILL_DRIFT, Level.YELLOW, found=found)
    text = Page(render_status([make_status(judgements=(one,))])).text
    assert "persistence \N{MINUS SIGN}0.250" in text


def test_an_empty_folder_says_how_to_begin():
    page = Page(render_status([]))
    assert "lsntp alarms DOMAIN --tell" in page.text


def test_the_same_documents_give_the_same_bytes(make_troubled):
    documents = [make_troubled()]
    assert render_status(documents) == render_status(documents)
