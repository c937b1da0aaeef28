"""One file over HTTPS: resumed where it was cut, checked before it counts, replaced in one step.

A download is written to ``<name>.part`` with a note of its origin and version beside it. The
next attempt, in this run or after a kill, goes on from its end only if the server says that the
version is still the same. The target is replaced by a rename, after its length and its content
were checked.
"""

import contextlib
import datetime as dt
import ipaddress
import logging
import os
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, astuple, dataclass
from email.utils import parsedate_to_datetime
from pathlib import Path

import httpx
from filelock import FileLock, Timeout
from tenacity import RetryCallState, Retrying, retry_if_exception_type, stop_after_attempt
from tenacity.wait import wait_exponential, wait_random

import lsntp
from lsntp.errors import LsntpError, SourceDataError, SourceUnavailableError, StorageError
from lsntp.sources.notes import NOTE_SUFFIX, Version, read_note, version_in, write_note

PART_SUFFIX = ".part"
MAX_REDIRECTS = 5

_ABSENT = (404, 410)
_CONTENT_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+)")
_HEADERS = {"User-Agent": f"lsntp/{lsntp.__version__}", "Accept-Encoding": "identity"}


# The client logs every address whole, and one may carry a signature.
logging.getLogger("httpx").setLevel(logging.WARNING)


class AbsentError(SourceDataError):
    """The server is well and says that it does not have the file."""


class _TryAgainError(Exception):
    """An attempt failed in a way that the next one may not.

    Attributes:
        retry_after_s: the pause the server asks for.
    """

    def __init__(self, found: str, retry_after_s: float = 0.0) -> None:
        super().__init__(found)
        self.retry_after_s = retry_after_s


@dataclass(frozen=True)
class Limits:
    """Where a download gives up.

    Attributes:
        retries: attempts after the first.
        pause_s: longest pause between two attempts; a longer Retry-After ends the download.
        stall_s: longest silence of the server.
        deadline_s: of all attempts together, wall clock.
        max_bytes: a longer file is refused.
    """

    retries: int = 4
    pause_s: float = 30.0
    stall_s: float = 60.0
    deadline_s: float = 3600.0
    max_bytes: int = 2**31


def download(
    url: str,
    target: Path,
    *,
    hosts: frozenset[str],
    limits: Limits,
    check: Callable[[Path], None],
    held: Version | None = None,
) -> Version | None:
    """Bring ``target`` up to date with ``url``.

    Args:
        url: https, or http on this machine.
        target: where the file goes; its folder exists.
        hosts: the names of hosts that may serve it, also by a redirect.
        limits: where to give up.
        check: looks at what was received before it counts; refuses it with
            :class:`SourceUnavailableError` if another attempt may bring it whole, else with
            :class:`SourceDataError`.
        held: the version that ``target`` is, if it should not be fetched again.

    Returns:
        The version that ``target`` is now; None if it is ``held`` still.

    Raises:
        AbsentError: if the server does not have the file.
        SourceUnavailableError: if it cannot be had now; what was received is kept for the next
            run.
        SourceDataError: if ``check`` refuses it, or the server answers what no retry can cure.
        StorageError: if it cannot be written.
    """
    transfer = _Transfer(url, target, hosts, limits, check, held)
    retrying = Retrying(
        stop=stop_after_attempt(limits.retries + 1),
        retry=retry_if_exception_type(_TryAgainError),
        wait=transfer.pause_s,
        reraise=True,
    )
    try:
        with FileLock(f"{transfer.part}.lock", timeout=0), _client(limits) as client:
            return retrying(transfer.attempt, client)
    except Timeout as error:
        if not os.access(target.parent, os.W_OK):  # which a lock file cannot tell apart
            raise StorageError(
                f"Expected to write in {target.parent}, found no permission; correct it, then run "
                "again."
            ) from error
        raise SourceUnavailableError(
            f"Expected to be the only one to fetch {target.name}, found another run at it; wait "
            "for it to end, then run again."
        ) from error
    except _TryAgainError as error:
        raise SourceUnavailableError(
            f"Expected to fetch {transfer.shown}, found {error}; tried as often and as long as "
            "configured. What was received is kept; run again later."
        ) from error
    except OSError as error:
        if isinstance(error, SourceUnavailableError | StorageError):
            raise
        raise StorageError(
            f"Expected to write {target}, found {error.strerror or error}; free space or correct "
            "the permissions, then run again."
        ) from error


def host_of(url: str) -> str:
    """``host:port`` as written, which is what redirects are compared with."""
    return httpx.URL(url).netloc.decode("ascii")


