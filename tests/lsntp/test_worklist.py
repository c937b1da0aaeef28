"""Which hours a run asks for: an upstream that is late, has holes, and asks for patience."""

import numpy as np
import pytest

from lsntp.archives.ledger import HourLedger
from lsntp.archives.verification import verify
from lsntp.config import load_domain
from lsntp.errors import SourceDataError, SourceUnavailableError
from lsntp.ingest import ingest
from lsntp.life_cycle import life_cycle
from lsntp.names import Status
from lsntp.times import Period, format_time, hours
from lsntp.workspace import Workspace
from tests.lsntp.ingest_files import START, archive_of, make_domain, statuses, weather, write
from tests.lsntp.late_source import install, questions, tell

DAY = 24


@pytest.fixture
def upstream(tmp_path, monkeypatch):
    """The folder of an upstream with four days of fields; see late_source.py."""
    install(tmp_path / "site")
    monkeypatch.syspath_prepend(tmp_path / "site")
    folder = tmp_path / "upstream"
    tell(folder, now=text(0))
    write(folder / "four-days.nc", weather(4 * DAY))
    return folder


@pytest.fixture
def late(tmp_path, upstream):
    """The tiny domain with that upstream."""

    def make(budget_h=6, **overrides):
        make_domain(tmp_path)
        source = {"name": "late", "options": {"folder": str(upstream)}}
        changes = {"source": source, "ingest.budget_h": budget_h, **overrides}
        return load_domain(tmp_path / "tiny.yaml", overrides=changes)

    return make


def text(hour):
    return format_time(START + hours(hour))


def texts(*hour_numbers):
    return [text(hour) for hour in hour_numbers]


def tick(domain, hour):
    """A scheduled run at an hour of the period."""
    return ingest(domain, clock=lambda: START + hours(hour))


def hold_back(upstream, *hour_numbers):
    """Upstream without some hours of its four days."""
    keep = ~np.isin(np.arange(4 * DAY), hour_numbers)
    times = START + np.arange(4 * DAY) * hours(1)
    write(upstream / "four-days.nc", weather(4 * DAY)[keep], times=times[keep])


def test_a_tick_takes_the_newest_hours_first_and_then_the_oldest_gaps_within_its_budget(
    late, upstream
):
    domain = late(budget_h=6)
    tell(upstream, now=text(40))
    report = tick(domain, 40)  # nothing is there: the six newest
    assert questions(upstream) == [texts(*range(35, 41))]
    assert (report.written, report.left, report.absent) == (6, 35, 0)
    tell(upstream, now=text(42))
    tick(domain, 42)  # two new hours, and with the rest of the budget the oldest four
    assert questions(upstream) == [texts(41, 42), texts(0, 1, 2, 3)]
    tick(domain, 42)
    assert questions(upstream) == [texts(*range(4, 10))]


def test_ticks_alone_fill_any_gap_and_then_ask_nothing(late, upstream):
    domain = late(budget_h=10)
    tell(upstream, now=text(47))
    for _ in range(5):  # 48 hours, ten a tick
        assert not tick(domain, 47).did_nothing
    assert statuses(domain) == [Status.FINAL] * 48
    questions(upstream)
    assert tick(domain, 47).did_nothing
    assert questions(upstream) == []


def test_what_was_asked_for_in_vain_rests_before_it_is_asked_for_again(late, upstream):
    domain = late(budget_h=24, **{"ingest.retry_h": 12})
    hold_back(upstream, 3, 4)
    tell(upstream, now=text(9))
    assert tick(domain, 9).absent == 2
    questions(upstream)
    tell(upstream, now=text(10))
    report = tick(domain, 10)
    assert questions(upstream) == [texts(10)]
    assert (report.left, report.absent) == (2, 0)
    write(upstream / "four-days.nc", weather(4 * DAY))
    tell(upstream, now=text(20))
    tick(domain, 20)
    assert questions(upstream) == [texts(*range(11, 21))]  # eleven hours after the first question
    tick(domain, 21)
    assert questions(upstream) == [texts(3, 4)]
    assert statuses(domain) == [Status.FINAL] * 21
    assert HourLedger(Workspace.of(domain).quarantine, domain.cadence).asked() == []


