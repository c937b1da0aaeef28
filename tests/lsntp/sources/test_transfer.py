"""Downloads over a real socket from a host that fails on cue."""

import datetime as dt
import hashlib
import json
import logging
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lsntp.errors import SourceDataError, SourceUnavailableError, StorageError
from lsntp.sources.notes import Version
from lsntp.sources.transfer import (
    AbsentError,
    Limits,
    download,
    host_of,
    is_safe,
    retry_after_s,
)
from tests.standins.file_host import Cut, FileHost, Flip, Page, Stall, Status

CONTENT = b"".join(hashlib.sha256(str(number).encode()).digest() for number in range(16_000))
PATH = "/air.nc"
LIMITS = Limits(retries=3, pause_s=0.01, stall_s=30.0, deadline_s=300.0, max_bytes=10**6)


@pytest.fixture
def host() -> Iterator[FileHost]:
    with FileHost().running() as running:
        running.put(PATH, CONTENT)
        yield running


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "air.nc"


def accept(_: Path) -> None:
    """Every content will do."""


def fetch(
    host: FileHost,
    target: Path,
    *,
    limits: Limits = LIMITS,
    check: Callable[[Path], None] = accept,
    held: Version | None = None,
    others: tuple[str, ...] = (),
) -> Version | None:
    hosts = frozenset(map(host_of, (host.url, *others)))
    return download(host.url + PATH, target, hosts=hosts, limits=limits, check=check, held=held)


def remains(target: Path) -> set[str]:
    return {path.name for path in target.parent.iterdir() if path.suffix != ".lock"}


def test_a_file_arrives_whole_with_its_version_and_nothing_else_stays(
    host: FileHost, target: Path
) -> None:
    version = fetch(host, target)
    assert target.read_bytes() == CONTENT
    assert version is not None
    assert version.etag == f'"{hashlib.sha256(CONTENT).hexdigest()[:16]}"'
    assert remains(target) == {"air.nc"}
    (request,) = host.asked(PATH)
    assert request.headers["Accept-Encoding"] == "identity"


def test_the_version_that_is_held_is_not_sent_again(host: FileHost, target: Path) -> None:
    version = fetch(host, target)
    assert fetch(host, target, held=version) is None
    assert [request.status for request in host.asked(PATH)] == [200, 304]


def test_without_an_etag_the_date_tells_whether_it_changed(host: FileHost, target: Path) -> None:
    host.names_etags = False
    version = fetch(host, target)
    assert version is not None
    assert version.etag is None
    assert fetch(host, target, held=version) is None
    host.put(PATH, CONTENT[::-1])
    assert fetch(host, target, held=version) is not None
    assert target.read_bytes() == CONTENT[::-1]


def test_a_cut_body_is_resumed_where_it_ended(host: FileHost, target: Path) -> None:
    host.fail(PATH, Cut(after=200_000), Cut(after=100_000))
    fetch(host, target)
    assert target.read_bytes() == CONTENT
    spans = [request.headers.get("Range") for request in host.asked(PATH)]
    assert spans == [None, "bytes=200000-", "bytes=300000-"]
    assert [request.status for request in host.asked(PATH)] == [200, 206, 206]


@pytest.mark.parametrize("names_etags", [True, False])
def test_a_file_that_changed_between_two_attempts_is_fetched_anew(
    host: FileHost, target: Path, names_etags: bool
) -> None:
    host.names_etags = names_etags
    host.fail(PATH, Cut(after=200_000))
    with pytest.raises(SourceUnavailableError):
        fetch(host, target, limits=Limits(retries=0))
    host.put(PATH, CONTENT[::-1])
    fetch(host, target)
    assert target.read_bytes() == CONTENT[::-1]
    last = host.asked(PATH)[-1]
    assert (last.headers["Range"], last.status) == ("bytes=200000-", 200)


def test_a_weak_version_vouches_for_no_byte_and_is_not_resumed(
    host: FileHost, target: Path
) -> None:
    host.fail(PATH, Cut(after=200_000))
    with pytest.raises(SourceUnavailableError):
        fetch(host, target, limits=Limits(retries=0))
    note = target.with_name("air.nc.part.json")
    note.write_text(json.dumps(json.loads(note.read_text()) | {"etag": 'W/"1"'}))
    fetch(host, target)
    assert "Range" not in host.asked(PATH)[-1].headers
    assert target.read_bytes() == CONTENT


def test_a_body_received_whole_but_not_yet_in_place_is_not_sent_again(
    host: FileHost, target: Path
) -> None:
    def interrupted(_: Path) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fetch(host, target, check=interrupted)
    assert not target.exists()
    fetch(host, target)
    assert target.read_bytes() == CONTENT
    assert [request.status for request in host.asked(PATH)] == [200, 416]


