"""Every fault of index, object, server and disk, on cue at a real S3 server.

After each nothing false is returned, and the next run, with the fault gone, is whole.
"""

import resource
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from lsntp.errors import CredentialsError, SourceDataError, SourceUnavailableError, StorageError
from lsntp.times import hours
from tests.lsntp.sources.gfs.conftest import AREA, RUN
from tests.lsntp.sources.gfs.reading import KEY, TIMES, Open, Publish, assert_whole, values_of
from tests.standins import gfs
from tests.standins.s3 import S3

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
    assert_whole(open_gfs, expected)
    assert bucket.sent >= len(content)
    assert "reading all of its" in caplog.text


def test_without_an_index_the_whole_object_is_read(
    bucket: S3, library: gfs.Library, open_gfs: Open, expected: np.ndarray
) -> None:
    bucket.put(KEY, library.product(RUN))
    assert_whole(open_gfs, expected)


def test_a_stale_object_behind_a_true_index_is_refused(
    bucket: S3, library: gfs.Library, publish: Publish, open_gfs: Open, expected: np.ndarray
) -> None:
    stale = library.product(RUN - hours(24))
    bucket.put(KEY, stale)
    bucket.put(f"{KEY}.idx", gfs.inventory(library.product(RUN)))
    with pytest.raises(SourceDataError, match=r"2024-03-01T06:00Z.*2024-02-29T06:00Z"):
        open_gfs().fetch(TIMES, AREA)
    publish()
    assert_whole(open_gfs, expected)


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


def test_why_a_field_did_not_come_is_told_before_it_counts_as_a_hole(
    bucket: S3, publish: Publish, open_gfs: Open
) -> None:
    publish()
    bucket.put(gfs.key(RUN + hours(6)), b"GRIB" + bytes(5000))
    source = open_gfs(str(RUN + hours(12)))
    source.fetch(RUN + np.arange(2) * hours(6), AREA)
    assert source.holes() == []
    assert list(source.why_absent()) == [RUN + hours(6)]
    assert "gfs" in source.why_absent()[RUN + hours(6)]
    publish(RUN + hours(6))
    source.fetch(RUN + np.arange(2) * hours(6), AREA)
    assert source.why_absent() == {}


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
    assert_whole(open_gfs, expected)


def test_an_object_that_vanishes_between_index_and_data_is_absent(
    bucket: S3, publish: Publish, open_gfs: Open, expected: np.ndarray
) -> None:
    publish()
    bucket.before("GET", "f000$", lambda: bucket.delete(KEY))
    assert open_gfs().fetch(TIMES, AREA) == []
    publish()
    assert_whole(open_gfs, expected)


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
    assert_whole(open_gfs, expected)
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
    assert_whole(open_gfs, expected)


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
    assert_whole(open_gfs, expected)


