"""An S3 bucket that is only read: pinned to one version of an object, bounded in its retries."""

import logging
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from http import HTTPStatus
from pathlib import Path
from typing import Any, TypeVar

import s3fs
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    CredentialRetrievalError,
    NoCredentialsError,
    PartialCredentialsError,
    ProfileNotFound,
)
from fsspec.asyn import sync
from tenacity import (
    Retrying,
    retry_if_exception,
    stop_after_attempt,
    stop_after_delay,
    wait_random_exponential,
)

from lsntp.errors import CredentialsError, SourceDataError, SourceUnavailableError
from lsntp.secrets import shown
from lsntp.sources.gfs.index import ByteRange

_log = logging.getLogger(__name__)

CREDENTIAL_VARIABLES = ("AWS_ACCESS_KEY_ID", "AWS_PROFILE")
"""Any of these makes the requests signed; without them they are anonymous."""
LONGEST_PAUSE_S = 60.0
LARGEST_SMALL_BYTES = 4 * 2**20
"""Of an object that is read whole into memory; an inventory of GFS has 0.05 MB."""
LARGEST_BYTES = 2 * 2**30
"""Of an object that is fetched whole; 0.25 degrees take 0.55 GB."""

_PIECE_BYTES = 2**20
_REFUSED = (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN)
_NO_KEY = (
    CredentialRetrievalError,
    NoCredentialsError,
    PartialCredentialsError,
    ProfileNotFound,
)
_PASSING = (HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.CONFLICT, HTTPStatus.TOO_MANY_REQUESTS)

Result = TypeVar("Result")


class ObjectReplacedError(SourceUnavailableError):
    """The object is not the one it was a moment ago; look at it afresh."""


class RangeRefusedError(Exception):
    """The object ends before the range starts."""


@dataclass(frozen=True)
class ObjectHead:
    """One version of an object.

    Attributes:
        etag: the server's name of the version, quotes included.
        size: bytes.
    """

    etag: str
    size: int


