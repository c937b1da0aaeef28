"""The source against a real S3 server: what it reads, how much it moves, what faults make of it.

After every fault nothing false is returned, and the next run, with the fault gone, is whole.
"""

import os
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from lsntp.errors import (
    CredentialsError,
    SourceDataError,
    SourceUnavailableError,
    StorageError,
)
from lsntp.grid import regular_grid
from lsntp.names import Status
from lsntp.sources import ForecastingSource, Upstream
from lsntp.sources.gfs import GfsUpstream
from lsntp.times import Period, hours, parse_time
from tests.lsntp.sources.gfs.conftest import AREA, RUN
from tests.standins import gfs
from tests.standins.s3 import S3

Publish = Callable[..., bytes]
Open = Callable[..., GfsUpstream]
KEY = gfs.key(RUN)
TIMES = np.array([RUN])


def values_of(source: GfsUpstream, times: np.ndarray = TIMES) -> np.ndarray:
    (frames,) = source.fetch(times, AREA)
    return frames.t2m.values


def is_whole(open_gfs: Open, expected: np.ndarray) -> None:
    """The next run is what it should be, and leaves no file behind."""
    source = open_gfs()
    np.testing.assert_array_equal(values_of(source)[0], expected)
    assert not source.holes()
    assert not list(source._folder.iterdir())


# --- what is there ------------------------------------------------------------------------------


def test_it_promises_what_sources_beyond_a_network_promise(open_gfs: Open) -> None:
    source = open_gfs()
    assert isinstance(source, Upstream)
    assert isinstance(source, ForecastingSource)
    assert source.pending(Period.parse("2024-01-01", "2025-01-01")).size == 0


def test_runs_are_offered_once_they_are_due(open_gfs: Open) -> None:
    source = open_gfs("2024-03-01T15:41", publication_h=3.7)
    offered = source.available(Period.parse("2024-03-01", "2024-03-03"))
    assert [str(time)[:13] for time in offered] == ["2024-03-01T00", "2024-03-01T06"]
    later = open_gfs("2024-03-01T15:42", publication_h=3.7)
    assert later.available(Period.parse("2024-03-01", "2024-03-03"))[-1] == parse_time(
        "2024-03-01T12"
    )


def test_nothing_is_offered_before_the_bucket_begins_or_beyond_now(open_gfs: Open) -> None:
    source = open_gfs()
    assert source.available(Period.parse("2019-01-01", "2020-01-01")).size == 0
    assert source.available(Period.parse("2019-01-01", "2021-01-02")).size == 4
    assert source.available(Period.parse("2030-01-01", "2031-01-01")).size == 0


def test_an_axis_that_never_meets_a_run_is_refused(bucket: S3, open_gfs: Open) -> None:
    source = open_gfs()
    source._origin = parse_time("2024-03-01T03")
    with pytest.raises(SourceDataError, match=r"archive\.start"):
        source.available(Period.parse("2024-01-01", "2025-01-01"))
    assert not bucket.requests


# --- an analysis --------------------------------------------------------------------------------


def test_an_analysis_is_the_field_that_eccodes_decodes(
    publish: Publish, open_gfs: Open, expected: np.ndarray
) -> None:
    publish()
    (frames,) = open_gfs().fetch(TIMES, AREA)
    np.testing.assert_array_equal(frames.t2m.values[0], expected)
    assert frames.time.values.tolist() == TIMES.astype("datetime64[ns]").tolist()
    assert frames.status.values.tolist() == [Status.FINAL]
    assert frames.latitude.values.tolist() == list(range(56, 46, -1))
    assert frames.longitude.values.tolist() == list(range(-6, 8))
    assert frames.attrs["source"] == "gfs"
    assert frames.attrs["files"].endswith("/gfs.*.pgrb2.1p00.f000")


def test_one_analysis_out_of_a_large_object_moves_less_than_2_mb(
    bucket: S3, publish: Publish, open_gfs: Open, expected: np.ndarray
) -> None:
    content = publish(padding=3000)
    assert len(content) > 30e6
    np.testing.assert_array_equal(values_of(open_gfs())[0], expected)
    assert [request.method for request in bucket.requests] == ["HEAD", "GET", "GET"]
    assert len(gfs.inventory(content)) < bucket.sent < 2e6


def test_requests_are_anonymous_unless_there_is_a_key(
    bucket: S3, publish: Publish, open_gfs: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish()
    values_of(open_gfs())
    assert not any(request.is_signed for request in bucket.requests)
    bucket.forget()
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "reader")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "reader-secret")
    values_of(open_gfs())
    assert all(request.is_signed for request in bucket.requests)