def test_a_cut_body_without_a_length_is_for_the_check_to_see(host: FileHost, target: Path) -> None:
    def is_whole(path: Path) -> None:
        if path.stat().st_size < len(CONTENT):
            raise SourceUnavailableError("cut short")

    host.fail(PATH, Cut(after=200_000, with_length=False))
    fetch(host, target, check=is_whole)
    assert target.read_bytes() == CONTENT
    assert len(host.asked(PATH)) == 2


def test_what_the_check_refuses_for_good_never_arrives_and_is_not_resumed(
    host: FileHost, target: Path
) -> None:
    target.write_bytes(b"before")

    def refuse(_: Path) -> None:
        raise SourceDataError("another variable")

    with pytest.raises(SourceDataError, match="another variable"):
        fetch(host, target, check=refuse)
    assert target.read_bytes() == b"before"
    assert remains(target) == {"air.nc"}
    assert len(host.asked(PATH)) == 1


def test_silence_ends_an_attempt_and_the_next_goes_on(host: FileHost, target: Path) -> None:
    host.fail(PATH, Stall(after=200_000))
    fetch(host, target, limits=Limits(retries=1, pause_s=0.01, stall_s=0.5))
    assert target.read_bytes() == CONTENT
    assert host.asked(PATH)[-1].headers["Range"] == "bytes=200000-"


def test_the_deadline_ends_a_download_that_is_merely_slow(host: FileHost, target: Path) -> None:
    with pytest.raises(SourceUnavailableError, match="all the time there is"):
        fetch(host, target, limits=Limits(retries=0, deadline_s=0.0))
    assert not target.exists()


@pytest.mark.parametrize("code", [408, 429, 500, 502, 503, 504])
def test_a_host_that_is_busy_for_a_while_is_asked_again(
    host: FileHost, target: Path, code: int
) -> None:
    host.fail(PATH, Status(code), Status(code, {"Retry-After": "0"}))
    fetch(host, target)
    assert [request.status for request in host.asked(PATH)] == [code, code, 200]


@pytest.mark.parametrize("pause", ["3600", "Wed, 21 Oct 2065 07:28:00 GMT"])
def test_a_host_that_asks_for_a_longer_pause_than_we_have_is_left_at_once(
    host: FileHost, target: Path, pause: str
) -> None:
    host.fail(PATH, Status(503, {"Retry-After": pause}))
    with pytest.raises(SourceUnavailableError, match=r"503 .*to be tried again after"):
        fetch(host, target)
    assert len(host.asked(PATH)) == 1


def test_attempts_are_bounded_and_the_error_says_what_was_found(
    host: FileHost, target: Path
) -> None:
    host.fail(PATH, *[Status(503)] * 10)
    with pytest.raises(SourceUnavailableError, match=r"air\.nc, found HTTP 503"):
        fetch(host, target)
    assert len(host.asked(PATH)) == LIMITS.retries + 1


def test_nobody_at_the_address_is_unavailable(host: FileHost, target: Path) -> None:
    with pytest.raises(SourceUnavailableError, match="ConnectError"):
        download(
            "http://127.0.0.1:9/air.nc",
            target,
            hosts=frozenset({"127.0.0.1:9"}),
            limits=Limits(retries=1, pause_s=0.01),
            check=accept,
        )


@pytest.mark.parametrize("code", [404, 410])
def test_a_missing_file_is_told_apart_and_not_asked_for_twice(
    host: FileHost, target: Path, code: int
) -> None:
    host.fail(PATH, Status(code))
    with pytest.raises(AbsentError, match=f"HTTP {code}"):
        fetch(host, target)
    assert len(host.asked(PATH)) == 1


@pytest.mark.parametrize("code", [400, 401, 403, 418])
def test_an_answer_that_waiting_cannot_cure_is_not_tried_again(
    host: FileHost, target: Path, code: int
) -> None:
    host.fail(PATH, Status(code))
    with pytest.raises(SourceDataError, match=rf"HTTP {code}.*in a browser"):
        fetch(host, target)
    assert len(host.asked(PATH)) == 1


def test_a_redirect_to_another_host_is_followed_only_where_it_is_allowed(
    host: FileHost, target: Path
) -> None:
    with FileHost().running() as other:
        other.put("/elsewhere.nc", CONTENT)
        elsewhere = Status(302, {"Location": f"{other.url}/elsewhere.nc"})
        host.fail(PATH, elsewhere)
        with pytest.raises(SourceDataError, match=r"redirect to http://127\.0\.0\.1"):
            fetch(host, target)
        assert other.requests == []
        host.fail(PATH, elsewhere)
        fetch(host, target, others=(other.url,))
    assert target.read_bytes() == CONTENT