class Bucket:
    """Read access to a bucket; endpoint and region come from the usual AWS variables.

    Every method raises SourceUnavailableError once its retries are used up, CredentialsError
    at the first refusal, and SourceDataError for an answer that waiting does not change.

    Args:
        name: of the bucket.
        connections: requests at once.
        retries: of a request that failed for a while.
        pause_s: longest pause before the first retry; twice that before each further one.
        timeout_s: longest silence of the server.
        deadline_s: longest time for one object or a part of it, retries included; however
            steadily the server drips.
    """

    def __init__(
        self,
        name: str,
        *,
        connections: int,
        retries: int,
        pause_s: float,
        timeout_s: float,
        deadline_s: float,
    ) -> None:
        self.name = name
        self._connections = connections
        self._timeout_s = timeout_s
        self._deadline_s = deadline_s
        self._is_there = False
        self._retrying = Retrying(
            stop=stop_after_attempt(1 + retries) | stop_after_delay(deadline_s),
            wait=wait_random_exponential(multiplier=pause_s, max=LONGEST_PAUSE_S),
            retry=retry_if_exception(_is_passing),
            reraise=True,
        )

    def head(self, key: str) -> ObjectHead | None:
        """The object's present version; None if there is none.

        Raises:
            SourceDataError: if there is no such bucket at all.
        """
        found = self._seen(key)
        return found and ObjectHead(found["ETag"], found["ContentLength"])

    def date(self, key: str) -> str | None:
        """When it is, by the server that has an object; None if there is no object.

        Raises:
            SourceDataError: if there is no such bucket at all.
        """
        found = self._seen(key)
        return found and str(found["ResponseMetadata"]["HTTPHeaders"].get("date", ""))

    def read(self, key: str) -> bytes | None:
        """All of a small object; None if there is none.

        Raises:
            SourceDataError: if it is larger than :data:`LARGEST_SMALL_BYTES`.
        """

        def ask(end: float) -> bytes:
            content = self._body(key, self._call("get_object", key, end), end, LARGEST_SMALL_BYTES)
            if len(content) > LARGEST_SMALL_BYTES:
                raise SourceDataError(
                    f"Expected at most {LARGEST_SMALL_BYTES} bytes of {self.where(key)}, found "
                    "more; check source.bucket and AWS_ENDPOINT_URL."
                )
            return content

        try:
            return self._tried(key, ask)
        except FileNotFoundError:
            return None

    def read_range(self, key: str, head: ObjectHead, wanted: ByteRange) -> bytes:
        """Some bytes of the version ``head`` of an object.

        Raises:
            ObjectReplacedError: if the object has another version by now, or is gone.
            RangeRefusedError: if it has no such bytes.
            SourceDataError: if the server sends more than it was asked for.
        """

        def ask(end: float) -> bytes:
            content = self._body(key, self._get_version(key, head, wanted, end), end, wanted.size)
            if len(content) > wanted.size:
                raise self._too_much(key, wanted)
            if len(content) != wanted.size:
                raise SourceUnavailableError(
                    f"Expected {wanted.size} bytes of {self.where(key)} from byte {wanted.start}, "
                    f"found {len(content)}; the transfer was cut short, try again later."
                )
            return content

        return self._tried(key, ask)

    def download(self, key: str, head: ObjectHead, target: Path) -> None:
        """The version ``head`` of an object as a file; a broken transfer goes on where it ended.

        Raises:
            ObjectReplacedError: if the object has another version by now, or is gone.
            SourceDataError: if it is larger than :data:`LARGEST_BYTES`, or than it said.
            OSError: if the file cannot be written.
        """
        if head.size > LARGEST_BYTES:
            raise SourceDataError(
                f"Expected at most {LARGEST_BYTES / 1e9:.1f} GB in {self.where(key)}, found "
                f"{head.size / 1e9:.1f} GB; no product of GFS is that large: check source.bucket "
                "and AWS_ENDPOINT_URL."
            )

        def ask(end: float) -> None:
            done = target.stat().st_size if target.exists() else 0
            if done == head.size:
                return
            wanted = ByteRange(done, head.size)
            response = self._get_version(key, head, wanted, end)
            if "ContentRange" not in response:  # a server that does not know ranges
                done = 0
            with target.open("ab") as file:
                file.truncate(done)
                for piece in self._pieces(key, response, end):
                    done += len(piece)
                    if done > head.size:
                        response["Body"].close()
                        raise self._too_much(key, wanted)
                    file.write(piece)
            if done != head.size:
                raise SourceUnavailableError(
                    f"Expected {head.size} bytes of {self.where(key)}, found {done}; the "
                    "transfer was cut short, try again later."
                )

        self._tried(key, ask)

    def where(self, key: str) -> str:
        """``s3://bucket/key``, for messages."""
        return f"s3://{self.name}/{key}"

    @cached_property
    def _files(self) -> s3fs.S3FileSystem:
        files = s3fs.S3FileSystem(
            anon=not any(os.environ.get(name) for name in CREDENTIAL_VARIABLES),
            config_kwargs={
                "connect_timeout": self._timeout_s,
                "read_timeout": self._timeout_s,
                "max_pool_connections": self._connections,
                "retries": {"total_max_attempts": 1},
            },
            use_listings_cache=False,
            skip_instance_cache=True,
        )
        files.retries = 1  # one place decides on retries: ours
        return files

    def _seen(self, key: str) -> Any:
        """What the server says of an object; None if there is none."""
        try:
            return self._tried(key, lambda end: self._call("head_object", key, end))
        except FileNotFoundError:
            self._require_bucket()
            return None

    def _require_bucket(self) -> None:
        """Refuse to take a bucket that is not there for one in which everything is missing."""
        if self._is_there:
            return
        try:
            self._tried("", self._ask_for_bucket)
        except FileNotFoundError as error:
            raise SourceDataError(
                f"Expected a bucket s3://{self.name}, found none; check source.bucket and "
                "AWS_ENDPOINT_URL."
            ) from error
        except PermissionError:
            _log.debug("s3://%s does not tell whether it is there", self.name)
        self._is_there = True

    def _ask_for_bucket(self, end: float) -> None:
        try:
            self._files.call_s3("head_bucket", Bucket=self.name, timeout=self._left("", end))
        except TimeoutError as error:
            raise self._too_slow("") from error

    def _get_version(self, key: str, head: ObjectHead, wanted: ByteRange, end: float) -> Any:
        span = f"bytes={wanted.start}-{wanted.stop - 1}"
        try:
            response = self._call("get_object", key, end, Range=span, IfMatch=head.etag)
        except FileNotFoundError as error:
            raise ObjectReplacedError(
                f"Expected {self.where(key)} to stay, found it gone; try again later."
            ) from error
        if response["ETag"] != head.etag:  # a server that does not know If-Match
            response["Body"].close()
            raise self._replaced(key)
        return response

    def _call(self, method: str, key: str, end: float, **options: str) -> Any:
        """One request; its failure as one of our errors, FileNotFoundError or a range's."""
        left = self._left(key, end)
        try:
            return self._files.call_s3(method, Bucket=self.name, Key=key, timeout=left, **options)
        except (OSError, ClientError, BotoCoreError) as error:
            if isinstance(error, TimeoutError) and time.monotonic() >= end:
                raise self._too_slow(key) from error
            status, why = _status_of(error), _reason(error)
            if status == HTTPStatus.NOT_FOUND:
                raise FileNotFoundError(self.where(key)) from error
            if status == HTTPStatus.PRECONDITION_FAILED:
                raise self._replaced(key) from error
            if status == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
                raise RangeRefusedError(why) from error
            if status in _REFUSED or isinstance(error, _NO_KEY):
                raise CredentialsError(
                    f"Expected to be allowed to read {self.where(key)}, found {why}; the public "
                    "bucket needs no key: unset AWS_ACCESS_KEY_ID and AWS_PROFILE, or use one "
                    "that may read it, and check the clock and AWS_ENDPOINT_URL."
                ) from error
            if status is None or status in _PASSING or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
                raise self._unavailable(key, why) from error
            raise SourceDataError(
                f"Expected {self.where(key)} to be readable, found {why}; check source.bucket, "
                "AWS_ENDPOINT_URL and AWS_REGION."
            ) from error

    def _body(self, key: str, response: Any, end: float, size: int) -> bytes:
        """An answer of at most ``size`` bytes; of a longer one so many and some more."""
        content = bytearray()
        for piece in self._pieces(key, response, end, size + 1):
            content += piece
            if len(content) > size:
                response["Body"].close()
                break
        return bytes(content)

    def _pieces(
        self, key: str, response: Any, end: float, size: int = _PIECE_BYTES
    ) -> Iterator[bytes]:
        """An answer as it comes, until it ends or the time ``end`` is there."""
        body = response["Body"]
        try:
            while piece := sync(
                self._files.loop,
                body.read,
                min(size, _PIECE_BYTES),
                timeout=self._left(key, end),
            ):
                yield bytes(piece)
        except SourceUnavailableError:
            raise
        except Exception as error:  # whatever the transport calls a line that broke
            if time.monotonic() >= end:
                raise self._too_slow(key) from error
            raise SourceUnavailableError(
                f"Expected all of {self.where(key)}, found the transfer cut short "
                f"({_reason(error)}); try again later."
            ) from error
        finally:
            body.close()

    def _left(self, key: str, end: float) -> float:
        """Seconds until ``end``."""
        left = end - time.monotonic()
        if left <= 0:
            raise self._too_slow(key)
        return left

    def _too_slow(self, key: str) -> SourceUnavailableError:
        return SourceUnavailableError(
            f"Expected {self.where(key)} within {self._deadline_s:g} s, found the transfer too "
            "slow; try again later, or raise source.deadline_minutes."
        )

    def _too_much(self, key: str, wanted: ByteRange) -> SourceDataError:
        return SourceDataError(
            f"Expected {wanted.size} bytes of {self.where(key)} from byte {wanted.start}, found "
            "more: the server does not do as asked; check AWS_ENDPOINT_URL."
        )

    def _replaced(self, key: str) -> ObjectReplacedError:
        return ObjectReplacedError(
            f"Expected {self.where(key)} to stay as it was, found it replaced; try again later."
        )

    def _unavailable(self, key: str, why: str) -> SourceUnavailableError:
        return SourceUnavailableError(
            f"Expected {self.where(key)} within reach, found {why}; try again later, and check "
            "the network and AWS_ENDPOINT_URL if it stays so."
        )

    def _tried(self, key: str, ask: Callable[[float], Result]) -> Result:
        end = time.monotonic() + self._deadline_s

        def note(state: Any) -> None:
            error = state.outcome.exception()
            _log.info("attempt %d at %s: %s", state.attempt_number, self.where(key), error)

        return self._retrying.copy(before_sleep=note)(ask, end)


def _is_passing(error: BaseException) -> bool:
    return isinstance(error, SourceUnavailableError) and not isinstance(error, ObjectReplacedError)


def _status_of(error: BaseException) -> int | None:
    """The HTTP status behind an error; None if there was no answer."""
    answer = error if isinstance(error, ClientError) else error.__cause__
    if not isinstance(answer, ClientError):
        return None
    status: int | None = answer.response.get("ResponseMetadata", {}).get("HTTPStatusCode")
    return status


def _reason(error: BaseException) -> str:
    """One line: the type's name where there are no words."""
    return shown((str(error) or type(error).__name__).splitlines()[0])