def test_the_last_message_of_an_object_ends_with_the_object(
    publish: Publish, open_gfs: Open, expected: np.ndarray
) -> None:
    publish(t2m_last=True)
    is_whole(open_gfs, expected)


def test_before_march_2021_objects_lie_a_folder_higher(
    bucket: S3, library: gfs.Library, open_gfs: Open, expected: np.ndarray
) -> None:
    time = parse_time("2021-03-22T18")
    content = library.product(time)
    bucket.put("gfs.20210322/18/gfs.t18z.pgrb2.1p00.f000", content)
    bucket.put("gfs.20210322/18/gfs.t18z.pgrb2.1p00.f000.idx", gfs.inventory(content))
    np.testing.assert_array_equal(values_of(open_gfs(), np.array([time]))[0], expected)


def test_several_runs_come_in_the_order_they_were_asked_for(
    publish: Publish, open_gfs: Open, library: gfs.Library
) -> None:
    (field,) = gfs.t2m_of([library.t2m])
    times = RUN + np.arange(5) * hours(6)
    contents = [publish(time, values=field + 0.5 * i) for i, time in enumerate(times)]
    (frames,) = open_gfs().fetch(times, AREA)
    assert np.array_equal(frames.time.values, times)
    truth = gfs.t2m_of(contents)[:, 90 - 50, 2]  # 50 N, 2 E
    found = frames.t2m.sel(latitude=50, longitude=2).values
    np.testing.assert_array_equal(found, truth.astype(np.float32))
    assert len(set(found)) == 5


def test_the_globe_can_be_asked_for(publish: Publish, open_gfs: Open) -> None:
    publish()
    globe = regular_grid(north=90, south=-90, west=-180, east=179, spacing=1)
    (frames,) = open_gfs().fetch(TIMES, globe)
    assert frames.t2m.shape == (1, 181, 360)


# --- forecasts ----------------------------------------------------------------------------------


def test_a_forecast_is_whole_or_left_out(
    bucket: S3, publish: Publish, open_gfs: Open, expected: np.ndarray
) -> None:
    leads = np.array([6, 12]) * hours(1)
    first, second = RUN, RUN + hours(6)
    for run, step in ((first, 6), (first, 12), (second, 6)):
        publish(run, step)
    found = open_gfs("2024-03-01T18").fetch_forecasts(np.array([first, second]), leads, AREA)
    assert found is not None
    assert found.init_time.values.tolist() == np.array([first], "datetime64[ns]").tolist()
    np.testing.assert_array_equal(found.values, [[expected, expected]])
    publish(second, 12)
    found = open_gfs("2024-03-01T18").fetch_forecasts(np.array([first, second]), leads, AREA)
    assert found is not None
    assert found.shape == (2, 2, *expected.shape)


def test_no_forecast_at_all_is_nothing(open_gfs: Open) -> None:
    assert open_gfs().fetch_forecasts(TIMES, np.array([hours(6)]), AREA) is None


def test_an_object_of_another_step_is_no_forecast(
    bucket: S3, library: gfs.Library, open_gfs: Open
) -> None:
    other = library.product(RUN, 12)
    key = gfs.key(RUN, 6)
    bucket.put(key, other)
    bucket.put(f"{key}.idx", gfs.inventory(other))
    with pytest.raises(SourceDataError, match=r"forecasts 6 h ahead.*step 12"):
        open_gfs().fetch_forecasts(TIMES, np.array([hours(6)]), AREA)


def test_a_forecast_in_the_place_of_an_analysis_is_refused(
    bucket: S3, library: gfs.Library, open_gfs: Open
) -> None:
    other = library.product(RUN, 6)
    bucket.put(KEY, other)
    bucket.put(f"{KEY}.idx", gfs.inventory(other))
    with pytest.raises(SourceDataError, match=r"analyses.*a forecast \(step 6\)"):
        open_gfs().fetch(TIMES, AREA)


# --- not yet, and holes -------------------------------------------------------------------------


def test_a_missing_object_is_not_yet_and_in_the_end_a_hole(
    open_gfs: Open, publish: Publish, expected: np.ndarray
) -> None:
    source = open_gfs("2024-03-03T05", give_up_h=48)
    assert source.fetch(TIMES, AREA) == []
    assert source.holes() == []
    later = open_gfs("2024-03-03T06", give_up_h=48)
    assert later.fetch(TIMES, AREA) == []
    (hole,) = later.holes()
    assert hole.time == RUN
    assert KEY in hole.why
    publish()
    is_whole(open_gfs, expected)


