"""Every fault of the store: nothing false is kept, the next run completes, nothing is asked twice.

The real client talks to a store on this machine over real sockets.
"""

import datetime as dt
import email.utils
import logging

import numpy as np
import pytest

from lsntp.errors import CredentialsError, SourceDataError, SourceUnavailableError
from lsntp.sources.era5.jobs import MOST_HALVINGS
from lsntp.sources.files import FileSource
from lsntp.times import Period, hours
from tests.lsntp.sources.era5.conftest import NOW, england
from tests.standins.cds import (
    AFTER_ACCEPTANCE,
    CORRUPT,
    CUT,
    GONE,
    HTML,
    LICENCE,
    NO_TOKEN,
    NOT_READY,
    RATE_LIMIT,
    SHORT,
    STALL,
    TOO_LARGE,
    UNAVAILABLE,
    WITHOUT_THE_LAST,
    Refusal,
)

FIRST = np.datetime64("2025-01-01T00", "ns")
SIX = FIRST + np.arange(6) * hours(1)
EVER = Period.parse("1900-01-01", "2100-01-01")


@pytest.fixture(scope="session")
def true_fields(england_file, area):
    """What the file itself holds of the six hours, read by no code of the source era5."""
    files = FileSource([str(england_file)], origin=FIRST, cadence=hours(1))
    (frames,) = files.fetch(SIX, area)
    return frames


def require_true(found, true):
    (frames,) = found
    assert frames.time.values.tolist() == true.time.values.tolist()
    np.testing.assert_array_equal(frames.t2m.values, true.t2m.values)
    np.testing.assert_array_equal(frames.status.values, true.status.values)
    np.testing.assert_array_equal(frames.source_digest.values, true.source_digest.values)


def stored(tmp_path):
    return sorted(path.name for path in (tmp_path / "work/england/era5").glob("*.grib"))


CURED_IN_A_RUN = {
    "429 with Retry-After at submission": ("execution", [RATE_LIMIT]),
    "429 while waiting": ("job", [None, RATE_LIMIT]),
    "503 of the catalogue": ("messages", [UNAVAILABLE]),
    "503 of the process": ("process", [UNAVAILABLE]),
    "503 of costing": ("costing", [UNAVAILABLE, UNAVAILABLE]),
    "503 at submission": ("execution", [UNAVAILABLE]),
    "503 while waiting": ("job", [None, UNAVAILABLE, UNAVAILABLE]),
    "500 of results": ("results", [Refusal(500)]),
    "connection cut at submission": ("execution", [CUT]),
    "connection cut while waiting": ("job", [None, CUT, CUT]),
    "page of a proxy while waiting": ("job", [None, HTML]),
    "page of a proxy at submission": ("execution", [HTML]),
    "results not ready though successful": ("results", [NOT_READY, NOT_READY]),
    "502 after acceptance": ("execution", [AFTER_ACCEPTANCE]),
    "two 502 after acceptance": ("execution", [AFTER_ACCEPTANCE, AFTER_ACCEPTANCE]),
    "transfer cut": ("asset", [CUT]),
    "transfer cut twice": ("asset", [CUT, CUT]),
    "503 of the object store": ("asset", [UNAVAILABLE]),
    "wrong size": ("asset", [SHORT]),
    "same size, corrupt bytes": ("asset", [CORRUPT]),
    "HTML instead of data": ("asset", [HTML]),
    "costing not offered": ("costing", [Refusal(404, title="not found")]),
}


@pytest.mark.parametrize(("endpoint", "faults"), CURED_IN_A_RUN.values(), ids=CURED_IN_A_RUN)
def test_a_passing_fault_is_ridden_out_and_nothing_is_submitted_twice(
    cds, make_source, area, true_fields, endpoint, faults
):
    cds.cue(endpoint, *faults)
    require_true(make_source().fetch(SIX, area), true_fields)
    assert list(cds.submissions().values()) == [1]
    assert not cds.tokens_at_the_store()


PERMANENT = {
    "401": ("execution", NO_TOKEN, CredentialsError, "cds.climate.copernicus.eu"),
    "403 licence": ("execution", LICENCE, CredentialsError, "licence"),
    "403 for another reason": (
        "execution",
        Refusal(403, "The dataset is switched off."),
        CredentialsError,
        "The dataset is switched off",
    ),
    "400 no valid combination": (
        "execution",
        Refusal(400, "Request has not produced a valid combination of values"),
        SourceDataError,
        "valid combination",
    ),
    "unknown dataset": (
        "process",
        Refusal(404, "dataset X not found", title="process not found"),
        SourceDataError,
        "source.dataset",
    ),
}