def test_a_profile_that_is_not_there_is_a_matter_of_credentials(
    bucket: S3, open_gfs: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    with pytest.raises(CredentialsError, match="nobody"):
        open_gfs().fetch(TIMES, AREA)
    assert not bucket.requests


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
    assert_whole(open_gfs, expected)
    assert [request.sent for request in bucket.requests][-3:-1] == [1000, 1000]


def test_transfers_that_are_always_cut_short_give_nothing(
    bucket: S3, publish: Publish, open_gfs: Open, expected: np.ndarray
) -> None:
    publish()
    bucket.cut("f000$", after=1000, times=99)
    with pytest.raises(SourceUnavailableError, match="cut short"):
        open_gfs().fetch(TIMES, AREA)
    bucket.forget()
    assert_whole(open_gfs, expected)


def test_a_whole_object_cut_short_goes_on_where_it_ended(
    bucket: S3, publish: Publish, open_gfs: Open, expected: np.ndarray
) -> None:
    content = publish(index=b"", padding=300)
    hold = threading.Event()
    bucket.cut("f000$", after=3_000_000, hold=hold)
    try:
        assert_whole(lambda: open_gfs(timeout_s=1.0), expected)
    finally:
        hold.set()
    ranges = {request.range for request in bucket.requests} - {"", f"bytes=0-{len(content) - 1}"}
    first, last = (int(place) for place in ranges.pop().removeprefix("bytes=").split("-"))
    assert 0 < first <= 3_000_000
    assert last == len(content) - 1


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
        assert_whole(lambda: open_gfs(timeout_s=0.5), expected)
    finally:
        hold.set()


@pytest.mark.parametrize("fault", ["drips", "says nothing"])
def test_a_server_that_never_ends_is_left_at_the_deadline(
    fault: str, bucket: S3, publish: Publish, open_gfs: Open, expected: np.ndarray
) -> None:
    publish()
    hold = threading.Event()
    if fault == "drips":
        bucket.drip("f000$", count=300, pause_s=0.05, times=99)
    else:
        bucket.before("GET", "f000$", lambda: hold.wait(60), times=99)
    try:
        with pytest.raises(SourceUnavailableError, match=r"f000 within 3 s, found .* too slow"):
            open_gfs(deadline_minutes=0.05).fetch(TIMES, AREA)
    finally:
        hold.set()
    bucket.forget()
    assert_whole(open_gfs, expected)


# --- a server that sends more than was asked for ------------------------------------------------


def test_an_index_without_end_is_not_read_to_its_end(
    publish: Publish, open_gfs: Open, expected: np.ndarray, caplog: pytest.LogCaptureFixture
) -> None:
    publish(index=b"1:0:d=2024030106:TMP:surface:anl:\n" * 150_000)
    assert_whole(open_gfs, expected)
    assert "Expected at most 4194304 bytes of" in caplog.text


def test_a_whole_object_in_place_of_a_range_is_not_read_into_memory(
    bucket: S3,
    publish: Publish,
    open_gfs: Open,
    expected: np.ndarray,
    caplog: pytest.LogCaptureFixture,
) -> None:
    publish()
    bucket.ignore_ranges("f000$", times=99)
    assert_whole(open_gfs, expected)
    assert "found more: the server does not do as asked" in caplog.text


def test_a_transfer_that_cannot_be_resumed_begins_anew(
    bucket: S3, publish: Publish, open_gfs: Open, expected: np.ndarray
) -> None:
    content = publish(index=b"", padding=300)
    bucket.cut("f000$", after=3_000_000)
    bucket.ignore_ranges("f000$")
    assert_whole(open_gfs, expected)
    assert bucket.sent >= len(content) + 3_000_000


def test_an_object_larger_than_any_of_gfs_is_not_fetched(
    bucket: S3, library: gfs.Library, open_gfs: Open, expected: np.ndarray
) -> None:
    bucket.put(KEY, library.product(RUN))
    bucket.announce("f000$", 3 * 2**30, times=99)
    with pytest.raises(SourceDataError, match=r"at most 2\.1 GB in .*found 3\.2 GB"):
        open_gfs().fetch(TIMES, AREA)
    assert not [request for request in bucket.requests if request.range]
    bucket.forget()
    assert_whole(open_gfs, expected)


# --- our side -----------------------------------------------------------------------------------


@pytest.mark.parametrize("index", [None, b""], ids=["range", "whole object"])
def test_a_full_disk_is_told_and_leaves_nothing(
    index: bytes | None,
    publish: Publish,
    open_gfs: Open,
    expected: np.ndarray,
    small_files: Callable[[int], None],
) -> None:
    publish(index=index)
    small_files(20_000)
    with pytest.raises(StorageError, match="room for a GFS file"):
        open_gfs().fetch(TIMES, AREA)
    small_files(resource.RLIM_INFINITY)
    assert_whole(open_gfs, expected)


def test_a_folder_that_cannot_be_made_is_told(
    publish: Publish, open_gfs: Open, tmp_path: Path, expected: np.ndarray
) -> None:
    publish()
    (tmp_path / "work").write_text("no folder")
    with pytest.raises(StorageError, match="work"):
        open_gfs().fetch(TIMES, AREA)
    (tmp_path / "work").unlink()
    assert_whole(open_gfs, expected)


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
    assert list((tmp_path / "work" / "gfs").iterdir())
    assert_whole(open_gfs, expected)
