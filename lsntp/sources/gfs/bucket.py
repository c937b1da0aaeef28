"""An S3 bucket that is only read: pinned to one version of an object, bounded in its retries."""

import logging
import os
from collections.abc import Callable
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
from tenacity import Retrying, retry_if_exception, stop_after_attempt, wait_random_exponential

from lsntp.errors import CredentialsError, SourceDataError, SourceUnavailableError
from lsntp.secrets import shown
from lsntp.sources.gfs.index import ByteRange

_log = logging.getLogger(__name__)

CREDENTIAL_VARIABLES = ("AWS_ACCESS_KEY_ID", "AWS_PROFILE")
"""Any of these makes the requests signed; without them they are anonymous."""
LONGEST_PAUSE_S = 60.0

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
    """

    def __init__(
        self, name: str, *, connections: int, retries: int, pause_s: float, timeout_s: float
    ) -> None:
        self.name = name
        self._connections = connections
        self._timeout_s = timeout_s
        self._is_there = False
        self._retrying = Retrying(
            stop=stop_after_attempt(1 + retries),
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
        """All of a small object; None if there is none."""
        try:
            return self._tried(key, lambda: self._body(self._call("get_object", key)))
        except FileNotFoundError:
            return None

    def read_range(self, key: str, head: ObjectHead, wanted: ByteRange) -> bytes:
        """Some bytes of the version ``head`` of an object.

        Raises:
            ObjectReplacedError: if the object has another version by now, or is gone.
            RangeRefusedError: if it has no such bytes.
        """

        def ask() -> bytes:
            content = self._body(self._get_version(key, head, wanted))
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
            OSError: if the file cannot be written.
        """

        def ask() -> None:
            done = target.stat().st_size if target.exists() else 0
            if done == head.size:
                return
            response = self._get_version(key, head, ByteRange(done, head.size))
            with target.open("ab") as file:
                while piece := self._body(response, _PIECE_BYTES):
                    file.write(piece)
            if (found := target.stat().st_size) != head.size:
                raise SourceUnavailableError(
                    f"Expected {head.size} bytes of {self.where(key)}, found {found}; the "
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
            return self._tried(key, lambda: self._call("head_object", key))
        except FileNotFoundError:
            self._require_bucket()
            return None

    def _require_bucket(self) -> None:
        """Refuse to take a bucket that is not there for one in which everything is missing."""
        if self._is_there:
            return
        try:
            self._tried("", lambda: self._files.call_s3("head_bucket", Bucket=self.name))
        except FileNotFoundError as error:
            raise SourceDataError(
                f"Expected a bucket s3://{self.name}, found none; check source.bucket and "
                "AWS_ENDPOINT_URL."
            ) from error
        except PermissionError:
            _log.debug("s3://%s does not tell whether it is there", self.name)
        self._is_there = True

    def _get_version(self, key: str, head: ObjectHead, wanted: ByteRange) -> Any:
        span = f"bytes={wanted.start}-{wanted.stop - 1}"
        try:
            response = self._call("get_object", key, Range=span, IfMatch=head.etag)
        except FileNotFoundError as error:
            raise ObjectReplacedError(
                f"Expected {self.where(key)} to stay, found it gone; try again later."
            ) from error
        if response["ETag"] != head.etag:  # a server that does not know If-Match
            response["Body"].close()
            raise self._replaced(key)
        return response

    def _call(self, method: str, key: str, **options: str) -> Any:
        """One request; its failure as one of our errors, FileNotFoundError or a range's."""
        try:
            return self._files.call_s3(method, Bucket=self.name, Key=key, **options)
        except (OSError, ClientError, BotoCoreError) as error:
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

    def _body(self, response: Any, size: int | None = None) -> bytes:
        """The next ``size`` bytes of an answer, or all that is left of it."""
        body = response["Body"]
        arguments = () if size is None else (size,)
        try:
            content = sync(self._files.loop, body.read, *arguments)
        except Exception as error:  # whatever the transport calls a line that broke
            body.close()
            raise SourceUnavailableError(
                f"Expected all of an object in s3://{self.name}, found the transfer cut short "
                f"({_reason(error)}); try again later."
            ) from error
        if not content or size is None:
            body.close()
        return bytes(content)

    def _replaced(self, key: str) -> ObjectReplacedError:
        return ObjectReplacedError(
            f"Expected {self.where(key)} to stay as it was, found it replaced; try again later."
        )

    def _unavailable(self, key: str, why: str) -> SourceUnavailableError:
        return SourceUnavailableError(
            f"Expected {self.where(key)} within reach, found {why}; try again later, and check "
            "the network and AWS_ENDPOINT_URL if it stays so."
        )

    def _tried(self, key: str, ask: Callable[[], Result]) -> Result:
        def note(state: Any) -> None:
            error = state.outcome.exception()
            _log.info("attempt %d at %s: %s", state.attempt_number, self.where(key), error)

        return self._retrying.copy(before_sleep=note)(ask)


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
