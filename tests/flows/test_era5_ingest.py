"""``lsntp ingest`` of ERA5 by the command line, with only URL and key of the store changed."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from lsntp.archives.analysis import AnalysisArchive
from lsntp.config import FilesSource
from lsntp.ingest import ingest
from lsntp.names import Status
from lsntp.times import Period
from lsntp.workspace import Workspace
from tests.lsntp.sources.era5.conftest import ENGLAND, england
from tests.standins.cds import CdsServer

DAYS = ("2025-02-27", "2025-03-03")
YAML = """
domain: england
source: {name: era5, pause_s: 0.1}
grid: {kind: regular, north: 51.75, south: 51.25, west: -0.75, east: -0.25, spacing: 0.25}
cadence_h: 1
archive: {start: 2025-02-27}
split:
  train: {start: 2025-02-27, end: 2025-03-01}
  validation: {start: 2025-03-01, end: 2025-03-02}
  test: {start: 2025-03-02, end: 2025-03-03}
"""


def run_ingest(root: Path, server: CdsServer) -> subprocess.CompletedProcess[str]:
    domain = root / "england.yaml"
    domain.write_text(YAML)
    unset = ("PREFECT_", "CDSAPI_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(unset)}
    return subprocess.run(
        [sys.executable, "-m", "flows", "ingest", str(domain), "--from", DAYS[0], "--to", DAYS[1]],
        env=kept | {"HOME": str(root / "home"), "LSNTP_ROOT": str(root)} | server.environment,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def ingested(shared_data: Path, tmp_path_factory: pytest.TempPathFactory):
    root = tmp_path_factory.mktemp("era5")
    with CdsServer([shared_data / ENGLAND]) as server:
        yield root, server, run_ingest(root, server)


def test_the_archive_is_the_one_that_the_same_file_gives(ingested, shared_data, tmp_path) -> None:
    root, server, run = ingested
    assert run.returncode == 0, run.stderr
    found = AnalysisArchive.open(root / "analysis" / "england.zarr")
    # expver changes from 0001 to 0005 with March.
    assert found.status.tolist() == [Status.FINAL] * 48 + [Status.PRELIMINARY] * 48

    domain = england(tmp_path).model_copy(
        update={"source": FilesSource(paths=(str(shared_data / ENGLAND),))}
    )
    ingest(domain, period=Period.parse(*DAYS))
    true = AnalysisArchive.open(Workspace.of(domain).analysis)
    np.testing.assert_array_equal(found.read(found.times), true.read(found.times))
    assert set(server.submissions().values()) == {1}


def test_the_key_is_in_nothing_that_the_run_printed_or_wrote(ingested) -> None:
    root, server, run = ingested
    assert server.key not in run.stdout + run.stderr
    leaks = [p for p in root.rglob("*") if p.is_file() and server.key.encode() in p.read_bytes()]
    assert not leaks
