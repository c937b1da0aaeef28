"""One slot per upstream and per archive writer: Prefect's global concurrency limits, by name."""

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import GlobalConcurrencyLimitUpdate
from prefect.concurrency.asyncio import ConcurrencySlotAcquisitionError
from prefect.concurrency.sync import concurrency
from prefect.exceptions import ObjectNotFound
from prefect.settings import PREFECT_API_URL, PREFECT_HOME

from lsntp.config import Domain
from lsntp.errors import ArchiveBusyError, DeploymentError
from tasks.embedded import is_embedded

LEASE_S = 60.0
"""After so long a server takes a slot back from a killed run: the shortest time it knows."""
WAIT_S = 600.0
"""Longer than a slot is anyone's who is dead. One who is alive may hold it longer: a run of ERA5
waits in the store's queue for up to ``source.deadline_minutes``; who asks meanwhile is told that
it is busy, and the next tick does the work."""

TURN_S = 300.0
"""After so long at work a run steps aside: well below :data:`WAIT_S`."""
STEP_ASIDE_S = 40.0
"""Longer than a server lets a waiting run sleep between two looks: 30 s, and 30 % by chance."""
STEP_ASIDE_EMBEDDED_S = 1.0
"""The same without a server: who waits for a locked file looks twenty times a second."""

ARCHIVE_KINDS = ("analysis", "training", "forecasts", "evaluation", "report")

_logger = logging.getLogger(__name__)


def source_slot(domain: Domain) -> str:
    """The global limit of one upstream: shared by all domains that use it."""
    return f"lsntp-source-{domain.source.name}"


def archive_slot(domain: Domain, kind: str) -> str:
    """The global limit of one archive's writer."""
    return f"lsntp-{domain.domain}-{kind}"


def slot_names(domain: Domain) -> list[str]:
    """Every global limit a domain's tasks occupy; each has one slot."""
    return [source_slot(domain), *(archive_slot(domain, kind) for kind in ARCHIVE_KINDS)]


@contextmanager
def slots(*names: str) -> Iterator[None]:
    """Hold one slot of each limit; waits for it up to :data:`WAIT_S`.

    Raises:
        ArchiveBusyError: if another run holds one for longer.
        DeploymentError: if a limit does not exist (not ``strict``, Prefect would not limit at all).
    """
    with ExitStack() as held:
        if is_embedded(PREFECT_API_URL.value()):
            held.enter_context(_sole_holder(names))
        try:
            held.enter_context(
                concurrency(
                    list(names),
                    strict=True,
                    timeout_seconds=WAIT_S,
                    lease_duration=LEASE_S,
                    # A server that forgot the lease ends no work: each archive has its own lock.
                    raise_on_lease_renewal_failure=False,
                )
            )
        except ConcurrencySlotAcquisitionError as error:
            raise DeploymentError(
                f"Expected the Prefect concurrency limits {', '.join(names)} to exist: {error}; "
                "create them with `lsntp deploy DOMAIN`."
            ) from error
        except TimeoutError as error:
            raise ArchiveBusyError(
                f"Expected a free slot of {', '.join(names)}, found them taken for {WAIT_S:g} s; "
                "wait for the other run to end (`prefect flow-run ls --state Running`), or cancel "
                f"it, and run again. The server takes the slot of a dead run back after "
                f"{LEASE_S:g} s."
            ) from error
        yield


def turns(*names: str) -> Callable[[], AbstractContextManager[None]]:
    """What holds the slots for one piece of a long work, so that other runs come in between.

    A slot goes to whoever asks first, and one who takes it again at once is always first; so
    every :data:`TURN_S` a piece begins with a pause in which whoever waits looks again.

    Raises:
        ArchiveBusyError: when a piece begins, if another run holds a slot for too long.
        DeploymentError: when a piece begins, if a limit does not exist.
    """
    since = time.monotonic()

    @contextmanager
    def turn() -> Iterator[None]:
        nonlocal since
        if time.monotonic() - since >= TURN_S:
            is_alone = is_embedded(PREFECT_API_URL.value())
            time.sleep(STEP_ASIDE_EMBEDDED_S if is_alone else STEP_ASIDE_S)
            since = time.monotonic()
        with slots(*names):
            yield

    return turn


@contextmanager
def _sole_holder(names: tuple[str, ...]) -> Iterator[None]:
    """Take back the slots of killed runs, for an embedded server, which never does so itself.

    A locked file for each name says who is alive: the system releases it when a process dies.
    """
    folder = Path(PREFECT_HOME.value()) / "slots"
    folder.mkdir(parents=True, exist_ok=True)
    with ExitStack() as held:
        for name in sorted(names):
            held.enter_context(_locked(folder / f"{name}.lock"))
        with get_client(sync_client=True) as client:
            for name in names:
                with suppress(ObjectNotFound):
                    _free(client, name)
        yield


def _free(client: SyncPrefectClient, name: str) -> None:
    if client.read_global_concurrency_limit_by_name(name).active_slots:
        nobody = GlobalConcurrencyLimitUpdate(active_slots=0)
        client.update_global_concurrency_limit(name, nobody)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    lock = FileLock(path)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        _logger.warning("waiting for another run that holds %s", path.stem)
        try:
            lock.acquire(timeout=WAIT_S)
        except Timeout as error:
            raise ArchiveBusyError(
                f"Expected a free slot of {path.stem}, found another run at work for "
                f"{WAIT_S:g} s; wait for it to end, or stop it, and run again."
            ) from error
    try:
        yield
    finally:
        lock.release()