def test_a_question_of_a_clock_that_was_ahead_does_not_put_off_the_next_one(late, upstream):
    domain = late(budget_h=24, **{"ingest.retry_h": 12})
    hold_back(upstream, 3, 4)
    tell(upstream, now=text(9))
    assert tick(domain, 9 + 24 * 365).absent == 2
    questions(upstream)
    write(upstream / "four-days.nc", weather(4 * DAY))
    assert tick(domain, 9).written == 2
    assert questions(upstream) == [texts(3, 4)]


def test_gaps_that_stay_do_not_keep_the_budget_from_the_others(late, upstream):
    domain = late(budget_h=3, **{"ingest.retry_h": 0})
    hold_back(upstream, 0, 1, 2)
    tell(upstream, now=text(8))
    asked = []
    for hour in (8, 9, 10, 11):
        tick(domain, hour)
        asked += questions(upstream)
    # 6-8 are the newest; 0-2 stay missing and come last again
    assert asked == [texts(6, 7, 8), texts(0, 1, 2), texts(3, 4, 5), texts(0, 1, 2)]


def test_the_newest_hours_are_asked_for_at_every_tick_until_they_come(late, upstream):
    domain = late()
    hold_back(upstream, 5)
    tell(upstream, now=text(5))
    tick(domain, 5)
    questions(upstream)
    tick(domain, 5)
    assert questions(upstream) == [texts(5)]


def test_an_upstream_that_is_later_than_usual_hides_no_hour_that_is_there(late, upstream):
    domain = late(budget_h=6, **{"ingest.retry_h": 12})
    hold_back(upstream, *range(20, 4 * DAY))  # twenty hours and more are late

    def asked(hour):
        tell(upstream, now=text(hour))
        tick(domain, hour)
        return questions(upstream)

    assert asked(40) == [texts(*range(35, 41))]
    # of those asked for in vain a quarter of the budget at either end: one each
    assert asked(41) == [texts(32, 33, 34, 35, 40, 41)]
    assert asked(42) == [texts(29, 30, 31, 32, 41, 42)]
    assert asked(43) == [texts(26, 27, 28, 29, 42, 43)]
    assert asked(44) == [texts(23, 24, 25, 26, 43, 44)]
    assert asked(45) == [texts(20, 21, 22, 23, 44, 45)]
    assert asked(46) == [texts(17, 18, 19, 20, 45, 46)]
    assert archive_of(domain).times[-1] == START + hours(19)
    assert asked(47) == [texts(20, 46, 47), texts(0, 1, 2)]  # old gaps have their share
    hold_back(upstream, *range(21, 4 * DAY))
    assert asked(48) == [texts(20, 47, 48), texts(3, 4, 5)]
    assert asked(49) == [texts(21, 48, 49), texts(6, 7, 8)]
    assert statuses(domain) == [Status.FINAL] * 9 + [Status.MISSING] * 8 + [Status.FINAL] * 4

    write(upstream / "four-days.nc", weather(4 * DAY))
    for _ in range(9):  # 8 + 40 hours, six a tick; none was asked for after hour 49
        asked(61)
    assert statuses(domain) == [Status.FINAL] * 62


def test_hours_under_way_are_asked_for_so_that_the_source_picks_up_its_job(late, upstream):
    domain = late(budget_h=4)
    hold_back(upstream, 2)
    tell(upstream, now=text(3))
    tick(domain, 3)
    questions(upstream)
    tell(upstream, now=text(4), pending=texts(2))
    tick(domain, 4)
    assert questions(upstream) == [texts(2, 4)]