def retry_after_s(value: str | None) -> float:
    """Seconds from a number or an HTTP date; 0 where the header is absent or is neither."""
    if value is None:
        return 0.0
    if value.strip().isdecimal():
        return float(value)
    try:
        moment = parsedate_to_datetime(value)
    except (TypeError, ValueError):
        return 0.0
    if moment.tzinfo is None:  # a date with -0000, which is UTC, too
        moment = moment.replace(tzinfo=dt.UTC)
    return max(0.0, (moment - dt.datetime.now(dt.UTC)).total_seconds())


def is_safe(url: str) -> bool:
    """Whether it is https, or http to this machine, and carries no credentials."""
    parsed = httpx.URL(url)
    if parsed.userinfo or not parsed.host:
        return False
    return parsed.scheme == "https" or (parsed.scheme == "http" and _is_loopback(parsed.host))


class _Transfer:
    """One file on its way; see :func:`download` for the arguments."""

    def __init__(
        self,
        url: str,
        target: Path,
        hosts: frozenset[str],
        limits: Limits,
        check: Callable[[Path], None],
        held: Version | None,
    ) -> None:
        self.url = url
        self.shown = url.partition("?")[0]  # what follows may be a signature
        self.target = target
        self.part = target.with_name(target.name + PART_SUFFIX)
        self.note = self.part.with_name(self.part.name + NOTE_SUFFIX)
        self._hosts = hosts
        self._limits = limits
        self._check = check
        self._held = held
        self._deadline = time.monotonic() + limits.deadline_s
        growing = wait_exponential(multiplier=min(1.0, limits.pause_s), max=limits.pause_s)
        self._backoff = growing + wait_random(0.0, 0.1 * limits.pause_s)

    def pause_s(self, state: RetryCallState) -> float:
        """The pause before the next attempt: what the server asks for, or a growing one.

        Raises:
            _TryAgainError: if that is longer than allowed, or would end past the deadline.
        """
        failure = state.outcome.exception() if state.outcome else None
        asked_s = failure.retry_after_s if isinstance(failure, _TryAgainError) else 0.0
        pause_s = max(asked_s, self._backoff(state))
        if asked_s > self._limits.pause_s or time.monotonic() + pause_s > self._deadline:
            raise _TryAgainError(f"{failure}, to be tried again after {pause_s:.0f} s") from failure
        return pause_s

    def attempt(self, client: httpx.Client) -> Version | None:
        """Ask once, and see it through to the rename."""
        start, earlier = self._resumable()
        try:
            with self._open(client, start, earlier) as response:
                if response.status_code == httpx.codes.NOT_MODIFIED:
                    if self._held is None or start:
                        raise _TryAgainError("HTTP 304, which nothing in the request asks for")
                    return None
                is_whole = response.status_code == httpx.codes.REQUESTED_RANGE_NOT_SATISFIABLE
                version = earlier if is_whole else self._receive(response, start, earlier)
        except httpx.TransportError as error:
            raise _TryAgainError(f"{type(error).__name__} ({error})") from error
        self._accept()
        return version

    def _resumable(self) -> tuple[int, Version]:
        """How many bytes of which version a run before this one received."""
        note = read_note(self.note)
        version = version_in(note)
        if note.get("url") != self.url or version.strong is None or not self.part.exists():
            return 0, Version()
        return self.part.stat().st_size, version

    def _request_headers(self, start: int, earlier: Version) -> dict[str, str]:
        if start and earlier.strong:
            return {"Range": f"bytes={start}-", "If-Range": earlier.strong}
        if self._held is None:
            return {}
        if self._held.etag is not None:
            return {"If-None-Match": self._held.etag}
        since = self._held.last_modified
        return {"If-Modified-Since": since} if since is not None else {}

    @contextlib.contextmanager
    def _open(self, client: httpx.Client, start: int, earlier: Version) -> Iterator[httpx.Response]:
        """The answer that carries the file, behind any redirects."""
        headers = self._request_headers(start, earlier)
        request = client.build_request("GET", self.url, headers=headers)
        for _ in range(MAX_REDIRECTS + 1):
            response = client.send(request, stream=True)
            with contextlib.closing(response):
                if response.next_request is None:
                    self._refuse_status(response, start)
                    yield response
                    return
                request = response.next_request
                self._refuse_elsewhere(request.url)
        raise SourceDataError(
            f"Expected {self.shown} to lead to a file, found more than {MAX_REDIRECTS} redirects; "
            "correct source.hosts."
        )

    def _refuse_elsewhere(self, url: httpx.URL) -> None:
        if not is_safe(str(url)) or url.netloc.decode("ascii") not in self._hosts:
            raise SourceDataError(
                f"Expected {self.shown} to stay on {', '.join(sorted(self._hosts))} over https, "
                f"found a redirect to {url.scheme}://{url.host}; if that is right, add it to "
                "source.hosts."
            )

    def _refuse_status(self, response: httpx.Response, start: int) -> None:
        code = response.status_code
        found = f"HTTP {code} {response.reason_phrase}".strip()
        if code in _ABSENT:
            raise AbsentError(f"Expected a file at {self.shown}, found none ({found}).")
        if code == httpx.codes.REQUESTED_RANGE_NOT_SATISFIABLE:
            if response.headers.get("Content-Range") == f"bytes */{start}":
                return  # whole already: a run ended before it was put in place
            self._drop()
            raise _TryAgainError(found)
        if code in (408, 425, 429) or code >= httpx.codes.INTERNAL_SERVER_ERROR:
            raise _TryAgainError(found, retry_after_s(response.headers.get("Retry-After")))
        if code not in (httpx.codes.OK, httpx.codes.PARTIAL_CONTENT, httpx.codes.NOT_MODIFIED):
            raise SourceDataError(
                f"Expected {self.shown} to answer with a file, found {found}; look at the address "
                "in a browser and correct source.hosts."
            )

    def _receive(self, response: httpx.Response, start: int, earlier: Version) -> Version:
        """Write the body behind what is there, or from the start; compare the lengths."""
        version = Version(response.headers.get("ETag"), response.headers.get("Last-Modified"))
        total = _number(response.headers.get("Content-Length"))
        if response.status_code == httpx.codes.PARTIAL_CONTENT:
            total = self._resumed_total(response, start, earlier, version)
        else:
            start = 0
        if "Content-Encoding" in response.headers or (total or 0) > self._limits.max_bytes:
            self._drop()
            encoding = response.headers.get("Content-Encoding", "none")
            raise SourceDataError(
                f"Expected at most {self._limits.max_bytes} bytes without content encoding from "
                f"{self.shown}, found {total} bytes, encoding {encoding}; correct source.hosts."
            )
        if not start:
            self._drop()
            write_note(self.note, {"url": self.url, **asdict(version)})
        received = self._write(response, start)
        if total is not None and received != total:
            if received > total:
                self._drop()
            raise _TryAgainError(f"{received} bytes where {total} were promised")
        return version

    def _resumed_total(
        self, response: httpx.Response, start: int, earlier: Version, version: Version
    ) -> int:
        """The length of the whole file, if the server goes on where we asked it to."""
        span = _CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", ""))
        named = zip(astuple(version), astuple(earlier), strict=True)
        is_other = any(found and asked and found != asked for found, asked in named)
        if span is None or int(span[1]) != start or is_other:
            self._drop()
            raise _TryAgainError("another part of the file than was asked for")
        return int(span[3])

    def _write(self, response: httpx.Response, start: int) -> int:
        """Append the body to the part; returns the length it has then."""
        received = start
        with self.part.open("ab" if start else "wb") as file:
            for block in response.iter_raw():
                received += len(block)
                if received > self._limits.max_bytes:
                    self._drop()
                    raise SourceDataError(
                        f"Expected at most {self._limits.max_bytes} bytes from {self.shown}, found "
                        "more; correct source.hosts."
                    )
                file.write(block)
                file.flush()  # what a kill leaves is what was received
                if time.monotonic() > self._deadline:
                    raise _TryAgainError(
                        f"{received} bytes after {self._limits.deadline_s:g} s, which is all the "
                        "time there is"
                    )
            os.fsync(file.fileno())
        return received

    def _accept(self) -> None:
        """Check the whole file and put it in place; one that is refused is not resumed."""
        try:
            self._check(self.part)
        except LsntpError as error:
            self._drop()
            if isinstance(error, SourceUnavailableError):
                raise _TryAgainError(str(error)) from error
            raise
        self.part.replace(self.target)
        self.note.unlink(missing_ok=True)

    def _drop(self) -> None:
        self.part.unlink(missing_ok=True)
        self.note.unlink(missing_ok=True)


def _client(limits: Limits) -> httpx.Client:
    return httpx.Client(headers=_HEADERS, timeout=limits.stall_s, follow_redirects=False)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _number(text: str | None) -> int | None:
    return int(text) if text is not None and text.isdigit() else None
