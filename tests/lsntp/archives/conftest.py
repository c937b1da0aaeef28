"""Processes to race and kill, and ways to compare and to judge archives."""

import importlib.util
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

import pytest
import xarray as xr

SCRIPT = Path(__file__).with_name("archive_process.py")


@pytest.fixture(scope="session")
def lab() -> ModuleType:
    """The known truth and the archives built from it; see archive_process.py."""
    spec = importlib.util.spec_from_file_location("archive_process", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def start_process() -> Callable[[str, Path], object]:
    """Start archive_process.py as a context: (role, path) -> process with text pipes."""

    @contextmanager
    def start(role: str, path: Path) -> Iterator[subprocess.Popen[str]]:
        with subprocess.Popen(
            [sys.executable, str(SCRIPT), role, str(path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as process:
            try:
                yield process
            finally:
                if process.poll() is None:
                    process.kill()

    return start


@pytest.fixture(scope="session")
def objects() -> Callable[[Path], dict[str, bytes]]:
    """Every object of an archive: key -> bytes."""

    def read(path: Path) -> dict[str, bytes]:
        return {
            str(file.relative_to(path)): file.read_bytes()
            for file in path.rglob("*")
            if file.is_file()
        }

    return read


@pytest.fixture(scope="session")
def cf_faults(tmp_path_factory) -> Callable[[xr.Dataset], list[str]]:
    """What the IOOS compliance checker calls errors against CF-1.11 in a dataset's netCDF form."""

    def judge(dataset: xr.Dataset) -> list[str]:
        folder = tmp_path_factory.mktemp("cf")
        dataset.to_netcdf(folder / "exported.nc")
        # In its own process: the checker's pyproj and eccodes cannot share one.
        checker = Path(sys.executable).with_name("compliance-checker")
        options = ["--test", "cf:1.11", "--format", "json", "--output", "report.json"]
        subprocess.run(
            [checker, *options, "exported.nc"], cwd=folder, capture_output=True, check=False
        )
        report = json.loads((folder / "report.json").read_text())["cf:1.11"]
        assert report["high_count"] > 0 or report["all_priorities"]
        return [fault for check in report["high_priorities"] for fault in check["msgs"]]

    return judge
