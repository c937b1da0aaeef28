"""The page about coverage: what is there of analyses, forecasts and scores."""

import shutil

import numpy as np
import pytest

from lsntp.archives.coverage import Coverage
from lsntp.archives.forecast import ForecastArchive
from lsntp.life_cycle import STATES, HourState, LifeCycle
from lsntp.names import Status
from lsntp.report.holdings import (
    MAX_RUNS,
    ModelHoldings,
    collect_coverage,
    collect_holdings,
    render_coverage,
)
from lsntp.times import hours, parse_time
from lsntp.workspace import Workspace
from tests.lsntp.report.parsing import Page

START = parse_time("2019-03-01")


def coverage_of(status):
    return Coverage(START + np.arange(len(status)) * hours(1), np.array(status, np.int8), hours(1))


@pytest.fixture
def copy(scored, tmp_path):
    """The scored domain, free to change."""
    shutil.copytree(scored.root, tmp_path / "root")
    return scored.model_copy(update={"root": str(tmp_path / "root")})


def test_forecasts_with_a_hole_are_counted_and_told_apart(uk):
    one = ModelHoldings(
        "ridge",
        START + np.arange(6) * hours(1),
        is_written=np.array([True, True, False, True, True, True]),
        scored_leads=np.array([6, 6, 0, 5, 0, 6]),
        leads=6,
        cadence=hours(1),
    )
    assert one.codes.tolist() == [2, 2, 0, 1, 1, 2]
    page = Page(render_coverage(uk, None, [one]))
    row = "ridge 2019-03-01T00:00Z 2019-03-01T05:00Z 5 1 3 1 1"
    assert "Forecasts Missing between Fully scored Partly Not" in page.text
    assert row in page.text


def test_every_model_is_read_from_its_first_forecast_to_its_last(copy):
    # two days of hourly initial times with 3 leads; the truth of all of them is there
    holdings = {one.model: one for one in collect_holdings(copy)}
    assert list(holdings) == ["net", *copy.baselines]
    assert holdings["net"].times.size == 48
    assert (holdings["net"].codes == 2).all()
    archive = ForecastArchive.open(Workspace.of(copy).forecast("net"))
    archive.withdraw(archive.written()[[5, 47]])
    net = collect_holdings(copy)[0]
    assert (net.times.size, int(net.is_written.sum())) == (47, 46)
    assert np.flatnonzero(net.codes == 0).tolist() == [5]


def test_a_model_without_forecasts_is_left_out_and_without_scores_nothing_is_scored(copy):
    shutil.rmtree(Workspace.of(copy).forecast("ridge"))
    shutil.rmtree(Workspace.of(copy).evaluation)
    holdings = collect_holdings(copy)
    assert "ridge" not in {one.model for one in holdings}
    assert all((one.codes == 1).all() for one in holdings)


def test_gaps_are_listed_with_their_length_newest_first(uk):
    status = [2] * 10 + [Status.MISSING] * 90 + [2] + [Status.QUARANTINED] * 2 + [1] * 5
    page = Page(render_coverage(uk, coverage_of(status), []))
    gaps = page.text[page.text.index("Spans without") : page.text.index("All spans")]
    assert (
        "2019-03-05T05:00Z 2019-03-05T07:00Z quarantined 2 h "
        "2019-03-01T10:00Z 2019-03-05T04:00Z missing 3.8 days"  # 90 h / 24 = 3.75
    ) in gaps
    assert "No model has forecast yet. Run lsntp forecast era5-uk" in page.text


def test_gaps_tell_since_when_and_why_where_that_is_known(uk):
    known = coverage_of([Status.FINAL, Status.UPSTREAM_HOLE, Status.MISSING])
    hole, pending = (STATES.index(s) for s in (HourState.UPSTREAM_HOLE, HourState.PENDING))
    asked = np.datetime64("2019-03-02T10:00", "ns")
    hours = LifeCycle(
        known.times,
        np.array([STATES.index(HourState.FINAL), hole, pending], np.int8),
        np.array([asked, asked, "NaT"], "datetime64[ns]"),
        np.array(["", "the catalogue says <404>", "asked for"], dtype=object),
        (),
        known.cadence,
    )
    page = Page(render_coverage(uk, known, [], hours))
    assert (
        "2019-03-01T02:00Z 2019-03-01T03:00Z asked for, under way asked for 1 h "
        "2019-03-01T01:00Z 2019-03-01T02:00Z not published upstream 2019-03-02T10:00Z "
        "the catalogue says <404> 1 h"
    ) in page.text


def test_many_spans_are_cut_and_counted(uk):
    page = Page(render_coverage(uk, coverage_of([2, 0] * (MAX_RUNS + 3)), []))
    assert "Spans without a usable field, newest first; 3 older ones not listed" in page.text
    assert f"{MAX_RUNS + 6} older ones not listed" in page.text  # of equal status: twice as many


def test_without_a_gap_and_without_an_archive_the_page_says_so(uk, make_domain, tmp_path):
    assert "None: every time holds a usable field." in (
        Page(render_coverage(uk, coverage_of([2, 2, 1]), [])).text
    )
    domain = make_domain(tmp_path)
    assert collect_coverage(domain) is None
    assert collect_holdings(domain) == []
    assert "no analysis archive yet" in Page(render_coverage(domain, None, [])).text
