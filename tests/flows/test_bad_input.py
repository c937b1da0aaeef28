"""Bad input through the command line: one clear line, the documented exit code, nothing changed.

All cases share one process of the command line, so that its embedded server starts once.
"""

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

START = np.datetime64("2019-03-01", "ns")
DAYS = 8
DOMAIN = """
domain: small
source: {name: files, paths: [good.nc]}
grid: {kind: regular, north: 58, south: 42, west: -10, east: 2, spacing: 2}
cadence_h: 1
history: 3
horizon: 3
archive: {start: 2019-03-01}
split:
  train: {start: 2019-03-01, end: 2019-03-05}
  validation: {start: 2019-03-05, end: 2019-03-07}
  test: {start: 2019-03-07, end: 2019-03-09}
baselines: [persistence, climatology]
bootstrap_samples: 100
"""
SESSION = """
import contextlib, io, json, sys, traceback
from flows.cli import main
for line in sys.stdin:
    sys.argv = ["lsntp", *json.loads(line)]
    shown = io.StringIO()
    code = 0
    with contextlib.redirect_stderr(shown), contextlib.redirect_stdout(io.StringIO()):
        try:
            main()
        except SystemExit as end:
            code = end.code
    print(json.dumps([code, shown.getvalue()]), flush=True)
"""


@dataclass(frozen=True)
class Answer:
    """How a command ended; the lines on standard error without progress bars."""

    code: int
    lines: list[str]


class CommandLine:
    """``lsntp`` typed again and again in the folder of the test's files."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def run(self, root: Path, *arguments: str) -> Answer:
        """One command; ``--set root`` is added to those that take a domain."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps([*arguments, f"--set=root={root}"]) + "\n")
        self._process.stdin.flush()
        code, shown = json.loads(self._process.stdout.readline())
        bars = [line.rpartition("\r")[2] for line in shown.splitlines()]
        return Answer(code, [line for line in bars if line and "it/s]" not in line])


def write_fields(path: Path, *, first_day: int = 0, days: int = DAYS, **attrs: str) -> None:
    """Hourly 1 degree fields over the British Isles: cooler to the north, a diurnal cycle."""
    latitude, longitude = np.arange(60.0, 39.0, -1), np.arange(-12.0, 5.0)
    hour = 24 * first_day + np.arange(24 * days)
    wave = np.sin(np.radians(20 * longitude + 7 * latitude[:, None]))
    cycle = (3 * np.sin(2 * np.pi * (hour - 9) / 24) + hour / 100)[:, None, None]
    fields = (310 - 0.6 * latitude[:, None] + wave + cycle).astype(np.float32)
    name = attrs.pop("name", "t2m")
    xr.Dataset(
        {name: (("time", "latitude", "longitude"), fields, {"units": "K", **attrs})},
        {
            "time": START + hour * np.timedelta64(1, "h"),
            "latitude": ("latitude", latitude, {"units": "degrees_north"}),
            "longitude": ("longitude", longitude, {"units": "degrees_east"}),
        },
    ).to_netcdf(path)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The user's folder: a domain file, good data, more of it, and several kinds of bad data."""
    folder = tmp_path_factory.mktemp("user")
    (folder / "small.yaml").write_text(DOMAIN)
    (folder / "typo.yaml").write_text(DOMAIN + "horizn: 3\n")
    write_fields(folder / "good.nc")
    write_fields(folder / "later.nc", first_day=DAYS, days=4)
    write_fields(folder / "rain.nc", name="tp", units="m", standard_name="precipitation_amount")
    write_fields(folder / "kilos.nc", first_day=DAYS, units="kg m-2")
    (folder / "garbage.nc").write_bytes(b"not a netCDF file [at all) " * 100)
    return folder


