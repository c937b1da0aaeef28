"""The domain of the tests of NCEP/NCAR Reanalysis 1, and how they read."""

from pathlib import Path

import netCDF4
import numpy as np

from lsntp.config import Domain
from lsntp.sources import open_source
from lsntp.sources.ncep_r1 import NcepR1
from lsntp.times import Period, Times, parse_time

YAML = """
domain: {name}
source: {{name: ncep_r1, variable: {variable}, hosts: [{hosts}], retries: 1, pause_s: 0.01}}
grid: {{kind: regular, north: 55, south: 35, west: -120, east: -90, spacing: 2.5}}
cadence_h: 6
archive: {{start: 2013-12-25}}
split:
  train: {{start: 2013-12-25, end: 2014-01-01}}
  validation: {{start: 2014-01-01, end: 2014-01-05}}
  test: {{start: 2014-01-05, end: 2014-01-10}}
root: "{root}"
"""
LATE = parse_time("2014-05-10")
"""Long after the last time of the excerpt, 2014-04-30T18."""
FIRST_YEAR, SECOND_YEAR = "/surface/air.sig995.2013.nc", "/surface/air.sig995.2014.nc"
STEP = np.timedelta64(6, "h")
HELD = Period.parse("2013-12-25", "2014-05-01")
"""What the two files hold of the domain's axis."""


def opened(domain: Domain, now: np.datetime64 = LATE) -> NcepR1:
    source = open_source(domain, clock=lambda: now)
    assert isinstance(source, NcepR1)
    return source


def steps(first: str, end: str) -> Times:
    return np.arange(parse_time(first), parse_time(end), STEP)


def direct(excerpt: Path, time: str, latitude: float, longitude: float) -> float:
    """A value of the real file, by the netCDF library, K."""
    with netCDF4.Dataset(excerpt) as dataset:
        hour = netCDF4.date2num(
            parse_time(time).astype("datetime64[s]").astype(object),
            dataset["time"].units,
            dataset["time"].calendar,
        )
        row = list(dataset["lat"][:]).index(latitude)
        column = list(dataset["lon"][:]).index(longitude % 360)
        return float(dataset["air"][list(dataset["time"][:]).index(hour), row, column])