def test_a_hole_is_marked_with_its_reason_and_filled_when_upstream_fills_it(late, upstream):
    domain = late(**{"ingest.retry_h": 0})
    hold_back(upstream, 2, 5)
    tell(upstream, now=text(5), holes=texts(2, 9))
    report = tick(domain, 5)
    assert (report.holes, report.absent) == (1, 2)
    assert statuses(domain)[2] == Status.UPSTREAM_HOLE
    ledger = HourLedger(Workspace.of(domain).quarantine, domain.cadence)
    whys = {format_time(entry.start): entry.why for entry in ledger.asked()}
    assert whys == {text(2): "Expected a field, the catalogue says 404.", text(5): ""}
    write(upstream / "four-days.nc", weather(4 * DAY))
    tell(upstream, now=text(5))
    assert tick(domain, 6).written == 2
    assert statuses(domain) == [Status.FINAL] * 6
    assert ledger.asked() == []


def test_why_some_hours_did_not_come_is_noted_while_the_others_do(late, upstream):
    domain = late()
    hold_back(upstream, 2, 5)
    tell(upstream, now=text(5), failed=texts(2, 4))
    report = tick(domain, 5)
    assert (report.written, report.absent, report.holes) == (4, 2, 0)
    ledger = HourLedger(Workspace.of(domain).quarantine, domain.cadence)
    whys = {format_time(entry.start): entry.why for entry in ledger.asked()}
    assert whys == {text(2): "Expected a result, the job has failed.", text(5): ""}


def test_a_hole_whose_field_comes_and_is_rejected_is_a_hole_no_more(late, upstream):
    domain = late(**{"ingest.retry_h": 0})
    hold_back(upstream, 2)
    tell(upstream, now=text(5), holes=texts(2))
    tick(domain, 5)
    assert statuses(domain)[2] == Status.UPSTREAM_HOLE
    values = weather(4 * DAY)
    values[2] = 0
    write(upstream / "four-days.nc", values)
    tell(upstream, now=text(5))
    report = tick(domain, 6)
    assert (report.quarantined, report.did_nothing) == (1, False)
    assert statuses(domain)[2] == Status.QUARANTINED
    assert "K" in life_cycle(domain, clock=lambda: START + hours(6)).spans()[1].why
    assert not verify(domain).findings
    tell(upstream, now=text(5), holes=texts(2))  # a reason that is known is kept
    tick(domain, 7)
    assert statuses(domain)[2] == Status.QUARANTINED


def test_a_hole_in_the_first_hours_makes_the_archive(late, upstream):
    domain = late()
    hold_back(upstream, 0)
    tell(upstream, now=text(0), holes=texts(0))
    tick(domain, 0)
    assert statuses(domain) == [Status.UPSTREAM_HOLE]


def test_a_rejected_field_is_not_fetched_at_every_tick(late, upstream):
    domain = late(budget_h=24)
    values = weather(4 * DAY)
    values[3] = 0
    write(upstream / "four-days.nc", values)
    tell(upstream, now=text(9))
    assert tick(domain, 9).quarantined == 1
    questions(upstream)
    assert tick(domain, 10).did_nothing
    assert questions(upstream) == []
    tick(domain, 9 + 24)
    assert questions(upstream) == [texts(3)]


def test_what_cannot_be_used_is_noted_and_the_next_tick_goes_on_with_the_rest(late, upstream):
    domain = late(budget_h=4)
    tell(upstream, now=text(3))
    tick(domain, 3)
    tell(upstream, now=text(9), broken=texts(4))
    tick(domain, 9)  # 6 to 9
    questions(upstream)
    with pytest.raises(SourceDataError, match="page in HTML"):
        tick(domain, 9)
    assert questions(upstream) == [texts(4, 5), texts(4), texts(5)]
    (entry,) = HourLedger(Workspace.of(domain).quarantine, domain.cadence).asked()
    assert (format_time(entry.start), format_time(entry.end)) == (text(4), text(5))
    assert "page in HTML" in entry.why
    tell(upstream, now=text(10), broken=texts(4))
    tick(domain, 10)
    assert questions(upstream) == [texts(10)]


