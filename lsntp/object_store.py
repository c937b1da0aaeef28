"""Objects of S3 buckets: read, listed, and put under a condition, each by one request.

Endpoint, region and credentials come from the usual variables (``AWS_ENDPOINT_URL``,
``AWS_REGION``, ``AWS_ACCESS_KEY_ID`` ...) or whatever else botocore knows. Those, though, are also
the variables of a public bucket that is a source: ``LSNTP_S3_ENDPOINT_URL`` and
``LSNTP_S3_PROFILE`` are for the archives alone.

Nothing is cached, listings least of all: a process that runs for weeks sees what others write.
Failures that pass are tried again here and nowhere else; a refusal never is.
"""

import asyncio
import base64
import hashlib
import os
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from functools import lru_cache
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final, TypeVar

from tenacity import (
    AsyncRetrying,
    retry_if_exception_type,
    stop_after_delay,
    wait_random_exponential,
)

from lsntp.errors import CredentialsError, StorageError, StorageUnavailableError

if TYPE_CHECKING:
    import s3fs

RETRY_S: float = 30.0
"""How long a request that fails for a while is repeated."""
LONGEST_PAUSE_S: Final = 5.0
FIRST_PAUSE_S: Final = 0.1
TIMEOUT_S: Final = 60.0
"""Longest silence of the server."""
CONNECT_TIMEOUT_S: Final = 10.0
CONNECTIONS: Final = 32

ABSENT: Final = ""
"""In place of an ETag: there is no such object."""

_REFUSED: Final = (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN)
_BAD_KEY: Final = ("ExpiredToken", "InvalidToken", "TokenRefreshRequired", "AuthorizationHeader")
_PASSING: Final = (
    *(HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.CONFLICT, HTTPStatus.TOO_MANY_REQUESTS),
)
_VARIABLES: Final = ("AWS_", "LSNTP_S3_", "NO_PROXY", "HTTP_PROXY", "HTTPS_PROXY", "HOME")

Result = TypeVar("Result")


class ChangedError(Exception):
    """The object is not, or no longer, the one that the request is about."""


@dataclass(frozen=True)
class Stored:
    """One version of an object.

    Attributes:
        content: all its bytes, or those asked for.
        etag: the server's name of the version, without quotes: Ceph wants none back.
        age_s: since it was put, by the clock of the server, to the second; None if it does not
            tell the time.
    """

    content: bytes
    etag: str
    age_s: float | None


def run(work: Coroutine[Any, Any, Result]) -> Result:
    """What a request of this module gives, waited for by a thread that has no event loop."""
    return asyncio.run_coroutine_threadsafe(work, _files().loop).result()


async def awaited(work: Coroutine[Any, Any, Result]) -> Result:
    """What a request of this module gives, awaited in another event loop than the client's."""
    return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, _files().loop))


async def read(bucket: str, key: str, span: str | None = None) -> Stored:
    """An object, or some of its bytes.

    Args:
        bucket: its bucket.
        key: its key.
        span: as in the Range header, such as ``bytes=0-99``.

    Raises:
        FileNotFoundError: if there is none.
        CredentialsError: if the storage refuses these credentials.
        StorageUnavailableError: if it cannot be reached.
        StorageError: if it answers with what waiting does not change.
    """
    options = {} if span is None else {"Range": span}

    async def ask() -> Stored:
        response = await _call("get_object", "read", bucket, key, **options)
        async with response["Body"] as body:
            try:
                content = await body.read()
            except Exception as error:  # of aiohttp: the line broke
                raise _failure(error, "read", bucket, key) from error
        return Stored(content, _etag(response), _age_s(response))

    return await _tried(ask)


async def head(bucket: str, key: str) -> str:
    """The ETag of an object; :data:`ABSENT` if there is none. Raises as :func:`read`."""

    async def ask() -> str:
        try:
            return _etag(await _call("head_object", "read", bucket, key))
        except FileNotFoundError:
            return ABSENT

    return await _tried(ask)


