"""kill -9 of a real process while it queues, fetches and publishes: the next run completes."""

import os
import signal
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path

import numpy as np
import psutil
import pytest

from lsntp.archives.analysis import AnalysisArchive
from lsntp.config import Domain, FilesSource, load_domain
from lsntp.ingest import ingest
from lsntp.times import Period, parse_time
from lsntp.workspace import Workspace
from tests.lsntp.sources.era5 import ingest_process
from tests.lsntp.sources.era5.conftest import england
from tests.standins.cds import STALL, UNANSWERED

NOW, START, END = "2025-05-01", "2025-02-28T12", "2025-03-01T12"
WAIT_S = 60


class Runs:
    """Ingests one after the other, each to be killed."""

    def __init__(self, path: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, ingest_process.__file__, str(path), NOW, START, END],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def start(self, *, dies_at: int = 0, decodes_at: Path | None = None) -> int:
        """Begin one; returns its process id."""
        print(dies_at, decodes_at or "", file=self._process.stdin, flush=True)
        return int(self._process.stdout.readline())

    def outcome(self) -> str:
        return self._process.stdout.readline().strip()

    def run(self, *, dies_at: int = 0) -> str:
        self.start(dies_at=dies_at)
        return self.outcome()

    def kill(self, child: int) -> None:
        os.kill(child, signal.SIGKILL)
        assert self.outcome() == "killed"

    def close(self) -> None:
        self._process.stdin.close()
        self._process.wait(WAIT_S)
        self._process.stdout.close()


@pytest.fixture
def domain(tmp_path: Path) -> Domain:
    path = tmp_path / "england.yaml"
    path.write_text(england(tmp_path / "root").to_yaml())
    return load_domain(path)


@pytest.fixture
def runs(cds, domain, tmp_path):
    runs = Runs(tmp_path / "england.yaml")
    yield runs
    runs.close()


@pytest.fixture(scope="module")
def undisturbed(england_file: Path, tmp_path_factory: pytest.TempPathFactory) -> AnalysisArchive:
    """The archive that the source ``files`` makes of the same hours."""
    domain = england(tmp_path_factory.mktemp("undisturbed")).model_copy(
        update={"source": FilesSource(paths=(str(england_file),))}
    )
    ingest(domain, period=Period.parse(START, END), clock=lambda: parse_time(NOW))
    return AnalysisArchive.open(Workspace.of(domain).analysis)


def require_equal(domain: Domain, undisturbed: AnalysisArchive) -> None:
    archive = AnalysisArchive.open(Workspace.of(domain).analysis)
    np.testing.assert_array_equal(archive.times, undisturbed.times)
    np.testing.assert_array_equal(archive.status, undisturbed.status)
    times = undisturbed.times
    np.testing.assert_array_equal(archive.read(times), undisturbed.read(times))


def test_killed_while_its_job_is_queued(cds, runs, domain, undisturbed) -> None:
    cds.is_held = True
    child = runs.start()
    assert cds.happened["jobs looked after"].wait(WAIT_S)
    runs.kill(child)
    cds.is_held = False
    assert runs.run() == "ended"
    assert set(cds.submissions().values()) == {1}
    require_equal(domain, undisturbed)


def test_killed_after_the_store_accepted_and_before_the_answer(
    cds, runs, domain, undisturbed
) -> None:
    cds.cue("execution", UNANSWERED)
    child = runs.start()
    assert cds.happened["accepted"].wait(WAIT_S)
    runs.kill(child)
    assert runs.run() == "ended"
    assert set(cds.submissions().values()) == {1}
    require_equal(domain, undisturbed)


def test_killed_while_it_fetches(cds, runs, domain, undisturbed) -> None:
    cds.cue("asset", STALL)
    child = runs.start()
    part = "*.grib.part"
    assert cds.happened["half sent"].wait(WAIT_S)
    runs.kill(child)
    assert not list((Workspace.of(domain).work / "era5").glob("*.grib"))
    received = sum(p.stat().st_size for p in (Workspace.of(domain).work / "era5").glob(part))
    assert runs.run() == "ended"
    assert set(cds.submissions().values()) == {1}
    resumed = [asked for asked in cds.downloads() if asked]
    assert resumed == ([f"bytes={received}-"] if received else [])
    require_equal(domain, undisturbed)


def test_killed_when_it_has_received_all(cds, runs, domain, undisturbed) -> None:
    child = runs.start()
    assert cds.happened["all sent"].wait(WAIT_S)
    with suppress(ProcessLookupError):  # on a busy machine it may be through by now
        os.kill(child, signal.SIGKILL)
    assert runs.outcome() in ("killed", "ended")
    assert runs.run() == "ended"
    assert set(cds.submissions().values()) == {1}
    require_equal(domain, undisturbed)


def test_killed_while_it_decodes(cds, runs, domain, undisturbed, tmp_path) -> None:
    """All was received, and nothing is put yet: the decoder is held up over the delivery."""
    cue = tmp_path / "cue"
    cue.mkdir()
    child = runs.start(decodes_at=cue)
    decoding = cue / "decoding"
    while not decoding.exists():
        assert psutil.pid_exists(child)
        threading.Event().wait(0.01)
    assert list((Workspace.of(domain).work / "era5").glob("*.grib*"))
    assert not Workspace.of(domain).analysis.exists()
    runs.kill(child)
    assert runs.run() == "ended"
    assert set(cds.submissions().values()) == {1}
    require_equal(domain, undisturbed)


def test_killed_while_it_publishes(cds, runs, domain, undisturbed) -> None:
    assert [runs.run(dies_at=put) for put in (1, 3, 6)] == ["killed"] * 3
    assert runs.run() == "ended"
    assert set(cds.submissions().values()) == {1}
    assert len(cds.downloads()) == len(cds.accepted)
    require_equal(domain, undisturbed)
