"""Upstreams of the integration tests: GFS in a bucket that fills run by run, and plain files."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import xarray as xr

from lsntp.grid import Grid
from lsntp.sources.synthetic import GeneratedSource
from lsntp.times import Period, hours, utc_now
from tests.standins import gfs
from tests.standins.gfs_season import CYCLE, Season
from tests.standins.s3 import S3

COUNT = 41
"""Runs of GFS from the first to the newest that its clock says are out; both of 00 UTC."""


@dataclass
class Runs:
    """Runs of GFS that come out one after the other, the last of them about now.

    Attributes:
        season: gives the messages and the first initial time.
        bucket: where they come out.
        published: how many have come out.
    """

    season: Season
    bucket: S3
    published: int = 0

    @classmethod
    def until_now(cls, library: gfs.Library, bucket: S3) -> "Runs":
        """None published yet."""
        newest = (utc_now() - hours(4)).astype("datetime64[D]").astype("datetime64[ns]")
        return cls(Season(library, newest - (COUNT - 1) * CYCLE), bucket)

    @property
    def times(self) -> np.ndarray:
        """The initial times published so far."""
        return self.season.start + np.arange(self.published) * CYCLE

    def publish(self, count: int = 1) -> None:
        for _ in range(count):
            self.season.put(self.bucket, self.season.start + self.published * CYCLE, 0)
            self.published += 1

    @contextmanager
    def stalled(self) -> Iterator[Callable[[], bool]]:
        """Publish a run whose bytes stay away while the block lasts; says whether it was asked for.

        Whoever asked meanwhile is cut off at the end, and gets all of it when he asks again.
        """
        key = gfs.key(self.season.start + self.published * CYCLE)
        end = threading.Event()
        self.bucket.forget()
        self.bucket.cut(f"{key}$", 100, hold=end)
        self.publish()
        path = f"/{self.bucket.bucket}/{key}"
        try:
            yield lambda: any(r.path == path and r.method == "GET" for r in self.bucket.requests)
        finally:
            end.set()


@dataclass(frozen=True)
class Frames:
    """Six-hourly fields over North America, written into files as they come.

    Attributes:
        fields: of 2 m temperature, K (time, latitude, longitude).
        folder: where the files are.
    """

    fields: xr.Dataset
    folder: Path

    def write(self, name: str, start: int, stop: int) -> None:
        """The steps ``[start, stop)`` as a file, complete at once."""
        part = self.fields.isel(time=slice(start, stop))
        part.to_netcdf(self.folder / f"{name}.partial", engine="netcdf4")
        (self.folder / f"{name}.partial").rename(self.folder / f"{name}.nc")


def real_fields(shared_data: Path) -> xr.Dataset:
    """Forty days of NCEP/NCAR Reanalysis 1."""
    path = shared_data / "ncep" / "air.sig995.namerica.2013-01_2014-04.nc"
    with xr.open_dataset(path) as dataset:
        return dataset.isel(time=slice(0, 160)).load()


def made_fields() -> xr.Dataset:
    """As many of the documented generator, on the same axis."""
    source = GeneratedSource(
        seed=7,
        spacing_deg=2.5,
        period=Period.parse("2013-01-01", "2013-02-10"),
        cadence=hours(6),
    )
    grid = Grid(np.arange(75, 14, -2.5), np.arange(-160, -29, 2.5))
    times = source.available(Period.parse("2013-01-01", "2013-02-10"))
    merged = xr.concat(source.fetch(times, grid), "time").drop_attrs()
    air = merged["t2m"].assign_attrs(units="K", standard_name="air_temperature", long_name="2 m T")
    return air.to_dataset(name="t2m")
