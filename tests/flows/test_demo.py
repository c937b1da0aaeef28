"""The whole job through the real flows: once it does everything, twice it does nothing."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import xarray as xr

SMALL = {
    "grid.spacing": 3,
    "source.spacing": 3,
    "split.train.end": "2024-01-08",
    "split.validation": "{start: 2024-01-08, end: 2024-01-10}",
    "split.test": "{start: 2024-01-10, end: 2024-01-12}",
    "networks.lsntp.architecture.hidden": 2,
    "networks.lsntp.architecture.embedding": 4,
    "networks.lsntp.training.epochs": 1,
    "bootstrap_samples": 100,
}


def demo(root: Path) -> subprocess.CompletedProcess[str]:
    pairs = [f"--set={key}={value}" for key, value in SMALL.items()]
    kept = {key: value for key, value in os.environ.items() if not key.startswith("PREFECT_")}
    return subprocess.run(
        [sys.executable, "-m", "flows", "demo", "--root", str(root), *pairs],
        env=kept | {"HOME": str(root), "COLUMNS": "160"},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("demo")


@pytest.fixture(scope="module")
def first(root: Path) -> subprocess.CompletedProcess[str]:
    return demo(root)


def test_the_demo_ends_with_skill_and_the_paths_of_what_it_made(
    first: subprocess.CompletedProcess[str], root: Path
) -> None:
    assert first.returncode == 0, first.stderr
    for name in ("persistence", "ridge", "climatology", "lsntp"):
        assert name in first.stdout
    for line in first.stdout.splitlines():
        label, _, path = line.partition(" ")
        if label in ("evaluation", "report") and path.strip().startswith("/"):
            assert Path(path.strip()).exists()
    forecast = xr.open_zarr(root / "forecasts" / "demo" / "lsntp.zarr", chunks=None)
    assert int((forecast.written_leads == forecast.expected_leads).sum()) > 20
    assert forecast.attrs["synthetic"] == "true"
    assert (root / "reports" / "demo" / "index.html").stat().st_size > 100_000


def test_the_demo_chooses_a_champion_and_forecasts_with_it(
    first: subprocess.CompletedProcess[str], root: Path
) -> None:
    champion = json.loads((root / "models" / "demo" / "champion.json").read_text())
    assert champion["action"] == "crowned"
    assert f"gate: {champion['version']} is champion now. The lowest RMSE of 6" in first.stdout
    # two days of test, less history, horizon and the purge gap: too few to judge the network on
    assert re.search(r"gate: lsntp-\w+ is not judged yet.*at least 6 whole days", first.stdout)
    with xr.open_zarr(root / "forecasts" / "demo" / "champion.zarr", chunks=None) as forecast:
        is_written = (forecast.written_leads == forecast.expected_leads).values
        assert is_written.sum() > 20
        assert set(forecast.model_version.values[is_written]) == {champion["version"]}


@pytest.mark.usefixtures("first")
def test_the_readmes_lines_of_xarray_read_the_latest_forecast(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    readme = (Path(__file__).resolve().parents[2] / "README.md").read_text()
    section = readme.partition("## Read the forecasts\n")[2].partition("\n## ")[0]
    lines = re.findall(r"```python\n(.*?)```", section, flags=re.DOTALL)[0]
    exec(lines.replace("lsntp-data", str(root)), {})
    values = [float(line.split()[-1]) for line in capsys.readouterr().out.splitlines()[1:7]]
    assert len(values) == 6
    assert all(-60 < value < 50 for value in values)


@pytest.mark.slow
@pytest.mark.usefixtures("first")
def test_a_second_demo_finds_nothing_to_do_and_says_so(root: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in (root / "forecasts").rglob("*")}
    again = demo(root)
    assert again.returncode == 0, again.stderr
    for step in ("ingest", "forecast", "evaluate"):
        assert f"{step}: nothing to do" in again.stdout
    assert "fitted in" not in again.stdout
    assert {path: path.stat().st_mtime_ns for path in (root / "forecasts").rglob("*")} == before
