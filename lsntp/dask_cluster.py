"""Where block-wise Dask work runs: on threads of this process, or on a cluster.

A worker that is lost changes nothing: what it held is computed again from the graph. A block that
cannot be computed anywhere, and a cluster without workers, are errors that name the block.
"""

import logging
import time
import uuid
from collections.abc import Callable, Hashable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import dask
from dask.base import compute
from dask.delayed import delayed

from lsntp.config import DaskConfig
from lsntp.errors import BlockError, ClusterError, LsntpError

if TYPE_CHECKING:
    from distributed import Client, Future

Block = TypeVar("Block")
Result = TypeVar("Result")

CONNECT_TIMEOUT_S = 10.0
WITHOUT_WORKERS_S = 25.0
"""A cluster may be without a single worker for so long, while one is started again."""
LOOK_EVERY_S = 1.0
VERSIONED = ("lsntp", "numpy", "scipy", "xarray", "zarr")
"""Packages of which other versions on the workers could give other bytes."""

_log = logging.getLogger(__name__)


@contextmanager
def on_cluster(config: DaskConfig) -> Iterator[None]:
    """Everything that Dask computes inside runs where the configuration says.

    Raises:
        ClusterError: if no Dask scheduler answers at the configured address, if it has no
            workers, or if it or the last worker is lost.
        BlockError: if a block ends every worker that it is given to.
    """
    if config.cluster == "local":
        with dask.config.set(scheduler="threads"):
            yield
        return
    client = _connected(config.cluster)
    with client, client.as_current(), dask.config.set(scheduler=partial(_compute, client)):
        _warn_of_versions(client)
        yield


def compute_blocks(
    function: Callable[[Block], Result], blocks: Mapping[str, Block]
) -> dict[str, Result]:
    """``function`` of every block, on the active Dask scheduler.

    Args:
        function: module-level or a method of something that can be pickled.
        blocks: by what they are called in an error.

    Raises:
        BlockError: if one cannot be computed; says which.
    """
    try:
        return _together(function, blocks)
    except BlockError as error:
        if len(blocks) == 1 or not _is_of_killed_workers(error):
            raise
    # Blocks that shared a worker with the one that ended it are suspected too: alone, none is.
    results: dict[str, Result] = {}
    for name, block in blocks.items():
        results |= _together(function, {name: block})
    return results


def _together(
    function: Callable[[Block], Result], blocks: Mapping[str, Block]
) -> dict[str, Result]:
    run = uuid.uuid4().hex[:8]  # two runs never share a key, however alike their blocks are
    tasks = [
        delayed(partial(_named, function, name), pure=False)(block, dask_key_name=f"{name} [{run}]")
        for name, block in blocks.items()
    ]
    results = compute(*tasks)
    return dict(zip(blocks, results, strict=True))


def _is_of_killed_workers(error: BlockError) -> bool:
    from distributed import KilledWorker

    return isinstance(error.__cause__, KilledWorker)


def _named(function: Callable[[Block], Result], name: str, block: Block) -> Result:
    try:
        return function(block)
    except LsntpError:
        raise
    except Exception as error:
        raise BlockError(
            f"Expected to compute the block {name}, found {type(error).__name__}: {error}"
        ) from error


def _connected(address: str) -> "Client":
    from distributed import Client  # half a second, and only clusters need it

    try:
        client = Client(address, timeout=CONNECT_TIMEOUT_S)
    except (OSError, ValueError) as error:
        raise ClusterError(
            f"Expected a Dask scheduler at {address} (dask.cluster), found none: {error}; "
            "start it, correct the address, or set dask.cluster to local."
        ) from error
    try:
        client.wait_for_workers(1, timeout=WITHOUT_WORKERS_S)
    except TimeoutError as error:
        client.close()
        raise ClusterError(
            f"Expected workers at the Dask scheduler {address} (dask.cluster), found none within "
            f"{WITHOUT_WORKERS_S:g} s; start some with `dask worker {address}`."
        ) from error
    return client


def _warn_of_versions(client: "Client") -> None:
    """Name every worker that computes with other packages than this process."""
    versions: Any = client.get_versions(packages=list(VERSIONED))
    here = versions["client"]["packages"]
    for address, worker in versions["workers"].items():
        there = worker["packages"]
        different = [
            f"{name} {there.get(name)} (here {version})"
            for name, version in here.items()
            if there.get(name) != version
        ]
        if different:
            _log.warning(
                "Expected the Dask worker %s to have the versions of this process, found %s; "
                "install the same ones, or results may differ in their last digits.",
                address,
                ", ".join(different),
            )


def _compute(client: "Client", graph: Any, keys: Any, **options: Any) -> Any:
    """What Dask calls to compute a graph: on the cluster, with an eye on its workers."""
    from distributed import KilledWorker, futures_of
    from distributed.client import FutureCancelledError

    packed = client.get(graph, keys, **(options | {"sync": False}))
    futures = futures_of(packed)
    try:
        _wait(client, futures)
        return client.gather(packed)
    except KilledWorker as error:
        client.cancel(futures)  # or the others would go on to end workers
        raise BlockError(
            f"Expected to compute the block {_spoken(error.task)}, found that it ended each of "
            f"the {error.allowed_failures + 1} worker processes it was given to, the last "
            f"at {error.last_worker.address}; the log of that worker says why: too little memory, "
            "or a fault in a library."
        ) from error
    except FutureCancelledError as error:
        raise ClusterError(
            f"Expected the Dask scheduler at {_address(client)} to go on, found that the "
            f"connection was lost: {error} Start it again, then run the same step again; what is "
            "stored is whole."
        ) from error


def _wait(client: "Client", futures: "list[Future[Any]]") -> None:
    """Return when all are computed, or one cannot be.

    Raises:
        ClusterError: if there is no worker left for :data:`WITHOUT_WORKERS_S`.
    """
    from distributed import wait

    seen = time.monotonic()
    while all(future.status != "error" for future in futures):
        pending = [future for future in futures if future.status == "pending"]
        if not pending:
            return
        try:
            wait(pending, timeout=LOOK_EVERY_S, return_when="FIRST_COMPLETED")
        except TimeoutError:
            now = time.monotonic()
            seen = now if _has_workers(client) else seen
            if now - seen > WITHOUT_WORKERS_S:
                waiting = ", ".join(_spoken(future.key) for future in pending[:3])
                raise ClusterError(
                    f"Expected workers at the Dask scheduler {_address(client)}, found that all "
                    f"were lost while these were computed: {waiting}. Start workers, best under a "
                    "nanny (`dask worker`, not --no-nanny); if they are lost again, that is the "
                    "block which ends them. What is stored is whole."
                ) from None


def _has_workers(client: "Client") -> bool:
    try:
        return bool(client.nthreads())
    except OSError:  # no scheduler either
        return False


def _spoken(key: Hashable) -> str:
    """A task's name without what makes it unique."""
    return str(key).partition(" [")[0]


def _address(client: "Client") -> str:
    return str(client.scheduler.address) if client.scheduler else "the configured address"
