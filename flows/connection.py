"""The Prefect server: reached once, or the one line that says why not."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http import HTTPStatus
from typing import Any, TypeVar

import httpx
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.settings import PREFECT_API_URL, PREFECT_HOME

import tasks.embedded
from flows import embedded
from flows.runtime import require_room
from lsntp.errors import CredentialsError, DeploymentError
from lsntp.secrets import shown

REFUSALS = (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN)

_Thing = TypeVar("_Thing")


def is_embedded() -> bool:
    """Whether no server is chosen, so that this process starts, or has, one of its own."""
    return tasks.embedded.is_embedded(PREFECT_API_URL.value())


def address() -> str:
    """Where the server is, without what a URL may hold of secrets."""
    return "the embedded address" if is_embedded() else shown(PREFECT_API_URL.value())


@contextmanager
def connected() -> Iterator[SyncPrefectClient]:
    """A client whose server answers and lets us in; asks once, a refusal is never tried again.

    Raises:
        CredentialsError: if the server refuses the key it is given, or wants one.
        DeploymentError: if no server answers, or it refuses what is asked of it.
        StorageError: if an embedded server's database cannot be written.
    """
    try:
        embedded.wait_until_it_answers()
        with get_client(sync_client=True) as client:
            client.api_version()
            yield client
    except httpx.HTTPStatusError as error:
        code = error.response.status_code
        if code in REFUSALS:
            raise refusal(code) from None  # the request holds the key
        raise DeploymentError(
            f"Expected the Prefect server at {address()} to take {error.request.method} "
            f"{error.request.url.path}, found an answer {code}: "
            f"{shown(error.response.text)[:300]}; see its log."
        ) from error
    except (httpx.HTTPError, RuntimeError) as error:
        if is_embedded():
            require_room(PREFECT_HOME.value())
        raise DeploymentError(
            f"Expected a Prefect server at {address()}, found none that answers "
            f"({shown(str(error)) or type(error).__name__}); start it or correct PREFECT_API_URL."
        ) from error


def every(read: Callable[..., list[_Thing]], **filters: Any) -> Iterator[_Thing]:
    """All that a method of a client reads, page after page of the length the server chooses.

    Args:
        read: such as ``client.read_deployments``.
        filters: its arguments, without limit, offset and order.
    """
    offset = 0
    while page := read(**filters, sort="CREATED_DESC", offset=offset):
        yield from page
        offset += len(page)


def refusal(code: int) -> CredentialsError:
    """What a 401 or 403 of the server means."""
    return CredentialsError(
        f"Expected the Prefect server at {address()} to let us in, found an answer {code}; set "
        "PREFECT_API_AUTH_STRING (or PREFECT_API_KEY) to what the server was started with."
    )