def test_a_newest_hour_that_cannot_be_used_stops_neither_new_hours_nor_gaps(late, upstream):
    domain = late(budget_h=4, **{"ingest.retry_h": 24})
    tell(upstream, now=text(3))
    tick(domain, 3)
    tell(upstream, now=text(9), broken=texts(9))
    questions(upstream)
    with pytest.raises(SourceDataError, match=r"page in HTML.*1 of 4 steps"):
        tick(domain, 9)
    assert questions(upstream) == [texts(6, 7, 8, 9), texts(6), texts(7), texts(8), texts(9)]
    assert statuses(domain) == [Status.FINAL] * 4 + [Status.MISSING] * 2 + [Status.FINAL] * 3
    tick(domain, 9)  # hour 9 rests though it is the newest, so the gaps are filled
    tell(upstream, now=text(10), broken=texts(9))
    tick(domain, 10)
    assert questions(upstream) == [texts(4, 5), texts(10)]
    tell(upstream, now=text(10))
    tick(domain, 9 + 24)
    assert questions(upstream) == [texts(9)]
    assert statuses(domain) == [Status.FINAL] * 11


def test_a_bad_day_is_divided_and_without_a_good_step_no_other_is(late, upstream):
    domain = late(budget_h=3 * DAY)
    tell(upstream, now=text(3 * DAY - 1), broken=texts(*range(DAY, 3 * DAY)))
    with pytest.raises(SourceDataError, match=r"48 of 72 steps"):
        tick(domain, 3 * DAY - 1)
    asked = questions(upstream)
    assert [len(times) for times in asked] == [3 * DAY, DAY, DAY, *[1] * DAY, DAY]
    assert statuses(domain) == [Status.FINAL] * DAY


def test_a_gap_whose_question_fails_rests_and_says_why(late, upstream):
    domain = late(budget_h=4, **{"ingest.retry_h": 12})
    tell(upstream, now=text(3))
    tick(domain, 3)
    tell(upstream, now=text(9), away=texts(4))
    tick(domain, 9)  # 6 to 9
    with pytest.raises(SourceUnavailableError):
        tick(domain, 9)
    questions(upstream)
    tell(upstream, now=text(10), away=texts(4))
    assert tick(domain, 10).left == 2
    assert questions(upstream) == [texts(10)]
    whys = [span.why for span in life_cycle(domain, clock=lambda: START + hours(10)).spans()]
    assert whys == ["", "Expected an answer, found none; wait.", ""]
    tell(upstream, now=text(10))
    tick(domain, 9 + 12)
    assert questions(upstream) == [texts(4, 5)]


def test_the_newest_hours_are_asked_for_at_every_tick_while_the_upstream_is_away(late, upstream):
    domain = late(budget_h=4)
    tell(upstream, now=text(3), away=texts(3))
    for _ in range(2):
        with pytest.raises(SourceUnavailableError):
            tick(domain, 3)
    assert questions(upstream) == [texts(0, 1, 2, 3)] * 2
    (told,) = life_cycle(domain, clock=lambda: START + hours(3)).spans()
    assert told.why == "Expected an answer, found none; wait."


def test_a_tick_leaves_preliminary_hours_to_the_reconciliation(late, upstream):
    domain = late(budget_h=24)
    write(upstream / "four-days.nc", weather(4 * DAY), expver="0005")
    tell(upstream, now=text(5))
    tick(domain, 5)
    questions(upstream)
    assert tick(domain, 2000).did_nothing
    assert questions(upstream) == []


def test_an_explicit_period_has_no_budget_and_no_patience(late, upstream):
    domain = late(budget_h=2)
    hold_back(upstream, 7)
    tell(upstream, now=text(30))
    period = Period(START + hours(5), START + hours(25))
    for _ in range(2):
        ingest(domain, period=period, clock=lambda: START + hours(30))
    assert questions(upstream) == [texts(*range(5, 25)), texts(7)]


def test_the_newest_pieces_are_published_before_older_ones(late, upstream):
    domain = late(budget_h=24, **{"archive.start": "2019-02-01"})
    tell(upstream, now=text(59))
    tick(domain, 59)  # thirty days after the start 2019-03-03 begins, hour 48
    assert questions(upstream) == [texts(*range(48, 60)), texts(*range(36, 48))]
    assert archive_of(domain).times[-1] == START + hours(59)
