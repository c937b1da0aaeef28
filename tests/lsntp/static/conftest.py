"""Tiny files of height and land."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

from lsntp.config import Domain, load_domain

YAML = """
domain: ground
source: {{name: files, paths: ["*.nc"]}}
grid: {{kind: regular, north: 51, south: 49, west: 0, east: 2, spacing: 2}}
cadence_h: 6
archive: {{start: 2020-01-01}}
split:
  train: {{start: 2020-01-01, end: 2020-01-02}}
  validation: {{start: 2020-01-02, end: 2020-01-03}}
  test: {{start: 2020-01-03, end: 2020-01-04}}
root: "{root}"
"""


@pytest.fixture
def domain_of(tmp_path: Path) -> Callable[..., Domain]:
    """The domain of four cells of 2 degrees, 52..48 N and 1 W..3 E."""

    def make(*paths: Path, **overrides: Any) -> Domain:
        path = tmp_path / "ground.yaml"
        static = f"static: {{paths: {[str(p) for p in paths]}}}\n" if paths else ""
        path.write_text(YAML.format(root=tmp_path / "root") + static)
        return load_domain(path, overrides=overrides)

    return make


@pytest.fixture
def write_field(tmp_path: Path) -> Callable[..., Path]:
    """Writes a field of 1 degree cells between 52..48 N and 1 W..3 E, or on other axes."""

    def write(
        name: str,
        values: np.ndarray,
        *,
        units: str | None = None,
        file: str = "",
        latitude: np.ndarray | None = None,
        longitude: np.ndarray | None = None,
        **attrs: Any,
    ) -> Path:
        latitude = np.array([51.5, 50.5, 49.5, 48.5]) if latitude is None else latitude
        longitude = np.array([-0.5, 0.5, 1.5, 2.5]) if longitude is None else longitude
        units_attr = {} if units is None else {"units": units}
        dims = ("time", "latitude", "longitude")[3 - values.ndim :]
        dataset = xr.Dataset(
            {name: (dims, values, {**units_attr, **attrs})},
            {
                "latitude": ("latitude", latitude, {"units": "degrees_north"}),
                "longitude": ("longitude", longitude, {"units": "degrees_east"}),
            },
        )
        path = tmp_path / (file or f"{name}.nc")
        path.unlink(missing_ok=True)
        dataset.to_netcdf(path, engine="netcdf4")
        return path

    return write
