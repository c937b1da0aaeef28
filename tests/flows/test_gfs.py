"""GFS from bucket to skill table as typed, with nothing changed but the endpoint."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import xarray as xr
from filelock import FileLock

from lsntp.archives.forecast import ForecastArchive
from lsntp.config import load_domain
from lsntp.errors import CredentialsError
from lsntp.ingest import ingest
from lsntp.times import parse_time
from lsntp.training import train
from lsntp.workspace import Workspace
from tests.standins.gfs import Library
from tests.standins.gfs_season import COUNT, DOMAIN, Season
from tests.standins.s3 import S3

COMMANDS = """
import sys
from flows.cli import main

for line in sys.stdin.read().splitlines():
    print("$", line, flush=True)
    sys.argv = line.split()
    try:
        main()
    except SystemExit as end:
        if end.code:
            raise
"""
TYPED = """\
lsntp ingest season.yaml --to 2024-03-12
lsntp ingest season.yaml --to 2024-03-12
lsntp train season.yaml
lsntp forecast season.yaml --model gfs --from 2024-03-01 --to 2024-03-06
lsntp forecast season.yaml
lsntp evaluate season.yaml
"""


def environment(bucket: S3, home: Path) -> dict[str, str]:
    kept = {key: value for key, value in os.environ.items() if not key.startswith("PREFECT_")}
    return kept | {
        "HOME": str(home),
        "COLUMNS": "160",
        "AWS_ENDPOINT_URL": bucket.url,
        "PYTHONPATH": str(Path(__file__).resolve().parents[2]),
    }


@pytest.mark.slow
def test_the_commands_bring_gfs_from_the_bucket_to_the_skill_table(
    bucket: S3, library: Library, tmp_path: Path
) -> None:
    Season(library).fill(bucket)
    (tmp_path / "season.yaml").write_text(
        DOMAIN.format(bucket=bucket.bucket, root=tmp_path / "root")
    )
    ended = subprocess.run(
        [sys.executable, "-c", COMMANDS],
        input=TYPED,
        env=environment(bucket, tmp_path),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=500,
    )
    assert ended.returncode == 0, ended.stderr
    _, again, *_, table = ended.stdout.split("$ lsntp ")[1:]
    assert "0 new" in again or "nothing" in again
    rows = [line.strip(" ★") for line in table.splitlines()]
    ranked = [row.split()[0] for row in rows if row.startswith(("gfs", "persistence"))]
    # By hand, as the season's errors are made: 1.80 K, 3.61 K, and a diurnal wave of 5 K.
    assert ranked[:3] == ["gfs-bias-corrected", "gfs", "persistence"]
    analysis = xr.open_zarr(tmp_path / "root" / "analysis" / "season.zarr", chunks=None)
    assert int((analysis.status == 2).sum()) == COUNT
    for model in ("persistence", "gfs", "gfs-bias-corrected"):
        with xr.open_zarr(
            tmp_path / "root" / "forecasts" / "season" / f"{model}.zarr", chunks=None
        ) as data:
            assert int((data.written_leads == 2).sum()) >= 16


@pytest.mark.slow
def test_our_forecasts_wait_for_no_one_at_the_source_and_outlive_its_refusal(
    bucket: S3, library: Library, tmp_path: Path
) -> None:
    Season(library).fill(bucket)
    file = tmp_path / "season.yaml"
    file.write_text(DOMAIN.format(bucket=bucket.bucket, root=tmp_path / "root"))
    domain = load_domain(file)
    ingest(domain, clock=lambda: parse_time("2024-03-12"))
    train(domain)
    held = tmp_path / "root" / "work" / "prefect" / "slots" / "lsntp-source-gfs.lock"
    held.parent.mkdir(parents=True)
    bucket.fail("HEAD", "f006|f012", 403, "AccessDenied", times=99)
    with (
        FileLock(held) as backfill,
        subprocess.Popen(
            [sys.executable, "-c", COMMANDS],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment(bucket, tmp_path),
            cwd=tmp_path,
            text=True,
        ) as process,
    ):
        assert process.stdin
        assert process.stdout
        assert process.stderr
        process.stdin.write("lsntp forecast season.yaml\n")
        process.stdin.close()
        assert any("holds lsntp-source-gfs" in line for line in process.stderr)
        # It waits for the source, and ours are there.
        ours = ForecastArchive.open(Workspace.of(domain).forecast("persistence"))
        assert ours.written().size == 16
        backfill.release()
        errors, said = process.stderr.read(), process.stdout.read()
    assert process.returncode == CredentialsError.exit_code
    assert "forecast: persistence 16 written" in said
    assert "Expected to be allowed to read" in errors
    assert ours.written().size == 16
