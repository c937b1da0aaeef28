"""GFS from bucket to skill table as typed, with nothing changed but the endpoint."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import xarray as xr

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


@pytest.mark.slow
def test_the_commands_bring_gfs_from_the_bucket_to_the_skill_table(
    bucket: S3, library: Library, tmp_path: Path
) -> None:
    Season(library).fill(bucket)
    (tmp_path / "season.yaml").write_text(
        DOMAIN.format(bucket=bucket.bucket, root=tmp_path / "root")
    )
    kept = {key: value for key, value in os.environ.items() if not key.startswith("PREFECT_")}
    project = str(Path(__file__).resolve().parents[2])
    ended = subprocess.run(
        [sys.executable, "-c", COMMANDS],
        input=TYPED,
        env=kept
        | {
            "HOME": str(tmp_path),
            "COLUMNS": "160",
            "AWS_ENDPOINT_URL": bucket.url,
            "PYTHONPATH": project,
        },
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
    analysis = xr.open_zarr(tmp_path / "root" / "analysis" / "season.zarr")
    assert int((analysis.status == 2).sum()) == COUNT
    for model in ("persistence", "gfs", "gfs-bias-corrected"):
        with xr.open_zarr(tmp_path / "root" / "forecasts" / "season" / f"{model}.zarr") as data:
            assert int((data.written_leads == 2).sum()) >= 16
