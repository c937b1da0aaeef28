"""What one GFS analysis costs: bytes moved, requests and seconds, by byte range and as a whole.

Run: ``python -m tests.benchmarks.bench_gfs FOLDER`` with the folder of real GFS files. The object
has as many messages as a real one of 0.25 degrees (about 700), all of them real, of coarser
grids: 0.5 degrees for most. Bytes are counted by the server.
"""

import argparse
import os
import tempfile
import time
from pathlib import Path

import numpy as np

from lsntp.config import GfsSource
from lsntp.grid import regular_grid
from lsntp.sources.gfs import GfsUpstream
from lsntp.times import hours, parse_time
from tests.standins import gfs
from tests.standins.s3 import S3, S3Server

RUN = parse_time("2024-03-01T06")
AREA = regular_grid(north=54, south=16, west=73, east=135, spacing=1)


def source(bucket: S3, work: Path) -> GfsUpstream:
    return GfsUpstream(
        GfsSource(bucket=bucket.bucket, resolution="1p00"),
        origin=RUN,
        cadence=hours(6),
        clock=lambda: RUN + hours(6),
        work=work,
    )


def measure(title: str, bucket: S3) -> None:
    with tempfile.TemporaryDirectory() as work:
        opened = source(bucket, Path(work))
        opened.fetch(np.array([RUN]), AREA)  # makes the client
        bucket.forget()
        wall, cpu = time.perf_counter(), time.process_time()
        (frames,) = opened.fetch(np.array([RUN]), AREA)
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    assert frames.t2m.shape[0] == 1
    print(
        f"{title:<24}{bucket.sent / 1e6:10.3f} MB{len(bucket.requests):4d} requests"
        f"{wall:8.2f} s{cpu:8.2f} s CPU (server included)"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--messages", type=int, default=696)
    options = parser.parse_args()
    library = gfs.Library(options.folder)
    spread = gfs.dated(library.spread, RUN, 0)
    content = spread * (options.messages // 2 - 8) + library.product(RUN, padding=14)
    content += spread * (options.messages // 2 - 8)
    os.environ["AWS_ENDPOINT_URL"] = (server := S3Server()).url
    with server.running():
        bucket = server.open_bucket("bench")
        key = gfs.key(RUN)
        bucket.put(key, content)
        index = gfs.inventory(content)
        print(f"object {len(content) / 1e6:.1f} MB, index {len(index) / 1e6:.3f} MB")
        bucket.put(f"{key}.idx", index)
        measure("byte range", bucket)
        bucket.delete(f"{key}.idx")
        measure("whole object (no index)", bucket)


if __name__ == "__main__":
    main()