@pytest.mark.parametrize(("endpoint", "fault", "error", "words"), PERMANENT.values(), ids=PERMANENT)
def test_a_refusal_for_good_is_reported_at_once_and_the_next_run_completes(
    cds, make_source, area, true_fields, endpoint, fault, error, words
):
    cds.cue(endpoint, *([fault] * (2 if endpoint == "process" else 1)))
    with pytest.raises(error, match=words) as caught:
        make_source().fetch(SIX, area)
    assert cds.key not in str(caught.value)
    assert not cds.accepted
    assert not make_source().pending(EVER).size
    require_true(make_source().fetch(SIX, area), true_fields)
    assert list(cds.submissions().values()) == [1]


def test_an_outage_longer_than_all_attempts_ends_in_an_error_and_the_next_run_completes(
    cds, make_source, area, true_fields
):
    cds.cue("execution", *[UNAVAILABLE] * 4)
    with pytest.raises(SourceUnavailableError, match="HTTP 503"):
        make_source().fetch(SIX, area)
    assert not cds.accepted
    require_true(make_source().fetch(SIX, area), true_fields)
    assert list(cds.submissions().values()) == [1]


def test_a_retry_after_beyond_the_deadline_ends_the_run_at_once(cds, make_source, area):
    cds.cue("process", Refusal(429, "Please wait.", headers={"Retry-After": "3600"}))
    with pytest.raises(SourceUnavailableError, match="HTTP 429"):
        make_source().fetch(SIX, area)
    assert not cds.accepted


def test_a_retry_after_is_kept_although_the_longest_pause_is_shorter(cds, make_source, area):
    moment = dt.datetime.now(dt.UTC) + dt.timedelta(seconds=2)
    until = email.utils.format_datetime(moment, usegmt=True)
    cds.cue("process", Refusal(429, "Please wait.", headers={"Retry-After": until}))
    make_source().fetch(SIX, area)
    assert dt.datetime.now(dt.UTC) >= moment.replace(microsecond=0)


def test_a_request_over_the_known_limit_is_halved_before_it_is_submitted(cds, make_source, area):
    cds.cost_limit = 400
    times = FIRST + np.arange(31 * 24) * hours(1)
    (frames,) = make_source().fetch(times, area)
    assert np.array_equal(np.sort(frames.time.values), times)
    # 31 days of 24 hours are 744 fields; 16 and 15 days are 384 and 360.
    assert [len(inputs["day"]) for inputs in cds.accepted] == [16, 15]
    refused = [path for _, path, _ in cds.calls if path.endswith("/execution")]
    assert len(refused) == 2


def test_a_refusal_as_too_large_is_halved_down_to_hours(cds, make_source, area, true_fields):
    cds.hidden_limit = 3
    times = np.concatenate([SIX, SIX + np.timedelta64(1, "D")])
    (frames,) = make_source().fetch(times, area)
    assert np.array_equal(np.sort(frames.time.values), times)
    assert [(i["day"], len(i["time"])) for i in cds.accepted] == [
        *[(["01"], 3)] * 2,
        *[(["02"], 3)] * 2,
    ]
    assert set(cds.submissions().values()) == {1}


def test_a_single_hour_that_is_too_large_says_to_make_the_box_smaller(cds, make_source, area):
    cds.cue("execution", *[TOO_LARGE] * 3)
    with pytest.raises(SourceDataError, match="box smaller"):
        make_source().fetch(SIX[:2], area)


def test_hours_under_embargo_are_not_yet_there_and_no_error(cds, make_source, area, caplog):
    cds.latest = FIRST - hours(1)
    source = make_source()
    with caplog.at_level(logging.INFO):
        assert source.fetch(SIX, area) == []
    assert "not yet there" in caplog.text
    assert not source.holes()
    assert not source.pending(EVER).size


def test_silently_trimmed_hours_are_left_out_and_asked_for_again(
    cds, make_source, area, true_fields
):
    cds.latest = SIX[3]
    source = make_source(now=SIX[-1] + np.timedelta64(6, "D"))
    (frames,) = source.fetch(SIX, area)
    np.testing.assert_array_equal(frames.time.values, SIX[:4])
    assert not source.holes()
    cds.latest = None
    (frames,) = make_source(now=SIX[-1] + np.timedelta64(6, "D")).fetch(SIX, area)
    require_true([frames.sortby("time")], true_fields)
    assert [inputs["time"] for inputs in cds.accepted][1] == ["04:00", "05:00"]


