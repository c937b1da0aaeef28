"""`lsntp verify` and `lsntp repair`: exit codes, and what they print for people and scripts."""

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from flows.cli import main
from lsntp.grid import regular_grid
from tests.lsntp.ingest_files import YAML


@pytest.fixture(scope="module")
def _made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A day of a source and its archive."""
    from lsntp.config import load_domain
    from lsntp.ingest import ingest

    folder = tmp_path_factory.mktemp("made") / "w"
    folder.mkdir()
    grid = regular_grid(north=60, south=40, west=-12, east=4, spacing=1)
    lat, lon = np.meshgrid(grid.latitude, grid.longitude, indexing="ij")
    hour = np.arange(24)[:, None, None]
    values = 310 - 0.6 * lat + np.sin(np.radians(20 * lon)) + np.sin((hour - 8.7) * np.pi / 12)
    xr.Dataset(
        {"t2m": (("valid_time", "latitude", "longitude"), values.astype("f4"), {"units": "K"})},
        {
            "valid_time": np.datetime64("2019-03-01", "ns") + np.arange(24).astype("m8[h]"),
            "latitude": ("latitude", grid.latitude, {"units": "degrees_north"}),
            "longitude": ("longitude", grid.longitude, {"units": "degrees_east"}),
        },
    ).to_netcdf(folder / "day.nc")
    (folder / "tiny.yaml").write_text(YAML.format(paths="*.nc", root=folder / "root"))
    ingest(load_domain(folder / "tiny.yaml"))
    return folder


@pytest.fixture
def domain(_made: Path, tmp_path: Path) -> str:
    """The YAML of a copy to damage."""
    shutil.copytree(_made, tmp_path / "w")
    file = tmp_path / "w" / "tiny.yaml"
    file.write_text(YAML.format(paths="*.nc", root=tmp_path / "w" / "root"))
    return str(file)


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    """``run(*arguments) -> (exit code, standard output)``."""

    def call(*arguments: str) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["lsntp", *arguments])
        with pytest.raises(SystemExit) as caught:
            main()
        return int(caught.value.code or 0), capsys.readouterr().out

    return call


def flip(domain: str) -> Path:
    file = Path(domain).parent / "root/analysis/tiny.zarr/t2m/c/0/0/0"
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    return file


def test_a_whole_archive_is_said_to_be_whole(run, domain):
    code, shown = run("verify", domain)
    assert code == 0
    assert "analysis/tiny.zarr whole; 24 steps, 7 objects, 7 of them decoded" in shown
    code, shown = run("repair", domain)
    assert code == 0
    assert "nothing to do" in shown


def test_damage_is_shown_repaired_and_gone(run, domain):
    before = flip(domain).read_bytes()
    code, shown = run("verify", domain, "--json")
    found = json.loads(shown)
    assert code == 6
    assert (found["domain"], found["findings"]) == ("tiny", 1)
    (finding,) = found["archives"][0]["findings"]
    assert finding["fault"] == "unreadable"
    assert finding["object"] == "t2m/c/0/0/0"
    assert finding["where"] == "2019-03-01T00:00Z to 2019-03-01T23:00Z"
    assert f"lsntp repair {domain}" in finding["remedy"]

    code, shown = run("verify", domain, "--sample", "0")
    assert code == 0  # of fields nothing was decoded

    code, shown = run("repair", domain, "--dry-run")
    assert code == 0
    assert "would repair" in shown
    assert flip(domain).read_bytes() != before
    flip(domain)

    code, shown = run("repair", domain)
    assert code == 0
    assert "24 hours" in shown
    assert run("verify", domain, "--all")[0] == 0


def test_what_cannot_be_repaired_is_exit_code_6_and_says_what_to_do(run, domain):
    flip(domain)
    (Path(domain).parent / "day.nc").unlink()
    code, shown = run("repair", domain, "--json")
    report = json.loads(shown)
    assert code == 6
    assert any("24 hours" in line and "backup" in line for line in report["lost"])
    assert run("verify", domain, "--all")[0] == 0


def test_a_domain_without_archives_says_what_to_do_first(run, domain):
    shutil.rmtree(Path(domain).parent / "root")
    code, _ = run("verify", domain)
    assert code == 6