def test_an_empty_object_counts_as_missing(
    bucket: S3, publish: Publish, open_gfs: Open, expected: np.ndarray
) -> None:
    bucket.put(KEY, b"")
    assert open_gfs().fetch(TIMES, AREA) == []
    (hole,) = [
        h for s in [open_gfs("2024-04-01")] for _ in [s.fetch(TIMES, AREA)] for h in s.holes()
    ]
    assert "empty" in hole.why
    publish()
    is_whole(open_gfs, expected)


def test_what_is_there_is_fetched_beside_what_is_missing(
    publish: Publish, open_gfs: Open, expected: np.ndarray
) -> None:
    publish()
    times = RUN + np.array([-1, 0, 1]) * hours(6)
    np.testing.assert_array_equal(values_of(open_gfs(), times), [expected])


# --- the index cannot be trusted ----------------------------------------------------------------


def shifted(index: bytes, by: int) -> bytes:
    """Every first byte but 0 moved."""
    lines = [line.split(b":") for line in index.splitlines()]
    for line in lines[1:]:
        line[1] = str(int(line[1]) + by).encode()
    return b"\n".join(b":".join(line) for line in lines)


def without(index: bytes, text: bytes) -> bytes:
    return b"".join(line for line in index.splitlines(keepends=True) if text not in line)


BAD_INDEXES = {
    "points at the middle of a message": lambda index: shifted(index, 1000),
    "points a byte too far": lambda index: shifted(index, 1),
    "of the day before": lambda index: index.replace(b"d=2024030106", b"d=2024022906"),
    "of another step": lambda index: index.replace(b":anl:", b":6 hour fcst:"),
    "without the field": lambda index: without(index, b":TMP:2 m above"),
    "with the field twice": lambda index: index.replace(b":APTMP:", b":TMP:"),
    "that calls apparent temperature the field": lambda index: without(
        index, b":TMP:2 m above"
    ).replace(b":APTMP:", b":TMP:"),
    "that ends before the field's end": lambda index: index[: index.index(b":TMP:2 m above") + 30],
    "beyond the object": lambda index: shifted(index, 10**9),
    "that is no inventory": lambda index: b"<html>Service temporarily unavailable</html>",
    "that is empty": lambda index: b"",
}


@pytest.mark.parametrize("fault", BAD_INDEXES)
def test_with_a_wrong_index_the_whole_object_is_read(
    fault: str,
    bucket: S3,
    library: gfs.Library,
    publish: Publish,
    open_gfs: Open,
    expected: np.ndarray,
    caplog: pytest.LogCaptureFixture,
) -> None:
    index = BAD_INDEXES[fault](gfs.inventory(library.product(RUN)))
    content = publish(index=index)
    is_whole(open_gfs, expected)
    assert bucket.sent >= len(content)
    assert "reading all of its" in caplog.text


def test_without_an_index_the_whole_object_is_read(
    bucket: S3, library: gfs.Library, open_gfs: Open, expected: np.ndarray
) -> None:
    bucket.put(KEY, library.product(RUN))
    is_whole(open_gfs, expected)


def test_a_stale_object_behind_a_true_index_is_refused(
    bucket: S3, library: gfs.Library, publish: Publish, open_gfs: Open, expected: np.ndarray
) -> None:
    stale = library.product(RUN - hours(24))
    bucket.put(KEY, stale)
    bucket.put(f"{KEY}.idx", gfs.inventory(library.product(RUN)))
    with pytest.raises(SourceDataError, match=r"2024-03-01T06:00Z.*2024-02-29T06:00Z"):
        open_gfs().fetch(TIMES, AREA)
    publish()
    is_whole(open_gfs, expected)


@pytest.mark.parametrize("impostor", ["apparent", "spread"])
def test_an_object_without_the_field_is_refused_and_in_the_end_a_hole(
    impostor: str, bucket: S3, library: gfs.Library, open_gfs: Open
) -> None:
    content = gfs.dated(getattr(library, impostor), RUN, 0)
    bucket.put(KEY, content)
    bucket.put(f"{KEY}.idx", b"1:0:d=2024030106:TMP:2 m above ground:anl:\n")
    with pytest.raises(SourceDataError, match="2 m temperature"):
        open_gfs().fetch(TIMES, AREA)
    later = open_gfs("2024-04-01")
    assert later.fetch(TIMES, AREA) == []
    (hole,) = later.holes()
    assert "2 m temperature" in hole.why