async def put(bucket: str, key: str, content: bytes, *, instead_of: str | None) -> str:
    """Put an object in the place of one version of it; returns the new ETag.

    Where an answer got lost, the object is there already when the request is repeated: that
    counts as put.

    Args:
        bucket: its bucket.
        key: its key.
        content: all of it; the server checks its MD5.
        instead_of: the ETag of the version that it replaces, or :data:`ABSENT`; None for
            whatever is there.

    Raises:
        ChangedError: if another version is there.
        CredentialsError: if the storage refuses these credentials.
        StorageUnavailableError: if it cannot be reached.
        StorageError: if it answers with what waiting does not change.
    """
    digest = base64.b64encode(hashlib.md5(content, usedforsecurity=False).digest()).decode()
    condition = {}
    if instead_of is not None:
        condition = {"IfNoneMatch": "*"} if instead_of == ABSENT else {"IfMatch": instead_of}

    async def ask() -> str:
        body = {"Body": content, "ContentMD5": digest}
        return _etag(await _call("put_object", "write", bucket, key, **body, **condition))

    try:
        return await _tried(ask)
    except ChangedError:
        try:
            found = await read(bucket, key)
        except FileNotFoundError:
            found = None
        if found is None or found.content != content:
            raise
        return found.etag


async def names(bucket: str, prefix: str, *, depth_one: bool = False) -> AsyncIterator[str]:
    """The keys that begin with ``prefix``, in order, page by page.

    Args:
        bucket: the bucket.
        prefix: of the keys.
        depth_one: end at the next slash: what lies deeper is one name, which ends with it.

    Raises:
        CredentialsError: if the storage refuses these credentials.
        StorageUnavailableError: if it cannot be reached.
        StorageError: if it answers with what waiting does not change.
    """
    options: dict[str, Any] = {"Delimiter": "/"} if depth_one else {}
    while True:
        page = await _page(bucket, prefix, options)
        found = [one["Key"] for one in page.get("Contents", ())]
        found += [one["Prefix"] for one in page.get("CommonPrefixes", ())]
        for name in sorted(found):
            yield name
        if not page.get("IsTruncated"):
            return
        options["ContinuationToken"] = page["NextContinuationToken"]


async def has_any(bucket: str, prefix: str) -> bool:
    """Whether any key begins with ``prefix``. Raises as :func:`names`."""
    return bool((await _page(bucket, prefix, {"MaxKeys": 1})).get("Contents"))


async def _page(bucket: str, prefix: str, options: dict[str, Any]) -> Any:
    async def ask() -> Any:
        return await _call("list_objects_v2", "list", bucket, None, Prefix=prefix, **options)

    return await _tried(ask)


async def _tried(ask: Callable[[], Coroutine[Any, Any, Result]]) -> Result:
    """Ask again while it fails for a while."""
    retrying = AsyncRetrying(
        stop=stop_after_delay(RETRY_S),
        wait=wait_random_exponential(multiplier=FIRST_PAUSE_S, max=LONGEST_PAUSE_S),
        retry=retry_if_exception_type(StorageUnavailableError),
        reraise=True,
    )
    return await retrying(ask)


async def _call(method: str, doing: str, bucket: str, key: str | None, **options: Any) -> Any:
    """One request; its failure as one of our errors, FileNotFoundError or ChangedError."""
    from botocore.exceptions import BotoCoreError, ClientError

    if key is not None:
        options["Key"] = key
    try:
        return await _files()._call_s3(method, Bucket=bucket, **options)
    except (OSError, ClientError, BotoCoreError) as error:
        # What the server says in words is left out: it may repeat what it was sent.
        raise _failure(error, doing, bucket, key or options.get("Prefix", "")) from None