@pytest.fixture(scope="module")
def lsntp(folder: Path) -> Iterator[CommandLine]:
    kept = {key: value for key, value in os.environ.items() if not key.startswith("PREFECT_")}
    kept.pop("LSNTP_ROOT", None)
    kept["PYTHONPATH"] = str(Path(__file__).resolve().parents[2])
    home = {
        "HOME": str(folder),
        "PREFECT_HOME": str(folder / "prefect"),
        "PREFECT_LOGGING_TO_API_BATCH_INTERVAL": "0.1",  # each command waits for the last batch
    }
    with subprocess.Popen(
        [sys.executable, "-c", SESSION],
        cwd=folder,
        env=kept | home,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        yield CommandLine(process)


@pytest.fixture(scope="module")
def archives(lsntp: CommandLine, folder: Path) -> Path:
    """A root with analyses and models, and no forecast yet."""
    root = folder / "root"
    for step in ("ingest", "train"):
        answer = lsntp.run(root, step, "small.yaml")
        assert answer.code == 0, answer.lines
    return root


def stored(root: Path) -> dict[str, str]:
    """Digest of every file a reader may rely on: all but locks and work in progress."""
    return {
        str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(root.rglob("*"))
        if path.is_file()
        and path.suffix not in (".lock", ".writer")
        and path.relative_to(root).parts[0] != "work"
    }


def refused(answer: Answer, code: int, *words: str) -> None:
    """One line, the code, and every word of what it must say."""
    assert answer.code == code, answer.lines
    assert len(answer.lines) == 1, answer.lines
    assert answer.lines[0].startswith("error: ")
    for word in words:
        assert word in answer.lines[0]


BAD_COMMANDS: dict[str, tuple[list[str], int, list[str]]] = {
    "a missing file": (
        ["ingest", "small.yaml", "--set=source.paths=[nowhere/*.nc]"],
        4,
        ["Expected", "nowhere/*.nc"],
    ),
    "a file that is no data": (
        ["ingest", "small.yaml", "--set=source.paths=[good.nc, garbage.nc]"],
        4,
        ["Expected", "garbage.nc"],
    ),
    "a file without the variable": (
        ["ingest", "small.yaml", "--set=source.paths=[rain.nc]"],
        4,
        ["Expected", "rain.nc", "tp"],
    ),
    "a file in units of something else": (
        ["ingest", "small.yaml", "--set=source.paths=[good.nc, kilos.nc]"],
        4,
        ["Expected", "kilos.nc", "kg m-2"],
    ),
    "a domain outside the data": (
        ["ingest", "small.yaml", "--set=domain=elsewhere", "--set=grid.north=78"],
        3,
        ["Expected", "good.nc", "78"],
    ),
    "a training period too short": (
        ["train", "small.yaml", "--set=split.train.end=2019-03-01T04:00"],
        9,
        ["Expected", "found"],
    ),
    "an unknown key": (
        ["ingest", "typo.yaml"],
        2,
        ["typo.yaml", "unknown key horizn"],
    ),
    "a key whose value is not allowed": (
        ["train", "small.yaml", "--set=baselines=[oracle]"],
        2,
        ["small.yaml", "baselines.0", "oracle", "persistence"],
    ),
    "an analysis archive of another grid": (
        ["ingest", "small.yaml", "--set=grid.south=44"],
        6,
        ["Expected", "found"],
    ),
    "scores without a forecast": (["evaluate", "small.yaml"], 11, ["lsntp forecast small"]),
    "a model that is not in the domain": (
        ["forecast", "small.yaml", "--model", "oracle"],
        10,
        ["Expected", "oracle", "models/small", "found none"],
    ),
    "a time that is none": (
        ["ingest", "small.yaml", "--from", "yesterday"],
        2,
        ["--from: Expected", "such as 2019-03-01T06", "yesterday"],
    ),
    "a day that the year does not have": (
        ["forecast", "small.yaml", "--to", "2019-02-29"],
        2,
        ["--to: Expected", "2019-02-29"],
    ),
    "a period that ends before it starts": (
        ["ingest", "small.yaml", "--from", "2019-03-09T09:00+09:00", "--to", "2019-03-09"],
        3,
        ["2019-03-09T00:00Z..2019-03-09T00:00Z", "start lies before its end"],
    ),
}


@pytest.mark.parametrize(
    ("arguments", "code", "words"), BAD_COMMANDS.values(), ids=list(BAD_COMMANDS)
)
def test_is_refused(
    lsntp: CommandLine, archives: Path, arguments: list[str], code: int, words: list[str]
) -> None:
    before = stored(archives)
    refused(lsntp.run(archives, *arguments), code, *words)
    assert stored(archives) == before


def test_a_forecast_without_a_model_says_what_to_run(
    lsntp: CommandLine, archives: Path, tmp_path: Path
) -> None:
    shutil.copytree(archives / "analysis", tmp_path / "analysis")
    before = stored(tmp_path)
    refused(
        lsntp.run(tmp_path, "forecast", "small.yaml"), 10, "Expected", "found none", "lsntp train"
    )
    assert stored(tmp_path) == before


def test_a_forecast_without_analyses_says_what_to_run(
    lsntp: CommandLine, archives: Path, tmp_path: Path
) -> None:
    shutil.copytree(archives / "models", tmp_path / "models")
    before = stored(tmp_path)
    refused(
        lsntp.run(tmp_path, "forecast", "small.yaml"),
        6,
        "analysis/small.zarr",
        "`lsntp ingest` makes",
    )
    assert stored(tmp_path) == before


def test_a_model_of_another_grid_is_not_used(
    lsntp: CommandLine, archives: Path, tmp_path: Path
) -> None:
    other = ["--set=grid.south=50"]
    assert lsntp.run(tmp_path, "ingest", "small.yaml", *other).code == 0
    shutil.copytree(archives / "models", tmp_path / "models")
    before = stored(tmp_path)
    refused(lsntp.run(tmp_path, "forecast", "small.yaml", *other), 10, "Expected", "found", "grid")
    assert stored(tmp_path) == before


def test_debug_adds_the_traceback_and_keeps_the_code(lsntp: CommandLine, archives: Path) -> None:
    missing = ("--debug", "ingest", "small.yaml", "--set=source.paths=[nowhere/*.nc]")
    answer = lsntp.run(archives, *missing)
    assert answer.code == 4
    assert any(line.startswith("Traceback") for line in answer.lines)
    assert answer.lines[-1].startswith("error: ")


# --- storage that refuses ------------------------------------------------------------------


@contextmanager
def small_disk(point: Path) -> Iterator[Callable[..., Any]]:
    """A file system of 8 MB mounted at ``point``; yields a function that remounts it."""
    point.mkdir()

    def mount(*options: str) -> None:
        command = ["mount", "-t", "tmpfs", *options, "tmpfs", str(point)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            pytest.skip(f"mounting a small disk is not permitted here: {done.stderr.strip()}")

    if shutil.which("mount") is None:
        pytest.skip("there is no mount command to make a small disk with")
    mount("-o", "size=8m")
    try:
        yield mount
    finally:
        subprocess.run(["umount", str(point)], check=True)


MORE = ["ingest", "small.yaml", "--set=source.paths=[good.nc, later.nc]"]


def test_a_full_disk_changes_nothing_and_room_lets_the_rerun_finish(
    lsntp: CommandLine, archives: Path, tmp_path: Path
) -> None:
    with small_disk(tmp_path / "disk"):
        root = tmp_path / "disk" / "root"
        shutil.copytree(archives, root)
        before = stored(root)
        filler = tmp_path / "disk" / "filler"
        with filler.open("wb", buffering=0) as file:
            while free := shutil.disk_usage(root).free:
                file.write(bytes(free))
        refused(lsntp.run(root, *MORE), 8, "Expected to write", "space", "run the same step again")
        assert stored(root) == before
        filler.unlink()
        assert lsntp.run(root, *MORE).code == 0
        with xr.open_zarr(root / "analysis" / "small.zarr", chunks=None) as archive:
            assert archive.sizes["time"] == (DAYS + 4) * 24


@pytest.mark.parametrize("arguments", [MORE, ["train", "small.yaml", "--force"], ["forecast"]])
def test_a_read_only_disk_is_reported_as_such(
    lsntp: CommandLine, archives: Path, tmp_path: Path, arguments: list[str]
) -> None:
    with small_disk(tmp_path / "disk") as mount:
        root = tmp_path / "disk" / "root"
        shutil.copytree(archives, root)
        before = stored(root)
        mount("-o", "remount,ro")
        command = arguments if len(arguments) > 1 else [*arguments, "small.yaml"]
        refused(lsntp.run(root, *command), 8, "Expected to write", "ead-only", str(root))
        assert stored(root) == before


def test_a_root_below_a_file_is_refused(lsntp: CommandLine, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    root = tmp_path / "file" / "root"
    refused(lsntp.run(root, "ingest", "small.yaml"), 8, "Expected to write", str(root))
    refused(lsntp.run(root, "demo"), 8, "Expected to write", str(root))
    assert (tmp_path / "file").read_text() == "in the way"


def test_a_disk_too_full_for_the_embedded_server_is_named_as_such(
    folder: Path, tmp_path: Path
) -> None:
    script = 'mount -t tmpfs -o size=4m tmpfs "$1" || exit 99; shift; exec "$@"'
    in_a_namespace = ["unshare", "--mount", "sh", "-c", script, "sh", str(tmp_path)]
    if os.geteuid() or subprocess.run([*in_a_namespace, "true"], capture_output=True).returncode:
        pytest.skip("this machine does not permit mounting a small disk")
    kept = {key: value for key, value in os.environ.items() if not key.startswith("PREFECT_")}
    command = [sys.executable, "-m", "flows", "ingest", "small.yaml", f"--set=root={tmp_path}/root"]
    done = subprocess.run(
        [*in_a_namespace, *command],
        cwd=folder,
        env=kept | {"HOME": str(tmp_path), "PYTHONPATH": str(Path(__file__).resolve().parents[2])},
        capture_output=True,
        text=True,
    )
    place = f"{tmp_path}/root/work/prefect"
    refused(Answer(done.returncode, done.stderr.splitlines()), 8, place, "No space left", "free")
