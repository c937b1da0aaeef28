"""A writer and a reader in processes of their own, to be killed or raced by the tests.

``serve PATH`` forks one writer per line of standard input from a process that has its imports
done but no threads. A line is ``after SECONDS`` (kill it then), ``within NUMBER`` (it dies within
the put of that object) or ``never``.
``poll PATH`` reads the whole archive again and again until standard input closes.
``hold PATH`` takes the writer's lease and keeps it.
``stall PATH`` publishes, but stops after its first object until a line comes.
"""

import itertools
import os
import signal
import sys
import threading
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from zarr.storage import LocalStore

from lsntp.archives.analysis import AnalysisArchive
from lsntp.archives.lease import writer_lease
from lsntp.errors import ArchiveBusyError
from lsntp.grid import Grid
from lsntp.names import Status
from lsntp.places import place_of

START = np.datetime64("2020-02-28T00:00", "ns")
HOUR = np.timedelta64(3600 * 10**9, "ns")
NOW = np.datetime64("2021-01-01T00:00", "ns")
GRID = Grid(np.linspace(60.0, 30.0, 31), np.linspace(-20.0, 20.0, 41))
SMALL_GRID = Grid(np.array([50.0, 49.0]), np.array([0.0, 1.0, 2.0]))


def truth(slots: Any, status: Any, grid: Grid = GRID) -> np.ndarray[Any, np.dtype[np.float32]]:
    """The true fields: every cell depends on the hour, the place and on whether it is final."""
    slots, status = np.asarray(slots), np.broadcast_to(status, np.shape(slots))
    place = np.arange(grid.shape[0] * grid.shape[1]).reshape(grid.shape) / 1000
    fields = 250.0 + slots[:, None, None] / 8 + place + (status == Status.FINAL)[:, None, None] / 16
    return fields.astype(np.float32)


def make_frames(slots: Any, status: Any = Status.FINAL, grid: Grid = GRID) -> xr.Dataset:
    """Canonical frames of the true fields at ``slots``."""
    slots = np.asarray(slots)
    status = np.broadcast_to(np.asarray(status, np.int8), slots.shape)
    digest = np.zeros((slots.size, 32), np.uint8)
    digest[:, 0], digest[:, 1], digest[:, 2] = slots % 251, slots // 251, status
    return xr.Dataset(
        {
            "t2m": (("time", "latitude", "longitude"), truth(slots, status, grid)),
            "status": ("time", status.copy()),
            "source_digest": (("time", "digest_byte"), digest),
        },
        coords={
            "time": START + slots * HOUR,
            "latitude": grid.latitude,
            "longitude": grid.longitude,
        },
    )


def create(path: Path, grid: Grid = GRID) -> AnalysisArchive:
    return AnalysisArchive.create(
        path, grid=grid, start=START, cadence=HOUR, attrs={"title": "test fields"}
    )


def disputed_frames() -> xr.Dataset:
    """Replaces preliminary hours, fills a hole, and extends by three chunks."""
    return make_frames(np.r_[4:20, 30:100])


def prepare(path: Path) -> None:
    """The archive before :func:`disputed_frames`: final, preliminary and missing hours."""
    archive = create(path)
    archive.publish(make_frames(np.arange(0, 8)), now=NOW)
    archive.publish(make_frames(np.arange(8, 12), Status.PRELIMINARY), now=NOW)
    archive.publish(make_frames(np.arange(26, 32), Status.PRELIMINARY), now=NOW)


def check(path: Path) -> int:
    """Open as anyone would; every usable hour must hold its true field. Returns the extent."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        dataset = xr.open_zarr(str(path), chunks=None)
        status = dataset["status"].values
        t2m = dataset["t2m"].values
    slots = np.arange(status.size)
    assert np.array_equal(dataset["time"].values, START + slots * HOUR)
    assert t2m.shape[0] == status.size
    grid = Grid(dataset["latitude"].values, dataset["longitude"].values)
    usable = np.isin(status, [Status.PRELIMINARY, Status.FINAL])
    is_final_field = (t2m == truth(slots, Status.FINAL, grid)).all(axis=(1, 2))
    is_preliminary_field = (t2m == truth(slots, Status.PRELIMINARY, grid)).all(axis=(1, 2))
    assert is_final_field[status == Status.FINAL].all()
    assert (is_final_field | is_preliminary_field)[usable].all()
    return int(status.size)


def _cut_short(path: Path, kill_at: int) -> None:
    """Die in the middle of putting object ``kill_at``, as a power switch would."""
    numbers = itertools.count(1)
    put = LocalStore.set

    async def put_or_die(self: LocalStore, key: str, value: Any) -> None:
        if next(numbers) == kill_at:
            target = path / key
            target.parent.mkdir(parents=True, exist_ok=True)
            data = value.to_bytes()
            target.with_suffix(".0123.partial").write_bytes(data[: len(data) // 2])
            os.kill(os.getpid(), signal.SIGKILL)
        await put(self, key, value)

    LocalStore.set = put_or_die  # type: ignore[method-assign]


def _kill_unless_ended(child: int, delay_s: float) -> None:
    deadline = time.monotonic() + delay_s
    while time.monotonic() < deadline:
        if os.waitpid(child, os.WNOHANG)[0]:
            return
        time.sleep(0.0005)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)


def _serve(path: Path) -> None:
    frames = disputed_frames()
    for line in sys.stdin:
        when, *number = line.split()
        child = os.fork()
        if child == 0:
            if when == "within":
                _cut_short(path, int(number[0]))
            AnalysisArchive.open(path).publish(frames, now=NOW)
            print("published", flush=True)
            os._exit(0)
        if when == "after":
            _kill_unless_ended(child, float(number[0]))
        else:
            os.waitpid(child, 0)
        print("ended", flush=True)


def _poll(path: Path) -> None:
    stop = threading.Event()

    def wait_for_the_end() -> None:
        sys.stdin.read()
        stop.set()

    threading.Thread(target=wait_for_the_end, daemon=True).start()
    print("ready", flush=True)
    reads, extents = 0, set()
    while not stop.is_set():
        extents.add(check(path))
        reads += 1
    print(reads, len(extents), flush=True)


def _hold(path: Path) -> None:
    with writer_lease(path):
        print("held", flush=True)
        sys.stdin.read()


def _stall(path: Path) -> None:
    numbers = itertools.count(1)
    put = LocalStore.set

    async def put_and_stop(self: LocalStore, key: str, value: Any) -> None:
        await put(self, key, value)
        if next(numbers) == 1:
            print("stalled", flush=True)
            sys.stdin.readline()

    LocalStore.set = put_and_stop  # type: ignore[method-assign]
    try:
        AnalysisArchive.open(path).publish(disputed_frames(), now=NOW)
    except ArchiveBusyError as error:
        print(f"refused: {error}", flush=True)
    else:
        print("published", flush=True)


if __name__ == "__main__":
    roles = {"serve": _serve, "poll": _poll, "hold": _hold, "stall": _stall}
    roles[sys.argv[1]](place_of(sys.argv[2]))
