"""A tiny domain fed from netCDF files, for the tests of ingest."""

from pathlib import Path

import numpy as np
import xarray as xr

from lsntp.archives.analysis import AnalysisArchive
from lsntp.config import Domain, load_domain
from lsntp.grid import regular_grid
from lsntp.ingest import ingest
from lsntp.names import Status
from lsntp.times import hours
from lsntp.workspace import Workspace

START = np.datetime64("2019-03-01", "ns")
NOW = np.datetime64("2019-05-01T12:00", "ns")
NATIVE = regular_grid(north=60, south=40, west=-12, east=4, spacing=1)
YAML = """
domain: tiny
source: {{name: files, paths: ["{paths}"]}}
grid: {{kind: regular, north: 58, south: 42, west: -10, east: 2, spacing: 2}}
cadence_h: 1
archive: {{start: 2019-03-01}}
split:
  train: {{start: 2019-03-01, end: 2019-03-02}}
  validation: {{start: 2019-03-02, end: 2019-03-03}}
  test: {{start: 2019-03-03, end: 2019-03-04}}
root: "{root}"
"""


def make_domain(tmp_path: Path, paths: str = "*.nc", **overrides) -> Domain:
    path = tmp_path / "tiny.yaml"
    path.write_text(YAML.format(paths=paths, root=tmp_path / "root"))
    return load_domain(path, overrides=overrides)


def weather(count: int = 24, grid=NATIVE) -> np.ndarray:
    lat, lon = np.meshgrid(grid.latitude, grid.longitude, indexing="ij")
    wave = np.sin(np.radians(20 * lon + 7 * lat))
    hour = np.arange(count)
    day = 3 * np.sin(2 * np.pi * (hour - 9) / 24) + hour / 100
    return (310 - 0.6 * lat + wave + day[:, None, None]).astype(np.float32)


def write(path: Path, values, *, grid=NATIVE, times=None, name="t2m", units="K", expver=None):
    values = np.asarray(values, np.float32)
    times = START + np.arange(len(values)) * hours(1) if times is None else times
    dataset = xr.Dataset(
        {name: (("valid_time", "latitude", "longitude"), values, {"units": units})},
        {
            "valid_time": times,
            "latitude": ("latitude", grid.latitude, {"units": "degrees_north"}),
            "longitude": ("longitude", grid.longitude, {"units": "degrees_east"}),
        },
    )
    if expver is not None:
        dataset = dataset.assign_coords(expver=("valid_time", np.full(len(values), expver)))
    path.unlink(missing_ok=True)
    dataset.to_netcdf(path, engine="netcdf4")


def run(domain: Domain, **arguments):
    return ingest(domain, clock=lambda: NOW, **arguments)


def archive_of(domain: Domain) -> AnalysisArchive:
    return AnalysisArchive.open(Workspace.of(domain).analysis)


def statuses(domain: Domain) -> list[Status]:
    return [Status(code) for code in archive_of(domain).status]


def stored_bytes(root: Path) -> dict[str, bytes]:
    """Every object below a folder but locks."""
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file() and path.suffix not in {".lock", ".writer"}
    }