def test_a_redirect_away_from_https_is_never_followed(host: FileHost, target: Path) -> None:
    host.fail(PATH, Status(301, {"Location": "http://example.org/air.nc"}))
    with pytest.raises(SourceDataError, match="over https"):
        fetch(host, target, others=("http://example.org",))


def test_redirects_in_a_circle_end(host: FileHost, target: Path) -> None:
    host.fail(PATH, *[Status(302, {"Location": host.url + PATH})] * 20)
    with pytest.raises(SourceDataError, match="more than 5 redirects"):
        fetch(host, target)


def test_an_answer_of_not_modified_that_nobody_asked_for_is_no_answer(
    host: FileHost, target: Path
) -> None:
    host.fail(PATH, Status(304))
    assert fetch(host, target) is not None
    assert target.read_bytes() == CONTENT


def test_what_follows_the_question_mark_of_an_address_is_in_no_message(
    host: FileHost, target: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO), pytest.raises(AbsentError) as caught:
        download(
            f"{host.url}/absent.nc?signature=canary",
            target,
            hosts=frozenset({host_of(host.url)}),
            limits=LIMITS,
            check=accept,
        )
    assert "/absent.nc, found none" in str(caught.value)
    assert "canary" not in str(caught.value) + caplog.text


def test_a_file_beyond_the_size_limit_is_refused_before_and_during_the_download(
    host: FileHost, target: Path
) -> None:
    small = Limits(retries=0, max_bytes=300_000)
    with pytest.raises(SourceDataError, match="at most 300000 bytes"):
        fetch(host, target, limits=small)
    host.fail(PATH, Cut(after=len(CONTENT), with_length=False))
    with pytest.raises(SourceDataError, match="at most 300000 bytes"):
        fetch(host, target, limits=small)
    assert remains(target) == set()


def test_two_runs_never_write_the_same_part(host: FileHost, target: Path) -> None:
    host.fail(PATH, Stall(after=200_000))
    first = threading.Thread(target=fetch, args=(host, target))
    first.start()
    assert host.stalled.wait(60)
    with pytest.raises(SourceUnavailableError, match="another run"):
        fetch(host, target)
    host.go_on.set()
    first.join(60)
    assert target.read_bytes() == CONTENT


def test_a_place_that_cannot_be_written_is_the_storages_fault(host: FileHost, target: Path) -> None:
    target.with_name("air.nc.part").mkdir()
    with pytest.raises(StorageError, match="Expected to write"):
        fetch(host, target)


def test_only_https_and_this_machine_are_safe() -> None:
    assert is_safe("https://downloads.psl.noaa.gov/air.nc")
    assert is_safe("http://127.0.0.1:80/air.nc")
    assert is_safe("http://localhost/air.nc")
    for url in (
        "http://downloads.psl.noaa.gov/air.nc",
        "ftp://downloads.psl.noaa.gov/air.nc",
        "https://name:word@downloads.psl.noaa.gov/air.nc",
        "file:///etc/passwd",
    ):
        assert not is_safe(url)


def test_a_page_in_place_of_the_file_is_for_the_check_to_see(host: FileHost, target: Path) -> None:
    def is_data(path: Path) -> None:
        if path.read_bytes().startswith(b"<"):
            raise SourceUnavailableError("a page")

    host.fail(PATH, Page(), Flip(at=3))
    fetch(host, target, check=is_data)
    assert len(target.read_bytes()) == len(CONTENT)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        *[("7", 7.0), (" 7 ", 7.0), ("-5", 0.0), ("²", 0.0), ("soon", 0.0), ("", 0.0), (None, 0.0)],
        ("Thu, 01 Jan 1970 00:00:00 GMT", 0.0),
    ],
)
def test_the_pause_asked_for_is_read_from_a_number_or_a_date(
    value: str | None, seconds: float
) -> None:
    assert retry_after_s(value) == seconds


@pytest.mark.parametrize("zone", ["GMT", "-0000", "+0000"])
def test_a_date_without_a_zone_is_utc_wherever_this_machine_is(
    zone: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    moment = dt.datetime.now(dt.UTC) + dt.timedelta(hours=1)
    with monkeypatch.context() as elsewhere:
        elsewhere.setenv("TZ", "Asia/Tokyo")
        time.tzset()
        asked_s = retry_after_s(f"{moment:%a, %d %b %Y %H:%M:%S} {zone}")
    time.tzset()
    assert 3000 < asked_s <= 3600
