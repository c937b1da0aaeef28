"""GRIB: a month of hourly fields by this package, cfgrib and ecCodes, and the limit of reading.

Run: ``python tests/benchmarks/bench_grib.py FILE``, for instance with the month of the British
Isles that the tests use. CPU seconds of this process and of the decoder that it asks, whose
start is left out; the fastest of five, taken in turns. Every value is compared with ecCodes'.
"""

import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import eccodes
import numpy as np
import psutil
import xarray as xr

from lsntp.grid import Grid, regular_grid
from lsntp.sources import decoding
from lsntp.sources.grib import open_grib

Read = Callable[[Path], np.ndarray]
ROUNDS = 5


def by_eccodes(path: Path) -> np.ndarray:
    """The bare loop over messages, in the order of the file."""
    fields = []
    with path.open("rb") as file:
        while (message := eccodes.codes_grib_new_from_file(file)) is not None:
            shape = (eccodes.codes_get(message, "Nj"), eccodes.codes_get(message, "Ni"))
            fields.append(eccodes.codes_get_values(message).reshape(shape).astype(np.float32))
            eccodes.codes_release(message)
    return np.stack(fields)


def by_cfgrib(path: Path) -> np.ndarray:
    """With no index file, as for every new download."""
    with xr.open_dataset(path, engine="cfgrib", backend_kwargs={"indexpath": ""}) as dataset:
        values: np.ndarray = dataset["t2m"].values
        return values


def in_this_process(path: Path) -> np.ndarray:
    """What the decoder does: headers, then all fields."""
    (part,) = open_grib(path, path.name)
    window = part.grid.window(whole(part.grid.latitude, part.grid.longitude), path.name)
    return part.read(np.arange(part.times.size), window)[0]


def by_the_decoder(path: Path) -> np.ndarray:
    """As the pipeline reads: in a process under limits, the fields handed over by a pipe."""
    with tempfile.TemporaryDirectory() as folder:
        (part,) = decoding.open_parts(path, Path(folder))
        window = part.grid.window(whole(part.grid.latitude, part.grid.longitude), path.name)
        return part.read(np.arange(part.times.size), window)[0]


def by_reading_alone(path: Path) -> np.ndarray:
    """The limit: the bytes of the file, and one pass from 16-bit integers to float32."""
    content = path.read_bytes()
    return np.frombuffer(content, ">u2", len(content) // 2).astype(np.float32)


def whole(latitude: np.ndarray, longitude: np.ndarray) -> Grid:
    """The file's own cells."""
    spacing = abs(float(latitude[1] - latitude[0]))
    return regular_grid(
        north=latitude.max(),
        south=latitude.min(),
        west=longitude.min(),
        east=longitude.max(),
        spacing=spacing,
    )


def cpu_s() -> float:
    """Of this process and its living children."""
    children = [child.cpu_times() for child in psutil.Process().children()]
    return time.process_time() + sum(times.user + times.system for times in children)


def fastest_s(reads: dict[str, Read], path: Path) -> dict[str, float]:
    """CPU seconds of each reader. The clock of a child has steps of 10 ms: four reads at once."""
    seconds = dict.fromkeys(reads, np.inf)
    for _ in range(ROUNDS):
        for name, read in reads.items():
            before = cpu_s()
            for _ in range(4):
                read(path)
            seconds[name] = min(seconds[name], (cpu_s() - before) / 4)
    return seconds


def main(path: Path) -> None:
    """Compare the values, then the seconds."""
    expected = by_eccodes(path)
    for ours in (in_this_process, by_the_decoder):
        np.testing.assert_array_equal(ours(path), expected)
    print(f"{len(expected)} fields of {expected.shape[1]} x {expected.shape[2]}, bit-equal")
    reads: dict[str, Read] = {
        "cfgrib, no index file": by_cfgrib,
        "ecCodes, bare loop": by_eccodes,
        "ours, under limits": by_the_decoder,
        "ours, in one process": in_this_process,
        "reading the file (the limit)": by_reading_alone,
    }
    seconds = fastest_s(reads, path)
    for name, spent in seconds.items():
        ratio = seconds["cfgrib, no index file"] / spent
        print(f"  {name:30s} {spent * 1e3:8.1f} ms {ratio:7.1f} x cfgrib")


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main(Path(sys.argv[1]))