def _failure(error: BaseException, doing: str, bucket: str, key: str) -> Exception:
    """What went wrong with a request, by what the server or the client says in a code."""
    status, code = _answer(error)
    url = f"s3://{bucket}/{key}"
    if code == "NoSuchBucket":
        return StorageError(
            f"Expected a bucket s3://{bucket}, found none; make it, or correct root (LSNTP_ROOT) "
            "and AWS_ENDPOINT_URL."
        )
    if status == HTTPStatus.NOT_FOUND:
        return FileNotFoundError(url)
    if status == HTTPStatus.PRECONDITION_FAILED:
        return ChangedError(url)
    if status in _REFUSED or code.startswith(_BAD_KEY) or _is_about_keys(error):
        return CredentialsError(
            f"Expected to be allowed to {doing} {url}, found {code}; check AWS_ACCESS_KEY_ID, "
            "AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN (or AWS_PROFILE), what the bucket's "
            "policy allows them, AWS_ENDPOINT_URL, and this machine's clock."
        )
    is_passing = status in _PASSING or code in ("SlowDown", "RequestTimeout")
    if status is None or is_passing or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return StorageUnavailableError(
            f"Expected the storage to {doing} {url}, found {code} for {RETRY_S:g} s; look whether "
            "the endpoint (AWS_ENDPOINT_URL) is up, then run the same step again. What was "
            "published before is unchanged."
        )
    return StorageError(
        f"Expected the storage to {doing} {url}, found {code} ({status}); check root (LSNTP_ROOT), "
        "AWS_ENDPOINT_URL and AWS_REGION, then run the same step again."
    )


def _answer(error: BaseException) -> tuple[int | None, str]:
    """HTTP status (None where no answer came) and code of a failure; s3fs wraps botocore's."""
    link: BaseException | None = error
    while link is not None:
        response = getattr(link, "response", None)
        if isinstance(response, dict):
            status = response.get("ResponseMetadata", {}).get("HTTPStatusCode")
            return status, str(response.get("Error", {}).get("Code", status))
        link = link.__cause__
    return None, type(error.__cause__ or error).__name__


def _is_about_keys(error: BaseException) -> bool:
    from botocore import exceptions as botocore

    kinds = (
        botocore.CredentialRetrievalError,
        botocore.NoCredentialsError,
        botocore.PartialCredentialsError,
        botocore.ProfileNotFound,
        botocore.UnauthorizedSSOTokenError,
        botocore.TokenRetrievalError,
    )
    return isinstance(error, kinds) or isinstance(error.__cause__, kinds)


def _etag(response: dict[str, Any]) -> str:
    return str(response["ETag"]).strip('"')


def _age_s(response: dict[str, Any]) -> float | None:
    headers = response["ResponseMetadata"]["HTTPHeaders"]
    try:
        now = parsedate_to_datetime(headers["date"])
        return float((now - response["LastModified"]).total_seconds())
    except (KeyError, TypeError, ValueError):
        return None


def _files() -> "s3fs.S3FileSystem":
    """The client of this process for the present variables."""
    chosen = {name: value for name, value in os.environ.items() if name.startswith(_VARIABLES)}
    return _client(os.getpid(), frozenset(chosen.items()))


@lru_cache(maxsize=4)
def _client(_process: int, _variables: frozenset[tuple[str, str]]) -> "s3fs.S3FileSystem":
    import s3fs  # half a second, and only remote archives need it

    files = s3fs.S3FileSystem(
        endpoint_url=os.environ.get("LSNTP_S3_ENDPOINT_URL"),
        profile=os.environ.get("LSNTP_S3_PROFILE"),
        config_kwargs={
            "connect_timeout": CONNECT_TIMEOUT_S,
            "read_timeout": TIMEOUT_S,
            "max_pool_connections": CONNECTIONS,
            "retries": {"total_max_attempts": 1},
            # Content-MD5 does the same, and storages of all ages know it.
            "request_checksum_calculation": "when_required",
            "response_checksum_validation": "when_required",
        },
        use_listings_cache=False,
        skip_instance_cache=True,
    )
    files.retries = 1
    return files
