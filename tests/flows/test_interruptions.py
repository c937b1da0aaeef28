"""A run killed, interrupted or doubled costs the next one nothing: it waits, and does the rest."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
import xarray as xr

DOMAIN = """
domain: wide
source: {name: synthetic, seed: 3, spacing: 1.0}
grid: {kind: regular, north: 54, south: 32, west: 0, east: 34, spacing: 1.0}
cadence_h: 1
history: 3
horizon: 3
archive: {start: 2024-01-01}
split:
  train: {start: 2024-01-01, end: 2024-10-08}
  validation: {start: 2024-10-08, end: 2024-10-10}
  test: {start: 2024-10-10, end: 2024-10-11}
"""
HOURS = 284 * 24  # blocks enough for a run to be at work still when it is ended


@dataclass(frozen=True)
class Run:
    """An ingest in a session of its own, as on a terminal of its own."""

    process: subprocess.Popen[bytes]
    out: Path
    err: Path

    def ends_with(self, code: int) -> None:
        assert self.process.wait(200) == code, self.err.read_text()


def start_ingest(root: Path, name: str) -> Run:
    domain = root / "wide.yaml"
    domain.write_text(DOMAIN)
    out, err = root / f"{name}.out", root / f"{name}.err"
    kept = {key: value for key, value in os.environ.items() if not key.startswith("PREFECT_")}
    with out.open("w") as out_file, err.open("w") as err_file:
        process = subprocess.Popen(
            [sys.executable, "-m", "flows", "ingest", str(domain)],
            env=kept | {"HOME": str(root / "home"), "LSNTP_ROOT": str(root)},
            stdout=out_file,
            stderr=err_file,
            start_new_session=True,
        )
    return Run(process, out, err)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("root")


def chunks(root: Path) -> set[Path]:
    return set((root / "analysis" / "wide.zarr" / "t2m").glob("c/*"))


@pytest.fixture
def working(root: Path) -> Iterator[Run]:
    """An ingest that has begun to publish a block, with more blocks to come."""
    before = chunks(root)
    run = start_ingest(root, "first")
    deadline = time.monotonic() + 120
    while chunks(root) == before:
        assert run.process.poll() is None, run.err.read_text()
        assert time.monotonic() < deadline
        time.sleep(0.02)
    yield run
    with suppress(ProcessLookupError):
        os.killpg(run.process.pid, signal.SIGKILL)


def server_of(run: Run) -> psutil.Process:
    """The embedded Prefect server of a command at work."""
    (server,) = psutil.Process(run.process.pid).children()
    return server


@pytest.mark.parametrize(
    ("send", "number", "code"),
    [
        (os.killpg, signal.SIGINT, 130),  # Ctrl-C on a terminal
        (os.killpg, signal.SIGTERM, 143),  # a service manager or a batch system
    ],
    ids=["Ctrl-C", "kill"],
)
def test_an_asked_for_end_comes_at_once_with_one_line_and_no_server_left(
    working: Run, send: Callable[[int, int], None], number: int, code: int
) -> None:
    server = server_of(working)
    asked = time.monotonic()
    send(working.process.pid, number)
    working.ends_with(code)
    assert time.monotonic() - asked < 60  # some seconds on a quiet machine
    server.wait(10)
    shown = working.err.read_text()
    lines = [line for line in shown.splitlines() if line and not line.startswith("ingest wide:")]
    assert len(lines) == 1, shown
    assert "interrupted" in lines[0]


@pytest.mark.slow
def test_after_a_kill_no_server_is_left_and_two_runs_at_once_complete_the_archive(
    working: Run, root: Path
) -> None:
    server = server_of(working)
    working.process.kill()
    working.ends_with(-signal.SIGKILL)
    server.wait(60)
    pair = [start_ingest(root, name) for name in ("second", "third")]
    for run in pair:
        run.ends_with(0)
    said = sorted(run.out.read_text() for run in pair)
    assert "hours written" in said[0]
    assert "nothing to do" in said[1]
    archive = xr.open_zarr(root / "analysis" / "wide.zarr", chunks=None)
    assert archive.sizes["time"] == HOURS
    assert not archive.t2m.isnull().any()
