"""Where block-wise Dask work runs: on threads of this process, or on a cluster."""

from collections.abc import Iterator
from contextlib import contextmanager

import dask

from lsntp.config import DaskConfig
from lsntp.errors import ClusterError

CONNECT_TIMEOUT_S = 10.0


@contextmanager
def on_cluster(config: DaskConfig) -> Iterator[None]:
    """Everything that Dask computes inside runs where the configuration says.

    Raises:
        ClusterError: if no Dask scheduler answers at the configured address.
    """
    if config.cluster == "local":
        with dask.config.set(scheduler="threads"):
            yield
        return
    from distributed import Client  # half a second, and only clusters need it

    try:
        client = Client(config.cluster, timeout=CONNECT_TIMEOUT_S)  # type: ignore[no-untyped-call]
    except (OSError, ValueError) as error:
        raise ClusterError(
            f"Expected a Dask scheduler at {config.cluster} (dask.cluster), found none: {error}; "
            "start it, correct the address, or set dask.cluster to local."
        ) from error
    with client, client.as_current(), dask.config.set(scheduler="dask.distributed"):
        yield