def test_an_hour_missing_for_more_than_three_months_is_a_hole(cds, make_source, area):
    cds.withheld = {SIX[2]}
    source = make_source(now=SIX[2] + np.timedelta64(93, "D"))
    source.fetch(SIX, area)
    (hole,) = source.holes()
    assert hole.time == SIX[2]
    assert "left it out" in hole.why
    make_source(now=SIX[2] + np.timedelta64(93, "D")).fetch(SIX, area)
    assert len(cds.accepted) == 1


QUEUE_IS_FULL = "Number queued requests for this dataset is temporarily limited"


@pytest.mark.parametrize(
    ("end", "words", "error", "rest_h"),
    [
        ("failed", "MARS returned no data", SourceDataError, 6),
        ("failed", "", SourceDataError, 6),
        ("rejected", QUEUE_IS_FULL, SourceUnavailableError, 0.5),
    ],
)
def test_a_job_that_ends_badly_is_reported_in_the_words_of_the_store_and_rests(
    cds, make_source, area, true_fields, end, words, error, rest_h
):
    cds.end = (end, words)
    for retry_s in (0, 5, 35, 155):  # as the task does, and the next tick
        now = NOW + np.timedelta64(retry_s, "s")
        with pytest.raises(error, match=words or "The job has failed"):
            make_source(now).fetch(SIX, area)
        assert not make_source(now).pending(EVER).size
    assert len(cds.accepted) == 1
    cds.end = ("successful", "")
    with pytest.raises(error, match="It rests"):
        make_source(NOW + hours(rest_h) - hours(0.01)).fetch(SIX, area)
    require_true(make_source(NOW + hours(rest_h)).fetch(SIX, area), true_fields)
    assert len(cds.accepted) == 2


def test_hours_that_rest_do_not_keep_others_from_being_asked_for(cds, make_source, area):
    cds.failing = {SIX[2]}
    with pytest.raises(SourceDataError):
        make_source().fetch(SIX, area)
    other_day = SIX + np.timedelta64(1, "D")
    (frames,) = make_source().fetch(np.concatenate([SIX, other_day]), area)
    np.testing.assert_array_equal(frames.time.values, other_day)
    assert [inputs["day"] for inputs in cds.accepted] == [["01"], ["02"]]


def test_one_bad_day_does_not_block_a_month(cds, make_source, area):
    noons = FIRST + np.arange(31) * np.timedelta64(1, "D") + hours(12)
    cds.failing, cds.polls = {noons[16]}, 1
    found = make_source().fetch(noons, area)
    came = np.sort(np.concatenate([frames.time.values for frames in found]))
    np.testing.assert_array_equal(came, np.delete(noons, 16))
    # Halves of 31 days fail down to the 17th; 31, 15, 8, 4, 2 and 1 days hold it.
    failed = [job.request["day"] for job in cds.jobs.values() if job.end == "failed"]
    assert sorted(map(len, failed)) == [1, 2, 4, 8, 15, 31]
    asked = len(cds.accepted)
    make_source().fetch(noons, area)
    assert len(cds.accepted) == asked == 11


def test_where_every_job_fails_the_queue_is_spared(cds, make_source, area):
    noons = FIRST + np.arange(31) * np.timedelta64(1, "D") + hours(12)
    cds.end, cds.polls = ("failed", "MARS is down"), 1
    for _ in range(2):
        with pytest.raises(SourceDataError, match="MARS is down"):
            make_source().fetch(noons, area)
    assert len(cds.accepted) == 2 * MOST_HALVINGS + 1


def test_only_the_jobs_of_the_wanted_hours_are_waited_for(cds, make_source, area, true_fields):
    cds.is_held = True
    with pytest.raises(SourceUnavailableError):
        make_source(deadline_minutes=0.001).fetch(SIX + np.timedelta64(1, "D"), area)
    (earlier,) = cds.jobs.values()
    cds.is_held, earlier.is_held = False, True
    require_true(make_source().fetch(SIX, area), true_fields)
    np.testing.assert_array_equal(make_source().pending(EVER), SIX + np.timedelta64(1, "D"))
    earlier.is_held = False
    make_source().fetch(SIX + np.timedelta64(1, "D"), area)
    assert [inputs["day"] for inputs in cds.accepted] == [["02"], ["01"]]


