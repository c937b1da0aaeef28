"""What every task shares: retry what waiting can cure, hold one slot per upstream and archive."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State, TaskRun
from prefect.concurrency.asyncio import ConcurrencySlotAcquisitionError
from prefect.concurrency.sync import concurrency

from lsntp.config import Domain
from lsntp.errors import DeploymentError, LsntpError

RETRY_DELAYS_S = [5.0, 30.0, 120.0]
HOUR_S = 3600.0


def is_curable(_task: object, _run: TaskRun, state: State[Any]) -> bool:
    """Whether waiting can cure what ended a task: only our own transient errors."""
    error = state.result(raise_on_failure=False)
    return isinstance(error, LsntpError) and error.is_transient


OPTIONS: dict[str, Any] = {
    "retries": len(RETRY_DELAYS_S),
    "retry_delay_seconds": RETRY_DELAYS_S,
    "retry_condition_fn": is_curable,
    "cache_policy": NO_CACHE,
    "persist_result": False,
}
"""Decorator options of every task. The archives say what is done, so no result is cached."""


def source_slot(domain: Domain) -> str:
    """The global limit of one upstream: shared by all domains that use it."""
    return f"lsntp-source-{domain.source.name}"


def archive_slot(domain: Domain, kind: str) -> str:
    """The global limit of one archive's writer."""
    return f"lsntp-{domain.domain}-{kind}"


ARCHIVE_KINDS = ("analysis", "training", "forecasts", "evaluation", "report")


def slot_names(domain: Domain) -> list[str]:
    """Every global limit a domain's tasks occupy; each has one slot."""
    return [source_slot(domain), *(archive_slot(domain, kind) for kind in ARCHIVE_KINDS)]


@contextmanager
def slots(*names: str) -> Iterator[None]:
    """Hold one slot of each limit.

    Raises:
        DeploymentError: if a limit does not exist (not ``strict``, Prefect would not limit at all).
    """
    try:
        with concurrency(list(names), strict=True):
            yield
    except ConcurrencySlotAcquisitionError as error:
        raise DeploymentError(
            f"Expected the Prefect concurrency limits {', '.join(names)} to exist: {error}; "
            "create them with `lsntp deploy DOMAIN`."
        ) from error
