"""GFS objects in a bucket, and a source that reads it."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from lsntp.config import GfsSource
from lsntp.grid import regular_grid
from lsntp.sources.gfs import GfsUpstream
from lsntp.times import Instant, hours, parse_time
from tests.standins import gfs
from tests.standins.s3 import S3

RUN = parse_time("2024-03-01T06")
AREA = regular_grid(north=55, south=48, west=-5, east=6, spacing=1)


@pytest.fixture
def publish(bucket: S3, library: gfs.Library) -> Callable[..., bytes]:
    """Put the object of a run and step, with its inventory; returns the object."""

    def put(
        init_time: Instant = RUN, step_h: int = 0, *, index: bytes | None = None, **options: object
    ) -> bytes:
        content = library.product(init_time, step_h, **options)
        key = gfs.key(init_time, step_h)
        bucket.put(key, content)
        bucket.put(f"{key}.idx", gfs.inventory(content) if index is None else index)
        bucket.forget()
        return content

    return put


@pytest.fixture
def open_gfs(bucket: S3, tmp_path: Path) -> Callable[..., GfsUpstream]:
    """``open_gfs(now, **settings)``: a new source, as a new run would open it."""

    def open_it(now: str = "2024-03-01T12", **settings: object) -> GfsUpstream:
        options = {
            "bucket": bucket.bucket,
            "resolution": "1p00",
            "pause_s": 0.01,
            "retries": 2,
            "connections": 3,
            **settings,
        }
        return GfsUpstream(
            GfsSource.model_validate(options),
            origin=parse_time("2024-03-01"),
            cadence=hours(6),
            clock=lambda: parse_time(now),
            work=tmp_path / "work",
        )

    return open_it


@pytest.fixture
def expected(library: gfs.Library) -> np.ndarray:
    """The real field on the cells around the area, 56..47 N and 6 W..7 E, by ecCodes alone."""
    (field,) = gfs.t2m_of([library.t2m])
    rows = 90 - np.arange(56, 46, -1)
    columns = np.arange(-6, 8) % 360
    return field[np.ix_(rows, columns)].astype(np.float32)
