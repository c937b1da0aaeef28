"""Regridding: speed beside a memory copy and scipy's interpolator, and memory for two periods.

Run: ``python tests/benchmarks/bench_regrid.py``. Megabytes are those of the input.
"""

import time
import tracemalloc
from collections.abc import Callable

import dask.array as da
import numpy as np
import xarray as xr
from scipy.interpolate import RegularGridInterpolator

from lsntp.grid import Grid, regular_grid
from lsntp.regrid import conservative_weights, regrid

CASES = {
    "regional 0.25 -> 0.5": (
        regular_grid(north=54, south=16, west=73, east=135, spacing=0.25),
        regular_grid(north=54, south=16, west=73, east=135, spacing=0.5),
        480,
    ),
    "global 0.25 -> 0.5": (
        regular_grid(north=90, south=-90, west=-180, east=179.75, spacing=0.25),
        regular_grid(north=90, south=-90, west=-180, east=179.5, spacing=0.5),
        24,
    ),
}


def best_s(work: Callable[[], object]) -> float:
    """CPU seconds, best of three."""
    seconds = []
    for _ in range(3):
        start = time.process_time()
        work()
        seconds.append(time.process_time() - start)
    return min(seconds)


def best_mb_s(work: Callable[[], object], size: int) -> float:
    """Megabytes of input per CPU second, best of three."""
    return size / best_s(work) / 1e6


def speed(source: Grid, target: Grid, count: int) -> None:
    field = np.random.default_rng(0).normal(285, 8, (count, *source.shape)).astype(np.float32)
    weights = conservative_weights(source, target)
    points = np.meshgrid(target.latitude, target.longitude, indexing="ij")

    def peer() -> object:
        axes = (source.latitude[::-1], source.longitude)
        block = np.moveaxis(field[:, ::-1], 0, -1)
        return RegularGridInterpolator(axes, block)(tuple(points))

    rows = {
        "memory copy (the limit)": field.copy,
        "conservative (ours)": lambda: weights.apply(field),
        "scipy RegularGridInterpolator (bilinear)": peer,
    }
    for name, work in rows.items():
        print(f"  {name:42s} {best_mb_s(work, field.nbytes):9.0f} MB/s")
    building_s = best_s(lambda: conservative_weights(source, target))
    print(f"  {'building the weights, once':42s} {building_s * 1e3:9.1f} ms")


def peak_mib(source: Grid, target: Grid, days: int) -> float:
    """Peak Python memory of regridding ``days`` of hourly fields in blocks of a day."""
    shape = (24 * days, *source.shape)
    data = da.random.default_rng(0).normal(285, 8, shape, chunks=(24, -1, -1)).astype(np.float32)
    coords = {
        "time": np.arange(24 * days),
        "latitude": source.latitude,
        "longitude": source.longitude,
    }
    field = xr.DataArray(data, coords, ("time", "latitude", "longitude"))
    regrid(field[:24], target).max().compute(scheduler="synchronous")  # imports, first time
    tracemalloc.start()
    regrid(field, target).max().compute(scheduler="synchronous")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak / 2**20


if __name__ == "__main__":
    for name, (source, target, count) in CASES.items():
        print(f"{name}, {count} frames of {source.shape}")
        speed(source, target, count)
    source, target, _ = CASES["regional 0.25 -> 0.5"]
    for days in (5, 40):
        size = 24 * days * source.latitude.size * source.longitude.size * 4 / 2**20
        print(f"{days} days ({size:.0f} MiB): peak {peak_mib(source, target, days):.0f} MiB")