def test_a_failed_request_does_not_keep_the_others_from_their_hours(cds, make_source, area, caplog):
    cds.end = ("failed", "MARS returned no data")
    cds.is_held = True
    with pytest.raises(SourceUnavailableError):
        make_source(deadline_minutes=0.001).fetch(SIX, area)
    cds.end, cds.is_held = ("successful", ""), False
    other_day = SIX + np.timedelta64(1, "D")
    with caplog.at_level(logging.WARNING):
        source = make_source()
        (frames,) = source.fetch(np.concatenate([SIX, other_day]), area)
    np.testing.assert_array_equal(frames.time.values, other_day)
    assert "MARS returned no data" in caplog.text
    for told in (source, make_source()):  # the second finds them at rest
        told.fetch(np.concatenate([SIX, other_day]), area)
        why = told.why_absent()
        np.testing.assert_array_equal(sorted(why), SIX)
        assert all("MARS returned no data" in words for words in why.values())
        assert told.holes() == []


def test_at_the_deadline_it_is_told_why_hours_did_not_come(cds, make_source, area):
    make_source().fetch(SIX, area)
    cds.is_held = True
    other_day = SIX + np.timedelta64(1, "D")
    source = make_source(deadline_minutes=0.001)
    source.fetch(np.concatenate([SIX, other_day]), area)
    np.testing.assert_array_equal(sorted(source.why_absent()), other_day)
    assert "jobs not done" in source.why_absent()[other_day[0]]


def test_a_double_that_could_not_be_avoided_is_withdrawn(cds, make_source, area, true_fields):
    cds.cue("execution", AFTER_ACCEPTANCE)
    cds.cue("jobs", Refusal(405, title="method not allowed"))
    require_true(make_source().fetch(SIX, area), true_fields)
    assert len(cds.accepted) == 2
    assert sorted(job.is_gone for job in cds.jobs.values()) == [False, True]


def test_a_like_request_of_other_hours_is_not_taken_for_ours(cds, make_source, area):
    cds.is_held = True
    for hour in (0, 1):
        cds.cue("execution", AFTER_ACCEPTANCE)
        with pytest.raises(SourceUnavailableError):
            make_source(deadline_minutes=0.005).fetch(SIX[hour : hour + 1], area)
    assert [inputs["time"] for inputs in cds.accepted] == [["00:00"], ["01:00"]]
    assert not any(job.is_gone for job in cds.jobs.values())


def test_a_job_of_an_earlier_run_that_vanished_is_not_missed_unless_its_hours_are_wanted(
    cds, make_source, area
):
    cds.is_held = True
    with pytest.raises(SourceUnavailableError):
        make_source(deadline_minutes=0.001).fetch(SIX, area)
    cds.is_held = False
    for job in cds.jobs.values():
        job.is_gone = True
    make_source().fetch(SIX + np.timedelta64(1, "D"), area)
    assert [inputs["day"] for inputs in cds.accepted] == [["01"], ["02"]]
    assert not make_source().pending(EVER).size


def test_a_job_that_vanished_is_submitted_anew(cds, make_source, area, true_fields):
    cds.cue("job", None, GONE)
    require_true(make_source().fetch(SIX, area), true_fields)
    assert len(cds.accepted) == 2


def test_jobs_that_vanish_again_and_again_end_in_an_error(cds, make_source, area):
    cds.cue("job", *[GONE] * 20)
    with pytest.raises(SourceUnavailableError, match="job not found"):
        make_source().fetch(SIX, area)
    assert len(cds.accepted) == 4  # the first and three retries


def test_a_result_that_expired_is_submitted_anew(cds, make_source, area, true_fields):
    cds.cue("asset", GONE)
    require_true(make_source().fetch(SIX, area), true_fields)
    assert len(cds.accepted) == 2


def test_a_cut_transfer_goes_on_where_it_ended(cds, make_source, area, true_fields):
    cds.cue("asset", CUT)
    require_true(make_source().fetch(SIX, area), true_fields)
    (content,) = [job.content for job in cds.jobs.values()]
    assert cds.downloads() == [None, f"bytes={len(content) // 2}-"]


def test_a_stalled_transfer_is_cut_and_goes_on(cds, make_source, area, true_fields):
    cds.cue("asset", STALL)
    require_true(make_source(timeout_s=1).fetch(SIX, area), true_fields)
    assert len(cds.downloads()) == 2
    assert len(cds.accepted) == 1


