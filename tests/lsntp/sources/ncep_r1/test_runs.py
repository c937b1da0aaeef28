"""Whole runs against a file host, one of them killed: the archive is that of the files."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from lsntp.config import Domain
from lsntp.ingest import ingest
from lsntp.times import Period, parse_time
from lsntp.workspace import Workspace
from tests.lsntp.ingest_files import stored_bytes
from tests.lsntp.sources.ncep_r1.reading import HELD, LATE, SECOND_YEAR
from tests.standins.file_host import Cut, FileHost, Stall
from tests.standins.file_host import Status as Answer


def files_domain(domain: Domain, folder: Path, years: dict[int, bytes]) -> Domain:
    """The same domain, of the same files on disk."""
    folder.mkdir()
    for year, content in years.items():
        (folder / f"air.sig995.{year}.nc").write_bytes(content)
    source = {"name": "files", "paths": [str(folder / "*.nc")]}
    root = str(folder.parent / "files-root")
    return Domain.model_validate(domain.model_dump() | {"source": source, "root": root})


def contents(domain: Domain) -> dict[str, bytes]:
    """Every stored object but the arrays and attributes that say when and from where."""
    stored = stored_bytes(Workspace.of(domain).analysis)
    return {
        name: content
        for name, content in stored.items()
        if not name.startswith("ingested_at") and name != "zarr.json"
    }


@pytest.mark.slow
def test_the_command_line_ingests_from_a_host_what_it_does_from_the_same_files(
    host: FileHost, years: dict[int, bytes], domain_of: Callable[..., Domain], tmp_path: Path
) -> None:
    host.fail(SECOND_YEAR, Answer(503), Cut(after=100_000))
    domain = domain_of(host, **{"source.retries": 3})
    (tmp_path / "resolved.yaml").write_text(domain.to_yaml())
    kept = {key: value for key, value in os.environ.items() if not key.startswith("PREFECT_")}
    command = [sys.executable, "-m", "flows", "ingest", str(tmp_path / "resolved.yaml")]
    done = subprocess.run(
        [*command, "--to", "2014-02-10"],
        env=kept | {"HOME": str(tmp_path), "COLUMNS": "160"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "188 hours written" in done.stdout  # 47 days of four
    same = files_domain(domain, tmp_path / "files", years)
    ingest(same, period=Period(same.start, parse_time("2014-02-10")), clock=lambda: LATE)
    assert contents(domain) == contents(same)
    assert len(contents(domain)) > 5


CHILD = """
import sys
from lsntp.config import load_domain
from lsntp.ingest import ingest
from lsntp.times import Period, parse_time
held = Period.parse("2013-12-25", "2014-05-01")
ingest(load_domain(sys.argv[1]), period=held, clock=lambda: parse_time("2014-05-10"))
"""


def test_after_a_kill_during_a_download_the_next_run_completes_it(
    host: FileHost, years: dict[int, bytes], domain_of: Callable[..., Domain], tmp_path: Path
) -> None:
    host.fail(SECOND_YEAR, Stall(after=300_000))
    domain = domain_of(host)
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, str(tmp_path / "plains.yaml")], stderr=subprocess.PIPE
    )
    try:
        assert host.stalled.wait(120)
        part = Workspace.of(domain).work / "ncep_r1/air.sig995.2014.nc.part"
        while not part.exists() or part.stat().st_size < 300_000:
            assert child.poll() is None
            host.go_on.wait(0.01)
    finally:
        child.send_signal(signal.SIGKILL)
        child.communicate()
    host.go_on.set()
    report = ingest(domain, period=HELD, clock=lambda: LATE)
    assert host.asked(SECOND_YEAR)[-1].headers["Range"] == "bytes=300000-"
    assert host.asked(SECOND_YEAR)[-1].status == 206
    assert not part.exists()
    same = files_domain(domain, tmp_path / "files", years)
    ingest(same, period=HELD, clock=lambda: LATE)
    assert contents(domain) == contents(same)
    assert report.written == (7 + 120) * 4