def test_one_bad_object_does_not_keep_the_others_back(
    bucket: S3, publish: Publish, open_gfs: Open, expected: np.ndarray
) -> None:
    publish()
    bucket.put(gfs.key(RUN + hours(6)), b"GRIB" + bytes(5000))
    source = open_gfs("2024-04-01")
    np.testing.assert_array_equal(values_of(source, RUN + np.arange(2) * hours(6)), [expected])
    assert [hole.time for hole in source.holes()] == [RUN + hours(6)]


# --- the object changes -------------------------------------------------------------------------


def test_an_object_replaced_between_index_and_data_is_read_anew(
    bucket: S3, library: gfs.Library, publish: Publish, open_gfs: Open
) -> None:
    publish()
    (field,) = gfs.t2m_of([library.t2m])
    newer = library.product(RUN, values=field + 3, padding=40)

    def replace() -> None:
        bucket.put(KEY, newer)
        bucket.put(f"{KEY}.idx", gfs.inventory(newer))

    bucket.before("GET", "f000$", replace)
    (truth,) = gfs.t2m_of([newer])
    found = values_of(open_gfs())[0]
    assert found[6, 8] == np.float32(truth[90 - 50, 2])


def test_an_object_replaced_again_and_again_is_given_up_for_now(
    bucket: S3, library: gfs.Library, publish: Publish, open_gfs: Open, expected: np.ndarray
) -> None:
    publish()
    versions = iter(range(13, 99))
    bucket.before(
        "GET",
        "f000$",
        lambda: bucket.put(KEY, library.product(RUN, padding=next(versions))),
        times=99,
    )
    with pytest.raises(SourceUnavailableError, match="replaced"):
        open_gfs().fetch(TIMES, AREA)
    assert len([r for r in bucket.requests if r.method == "HEAD"]) == 3
    publish()
    is_whole(open_gfs, expected)


def test_an_object_that_vanishes_between_index_and_data_is_absent(
    bucket: S3, publish: Publish, open_gfs: Open, expected: np.ndarray
) -> None:
    publish()
    bucket.before("GET", "f000$", lambda: bucket.delete(KEY))
    assert open_gfs().fetch(TIMES, AREA) == []
    publish()
    is_whole(open_gfs, expected)


# --- the server fails ---------------------------------------------------------------------------


@pytest.mark.parametrize(("status", "code"), [(503, "SlowDown"), (500, "InternalError")])
@pytest.mark.parametrize(("method", "path"), [("HEAD", "f000$"), ("GET", "idx$"), ("GET", "f000$")])
def test_a_server_that_fails_for_a_moment_is_asked_again(
    status: int,
    code: str,
    method: str,
    path: str,
    bucket: S3,
    publish: Publish,
    open_gfs: Open,
    expected: np.ndarray,
) -> None:
    publish()
    bucket.fail(method, path, status, code, times=2)
    is_whole(open_gfs, expected)
    assert len(bucket.requests) == 3 + 2


def test_a_server_that_goes_on_failing_is_left_after_a_few_attempts(
    bucket: S3, publish: Publish, open_gfs: Open, expected: np.ndarray
) -> None:
    publish()
    bucket.fail("HEAD", "f000$", 503, "SlowDown", times=99)
    times = RUN + np.arange(20) * hours(6)
    with pytest.raises(SourceUnavailableError, match="try again later"):
        open_gfs(retries=3).fetch(times, AREA)
    assert len(bucket.requests) == 4
    bucket.forget()
    is_whole(open_gfs, expected)


