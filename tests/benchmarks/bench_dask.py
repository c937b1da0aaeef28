"""Regridding of an ingest on local threads and on a Dask cluster of two processes, MiB/s.

A year of hourly fields of 77 x 125 cells (``--days`` for less), a month a call as an ingest does.
"blocks" is what an ingest calls; "dask array" the same by ``map_blocks`` on an array that is held
here. Run: ``python -m tests.benchmarks.bench_dask``.
"""

import argparse
import time
from collections.abc import Callable
from contextlib import ExitStack

import dask.array as da
import numpy as np
from distributed import LocalCluster

from lsntp.config import DaskConfig
from lsntp.dask_cluster import compute_blocks, on_cluster
from lsntp.grid import Fields, regular_grid
from lsntp.regrid import ConservativeWeights, conservative_weights

MONTH, DAY = 720, 24
SOURCE = regular_grid(north=59.0, south=40.0, west=-10.0, east=21.0, spacing=0.25)
TARGET = regular_grid(north=58.0, south=41.0, west=-9.0, east=20.0, spacing=0.5)


def by_blocks(weights: ConservativeWeights, fields: Fields) -> Fields:
    blocks = {f"day {first}": fields[first : first + DAY] for first in range(0, len(fields), DAY)}
    return np.concatenate(list(compute_blocks(weights.apply, blocks).values()))


def by_dask_array(weights: ConservativeWeights, fields: Fields) -> Fields:
    lazy = da.from_array(fields, chunks=(DAY, -1, -1))
    chunks = (lazy.chunks[0], *TARGET.shape)
    meta = np.empty((0, 0, 0), np.float32)
    moved: Fields = da.map_blocks(weights.apply, lazy, chunks=chunks, meta=meta).compute()
    return moved


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--days", type=int, default=365)
    days = parser.parse_args().days
    weights = conservative_weights(SOURCE, TARGET)
    month = np.random.default_rng(0).normal(280, 5, (MONTH, *SOURCE.shape)).astype(np.float32)
    calls = max(1, days // 30)
    size = calls * month.nbytes / 2**20
    print(f"{calls} months of {SOURCE.shape} -> {TARGET.shape}, {size:.0f} MiB")
    ways: dict[str, Callable[[ConservativeWeights, Fields], Fields]] = {
        "blocks": by_blocks,
        "dask array": by_dask_array,
    }
    for place in ("threads", "two processes"):
        with ExitStack() as stack:
            address = "local"
            if place != "threads":
                cluster = LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0")
                address = stack.enter_context(cluster).scheduler_address
            stack.enter_context(on_cluster(DaskConfig(cluster=address)))
            for name, way in ways.items():
                way(weights, month[: 2 * DAY])  # what is made once is made before
                begun = time.perf_counter()
                for _ in range(calls):
                    way(weights, month)
                print(f"{place:14} {name:11} {size / (time.perf_counter() - begun):8.0f} MiB/s")


if __name__ == "__main__":
    main()
