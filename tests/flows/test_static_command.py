"""`lsntp static`: once it makes the fields, twice it does nothing, without a section neither."""

from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from typer.testing import CliRunner

from flows.cli import app
from tests.lsntp.ingest_files import YAML


@pytest.fixture
def yaml(tmp_path: Path) -> Path:
    """A domain without static fields."""
    path = tmp_path / "tiny.yaml"
    path.write_text(YAML.format(paths="*.nc", root=tmp_path / "root"))
    return path


def run(yaml: Path) -> str:
    done = CliRunner().invoke(app, ["static", str(yaml)], env={"COLUMNS": "200"})
    assert done.exit_code == 0, done.output
    return done.output


def test_without_a_section_there_is_nothing_to_do(yaml: Path, tmp_path: Path) -> None:
    assert "tiny has no section static; nothing to do" in run(yaml)
    assert not (tmp_path / "root").exists()


def test_the_fields_are_made_once_and_gaps_are_counted(yaml: Path, tmp_path: Path) -> None:
    axes = {"latitude": np.arange(60.0, 39.0, -1.0), "longitude": np.arange(-12.0, 5.0)}
    shape = tuple(axis.size for axis in axes.values())
    land = np.ones(shape)
    land[:3, :2] = np.nan  # 60..58 N, 12 and 11 W: beside the cell at 58 N, 10 W
    fields = {"orog": (np.full(shape, 30.0), "m"), "lsm": (land, "1")}
    xr.Dataset(
        {n: (tuple(axes), v, {"units": unit}) for n, (v, unit) in fields.items()}, axes
    ).to_netcdf(tmp_path / "ground.nc", engine="netcdf4")
    yaml.write_text(yaml.read_text() + "static: {paths: [ground.nc]}\n")
    first, second = run(yaml), run(yaml)
    assert "made from files: ground.nc" in first
    assert "land_fraction: 1 cells without a value" in first
    assert str(tmp_path / "root/static/tiny.zarr") in first
    assert "nothing to do, made before from files: ground.nc" in second
    assert (
        float(xr.open_zarr(tmp_path / "root/static/tiny.zarr", chunks=None).orography.mean()) == 30
    )
