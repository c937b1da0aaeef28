"""Training windows per CPU second: from memory, from a bounded cache, and as peers read them.

Run: OMP_NUM_THREADS=1 python tests/benchmarks/bench_windows.py [--frames 8760] [--folder DIR]

Fields of 77 x 125 float32, by default a year of hourly ones, in the layout of a training archive
(chunks of 24 frames in shards of 720, zstd with bit shuffle, a checksum). A window is 12 frames,
a batch 8 windows. Every row is a process of its own, which warms up, then goes through batches
until it has used ``--seconds`` of CPU; all its threads count. Peak memory is the process's.

- memory: :class:`~lsntp.training_data.windows.Windows` with room for all, after its first epoch;
- encoded: the same with the target as increments, as a fit asks for; the other rows give fields;
- told: encoded, and the forcings that ``plus`` is told of every window, made anew for each batch;
- first epoch: memory from nothing, opening, decoding and the search for NaN included;
- cache: Windows with room for a fifth of the fields, in the order of an epoch that draws from a
  sixth at a time;
- zarr: random windows out of the array, as zarr-python reads them;
- xarray + dask: the same through ``open_zarr(chunks={})`` and ``isel``;
- xbatcher: its generator over the lazy data set, random batches of one window, stacked.

The targets: memory 40 x xbatcher, cache 10 x zarr.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
import zarr
from torch import Tensor
from zarr.codecs import BloscCodec, Crc32cCodec

from lsntp.grid import Grid, regular_grid
from lsntp.times import Period, hours, parse_time
from lsntp.training_data import windows as windows_module
from lsntp.training_data.archive import TrainingArchive
from lsntp.training_data.climatology import Climatology
from lsntp.training_data.forced_windows import ForcedWindows
from lsntp.training_data.forcings import Forcings
from lsntp.training_data.frame_cache import FrameCache
from lsntp.training_data.normalised import SHARD_FRAMES
from lsntp.training_data.statistics import Statistics
from lsntp.training_data.targets import TargetTransform
from lsntp.training_data.windows import Windows

HISTORY = HORIZON = 6
BATCH = 8
CHUNK = 24
ROWS = ("memory", "encoded", "told", "first epoch", "cache", "zarr", "xarray + dask", "xbatcher")
START = parse_time("2021-01-01")


def grid() -> Grid:
    """77 x 125 cells."""
    return regular_grid(north=54, south=16, west=73, east=135, spacing=0.5)


def write(path: Path, frames: int) -> None:
    """Smooth weather with noise in the last digits: compresses about as ERA5 does."""
    height, width = grid().shape
    shape, numbers = (frames, 1, height, width), np.random.default_rng(0)
    x = zarr.create_array(
        path / "x",
        shape=shape,
        chunks=(CHUNK, 1, height, width),
        shards=(SHARD_FRAMES, 1, height, width),
        dtype="float32",
        compressors=(BloscCodec(cname="zstd", clevel=5, shuffle="bitshuffle"), Crc32cCodec()),
        dimension_names=("time", "channel", "latitude", "longitude"),
    )
    calm = np.cumsum(np.cumsum(numbers.normal(0, 0.01, (height, width)), 0), 1)
    for first in range(0, frames, SHARD_FRAMES):
        count = min(SHARD_FRAMES, frames - first)
        wave = np.sin(2 * np.pi * np.arange(first, first + count) / 24)[:, None, None]
        noise = numbers.normal(0, 0.02, (count, height, width))
        x[first : first + count, 0] = np.round((calm + wave + noise) * 2**12) / 2**12
    zarr.open_group(path, mode="a")
    zarr.consolidate_metadata(path)


def archive_at(path: Path, frames: int) -> TrainingArchive:
    """The archive with statistics that scale by one."""
    height, width = grid().shape
    times = START + np.arange(frames) * hours(1)
    statistics = Statistics(
        minimum=270.0,
        maximum=290.0,
        mean=280.0,
        std=5.0,
        increment_std=np.ones(HORIZON),
        anomaly_std=3.0,
        climatology=Climatology(np.zeros((24, 1, height, width), np.float32), np.arange(24.0)),
        period=Period(times[0], times[-1]),
    )
    return TrainingArchive(path, "bench", "standard", statistics, times, grid())


# --- the rows: each gives a function that reads one batch --------------------------------------


class Fields:
    """In the place of a target transform: the fields as they are."""

    needs_climatology = False

    @property
    def scaler(self) -> "Fields":
        """Scales nothing."""
        return self

    def unscale(self, fields: Tensor) -> Tensor:
        """As they are."""
        return fields

    def encode(self, target: Tensor, last: Tensor, climatology: None) -> Tensor:
        """As they are."""
        return target


def ours(path: Path, frames: int, share: float | None, *, encoded: bool = False) -> Windows:
    """Windows over the archive with room for a share of its fields, or for all."""
    archive = archive_at(path, frames)
    size = 4 * grid().shape[0] * grid().shape[1] * frames
    if share is not None:
        windows_module.SHUFFLE_BYTES = int(0.8 * share * size)
    cache = FrameCache(
        archive,
        span=HISTORY + HORIZON,
        max_bytes=2 * size if share is None else int(share * size) + 2**23,
    )
    init_times = archive.times[HISTORY - 1 : -HORIZON]
    increments = TargetTransform("increment", archive.scaler, archive.statistics)
    transform: Any = increments if encoded else Fields()
    return Windows(archive, init_times, transform, history=HISTORY, horizon=HORIZON, cache=cache)


def of_windows(found: Windows) -> Callable[[], int]:
    """The next batch of an endless row of epochs."""

    def batches() -> Iterator[list[int]]:
        for epoch in range(10**9):
            order = found.order(np.random.default_rng(epoch))
            yield from (order[i : i + BATCH] for i in range(0, len(order), BATCH))

    indices = batches()

    def read() -> int:
        history, _ = found.batch(next(indices))
        return len(history)

    return read


def of_told(found: Windows) -> Callable[[], int]:
    """The same with what is known beside the history."""
    archive = found.cache.archive
    forcings = Forcings(archive.grid, archive.scaler, hours(1), HISTORY, HORIZON)
    forced = ForcedWindows(found, forcings)
    read, told = of_windows(found), np.random.default_rng(0)

    def both() -> int:
        forced.told(told.integers(0, len(forced), BATCH).tolist())
        return read()

    return both


def reader(row: str, path: Path, frames: int) -> Callable[[], int]:
    """What reads one batch of a row, and says how many windows that was."""
    numbers = np.random.default_rng(0)
    span, last = HISTORY + HORIZON, frames - HISTORY - HORIZON

    def firsts() -> list[int]:
        return [int(first) for first in numbers.integers(0, last, BATCH)]

    if row in ("memory", "encoded", "cache"):
        share = 0.2 if row == "cache" else None
        return of_windows(ours(path, frames, share, encoded=row == "encoded"))
    if row == "told":
        return of_told(ours(path, frames, None, encoded=True))
    if row == "zarr":
        x = zarr.open_array(path / "x", mode="r")
        return lambda: len(np.stack([x[first : first + span, 0] for first in firsts()]))
    if row == "xarray + dask":
        lazy = xr.open_zarr(path, chunks={})["x"]
        return lambda: len(
            np.stack([lazy.isel(time=slice(f, f + span)).to_numpy() for f in firsts()])
        )
    import xbatcher

    generator = xbatcher.BatchGenerator(
        xr.open_zarr(path, chunks={}),
        input_dims={"time": span, "latitude": grid().shape[0], "longitude": grid().shape[1]},
        input_overlap={"time": span - 1},
        preload_batch=False,
    )
    return lambda: len(np.stack([generator[first]["x"].to_numpy() for first in firsts()]))


def measure(row: str, path: Path, frames: int, seconds: float) -> dict[str, float]:
    """Windows per CPU second and peak MiB of this process."""
    if row == "first epoch":
        begin, count = time.process_time(), 0
        found = ours(path, frames, None)
        order = found.order(np.random.default_rng(0))
        for first in range(0, len(order), BATCH):
            count += len(found.batch(order[first : first + BATCH])[0])
        used = time.process_time() - begin
    else:
        read = reader(row, path, frames)
        for _ in range(3):
            read()
        begin, count, used = time.process_time(), 0, 0.0
        while used < seconds:
            count += read()
            used = time.process_time() - begin
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"windows/s": count / used, "MiB": peak}


def in_a_process(row: str, path: Path, options: argparse.Namespace) -> str:
    """What a fresh process prints about a row."""
    arguments = ["--row", row, "--folder", str(path), "--frames", str(options.frames)]
    done = subprocess.run(
        [sys.executable, __file__, *arguments, "--seconds", str(options.seconds)],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        sys.exit(f"{row} failed:\n{done.stderr}")
    return done.stdout


def main() -> None:
    """Print the table, or with ``--row`` measure one of its rows."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=int, default=8760)
    parser.add_argument("--seconds", type=float, default=8.0, help="CPU time of a row.")
    parser.add_argument("--folder", type=Path, help="Keep the archive there and use it again.")
    parser.add_argument("--row", choices=(*ROWS, "write"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.row == "write":
        write(options.folder, options.frames)
        return
    if options.row:
        print(json.dumps(measure(options.row, options.folder, options.frames, options.seconds)))
        return
    with tempfile.TemporaryDirectory() as scratch:
        path = (options.folder or Path(scratch)) / f"windows-{options.frames}.zarr"
        # In a process too: a child's peak memory counts what its parent held at the start.
        if not path.exists():
            in_a_process("write", path, options)
        found = {row: json.loads(in_a_process(row, path, options)) for row in ROWS}
    print(f"{'row':14} {'windows/s':>10} {'x zarr':>8} {'x xbatcher':>11} {'peak MiB':>9}")
    for row, line in found.items():
        rate = line["windows/s"]
        print(
            f"{row:14} {rate:10.0f} {rate / found['zarr']['windows/s']:7.1f}x "
            f"{rate / found['xbatcher']['windows/s']:10.1f}x {line['MiB']:9.0f}"
        )


if __name__ == "__main__":
    main()