@pytest.mark.parametrize("fault", [SHORT, CORRUPT, HTML, CUT])
def test_a_result_that_never_comes_whole_is_not_kept_and_its_job_is_used_by_the_next_run(
    cds, make_source, area, true_fields, tmp_path, fault
):
    cds.cue("asset", *[fault] * 4)
    with pytest.raises(SourceUnavailableError):
        make_source().fetch(SIX, area)
    assert not stored(tmp_path)
    np.testing.assert_array_equal(make_source().pending(EVER), SIX)
    require_true(make_source().fetch(SIX, area), true_fields)
    assert len(cds.accepted) == 1


def test_without_a_checksum_damage_is_found_by_size_and_structure(
    cds, make_source, area, true_fields, tmp_path
):
    cds.sends_checksum = False
    cds.cue("asset", HTML, SHORT, WITHOUT_THE_LAST)
    require_true(make_source().fetch(SIX, area), true_fields)


def test_a_result_over_another_box_is_refused_and_its_job_withdrawn(
    cds, make_source, tmp_path, area
):
    shifted = england(tmp_path).model_copy(
        update={"grid": england(tmp_path).grid.model_copy(update={"north": 51.5})}
    )
    with pytest.raises(SourceDataError, match=r"51\.75\.\.51 N"):
        make_source().fetch(SIX, shifted.target_grid)
    assert not stored(tmp_path)
    assert [job.is_gone for job in cds.jobs.values()] == [True]


def test_a_result_with_other_times_is_refused(cds, make_source, area, tmp_path):
    cds.is_held = True
    with pytest.raises(SourceUnavailableError):
        make_source(deadline_minutes=0.001).fetch(SIX[:2], area)
    (job,) = cds.jobs.values()
    job.content = cds._pack([SIX[4], SIX[5]], job.request)
    cds.is_held = False
    with pytest.raises(SourceDataError, match="others"):
        make_source().fetch(SIX[:2], area)
    assert not stored(tmp_path)


@pytest.mark.parametrize(
    "base",
    [
        "https://example.org",
        "http://169.254.169.254",
        "file:///etc",
        "https://copernicus.eu.x.org",
        "https://results.ecmwf.int:abc",
        "https://[bad",
    ],
)
def test_a_result_at_a_host_that_is_not_allowed_is_never_fetched(cds, make_source, area, base):
    cds.asset_url_base = base
    with pytest.raises(SourceDataError, match=r"source\.hosts"):
        make_source().fetch(SIX, area)
    assert not cds.downloads()
    cds.asset_url_base = None
    make_source().fetch(SIX, area)
    assert len(cds.accepted) == 1


def test_a_result_without_a_file_is_reported_and_its_job_kept(
    cds, make_source, area, true_fields, monkeypatch
):
    with monkeypatch.context() as patch:
        patch.setattr(cds, "results", lambda job: {"asset": {"value": {"type": "x"}}})
        with pytest.raises(SourceUnavailableError, match="name a file"):
            make_source().fetch(SIX, area)
    require_true(make_source().fetch(SIX, area), true_fields)
    assert len(cds.accepted) == 1


def test_at_the_deadline_the_jobs_stay_queued_and_the_next_run_takes_them_up(
    cds, make_source, area, true_fields
):
    cds.is_held = True
    with pytest.raises(SourceUnavailableError, match="the next run picks them up"):
        make_source(deadline_minutes=0.005).fetch(SIX, area)
    np.testing.assert_array_equal(make_source().pending(EVER), SIX)
    cds.is_held = False
    cds.cue("jobs", *[Refusal(405)] * 3)  # the job is known without any list
    require_true(make_source().fetch(SIX, area), true_fields)
    assert len(cds.accepted) == 1
    assert not make_source().pending(EVER).size


def test_no_more_jobs_are_queued_than_allowed(cds, make_source, area):
    cds.is_held = True
    times = np.concatenate([SIX + np.timedelta64(31 * month, "D") for month in range(3)])
    with pytest.raises(SourceUnavailableError, match="2 jobs not done"):
        make_source(deadline_minutes=0.005, max_jobs=2).fetch(times, area)
    assert len(cds.accepted) == 2
    cds.is_held = False
    (frames,) = make_source(max_jobs=2).fetch(times, area)
    assert np.array_equal(np.sort(frames.time.values), times)
    assert set(cds.submissions().values()) == {1}