def test_a_refusal_is_taken_at_the_first_word(
    bucket: S3,
    library: gfs.Library,
    publish: Publish,
    open_gfs: Open,
    expected: np.ndarray,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bucket.put(KEY, library.product(RUN), public=False)
    times = RUN + np.arange(20) * hours(6)
    with pytest.raises(CredentialsError, match="AWS_ACCESS_KEY_ID") as caught:
        open_gfs(retries=5).fetch(times, AREA)
    assert len(bucket.requests) == 1
    assert KEY in str(caught.value)
    publish()
    is_whole(open_gfs, expected)


def test_no_secret_is_in_a_refusal(
    bucket: S3, publish: Publish, open_gfs: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish()
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "canary-key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "canary-secret")
    bucket.fail("GET", "f000$", 403, "InvalidAccessKeyId")
    with pytest.raises(CredentialsError) as caught:
        open_gfs().fetch(TIMES, AREA)
    assert "canary" not in str(caught.value)
    assert len(bucket.requests) == 3


def test_a_server_that_is_not_there_is_unavailable(
    open_gfs: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    with pytest.raises(SourceUnavailableError, match="AWS_ENDPOINT_URL"):
        open_gfs(retries=1).fetch(TIMES, AREA)


def test_a_bucket_that_is_not_there_is_not_full_of_holes(open_gfs: Open) -> None:
    source = open_gfs("2024-04-01", bucket="no-such-bucket")
    with pytest.raises(SourceDataError, match=r"source\.bucket"):
        source.fetch(TIMES, AREA)
    assert not source.holes()


def test_a_transfer_cut_short_is_repeated(
    bucket: S3, publish: Publish, open_gfs: Open, expected: np.ndarray
) -> None:
    publish()
    bucket.cut("f000$", after=1000, times=2)
    is_whole(open_gfs, expected)
    assert [request.sent for request in bucket.requests][-3:-1] == [1000, 1000]


def test_transfers_that_are_always_cut_short_give_nothing(
    bucket: S3, publish: Publish, open_gfs: Open, expected: np.ndarray
) -> None:
    publish()
    bucket.cut("f000$", after=1000, times=99)
    with pytest.raises(SourceUnavailableError, match="cut short"):
        open_gfs().fetch(TIMES, AREA)
    bucket.forget()
    is_whole(open_gfs, expected)


def test_a_whole_object_cut_short_goes_on_where_it_ended(
    bucket: S3, publish: Publish, open_gfs: Open, expected: np.ndarray
) -> None:
    content = publish(index=b"", padding=300)
    bucket.cut("f000$", after=3_000_000)
    is_whole(open_gfs, expected)
    pieces = [request for request in bucket.requests if request.path.endswith("f000")][-2:]
    assert pieces[0].sent == 3_000_000
    assert pieces[1].range == f"bytes=3000000-{len(content) - 1}"


@pytest.mark.parametrize("after", [0, 1000])
def test_a_stalled_transfer_ends(
    after: int, bucket: S3, publish: Publish, open_gfs: Open, expected: np.ndarray
) -> None:
    publish()
    hold = threading.Event()
    if after:
        bucket.cut("f000$", after, hold=hold)
    else:
        bucket.before("GET", "f000$", lambda: hold.wait(60))
    try:
        is_whole(lambda: open_gfs(timeout_s=0.5), expected)
    finally:
        hold.set()


# --- our side -----------------------------------------------------------------------------------


@pytest.mark.parametrize("index", [None, b""], ids=["range", "whole object"])
def test_a_full_disk_is_told_and_leaves_nothing(
    index: bytes | None, publish: Publish, open_gfs: Open, expected: np.ndarray
) -> None:
    publish(index=index)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, limits[1]))
    try:
        with pytest.raises(StorageError, match="room for a GFS file"):
            open_gfs().fetch(TIMES, AREA)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    is_whole(open_gfs, expected)


def test_a_folder_that_cannot_be_made_is_told(
    publish: Publish, open_gfs: Open, tmp_path: Path, expected: np.ndarray
) -> None:
    publish()
    (tmp_path / "work").write_text("no folder")
    with pytest.raises(StorageError, match="work"):
        open_gfs().fetch(TIMES, AREA)
    (tmp_path / "work").unlink()
    is_whole(open_gfs, expected)


CHILD = """
import sys
import numpy as np
from pathlib import Path
from lsntp.config import GfsSource
from lsntp.sources.gfs import GfsUpstream
from lsntp.times import hours, parse_time
from tests.lsntp.sources.gfs.conftest import AREA, RUN
bucket, work = sys.argv[1:]
GfsUpstream(
    GfsSource(bucket=bucket, resolution="1p00"),
    origin=RUN, cadence=hours(6), clock=lambda: RUN + hours(6), work=Path(work),
).fetch(np.array([RUN]), AREA)
"""


@pytest.mark.parametrize("index", [None, b""], ids=["range", "whole object"])
def test_a_run_killed_while_fetching_costs_the_next_one_nothing(
    index: bytes | None,
    bucket: S3,
    publish: Publish,
    open_gfs: Open,
    tmp_path: Path,
    expected: np.ndarray,
) -> None:
    publish(index=index)
    asked, hold = threading.Event(), threading.Event()
    bucket.before("GET", "f000$", lambda: (asked.set(), hold.wait(120)))
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, bucket.bucket, str(tmp_path / "work")],
    )
    try:
        assert asked.wait(100)
        child.send_signal(signal.SIGKILL)
        assert child.wait(20) == -signal.SIGKILL
    finally:
        child.kill()
        hold.set()
    leftovers = list((tmp_path / "work" / "gfs").glob("**/*"))
    assert leftovers
    old = time.time() - 2 * 86_400
    for path in leftovers:
        os.utime(path, (old, old))
    is_whole(open_gfs, expected)
