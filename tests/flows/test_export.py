"""`lsntp export`: what is written, said and refused."""

import io
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import xarray as xr
from typer.testing import CliRunner

from flows.cli import app, main
from lsntp.config import ROOT_VARIABLE
from tests.exported import VERSION, make_domain


@pytest.fixture
def domain_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv(ROOT_VARIABLE, raising=False)
    return make_domain(tmp_path)[1]


def test_it_writes_the_newest_forecast_and_says_which_and_where(
    domain_file: Path, tmp_path: Path
) -> None:
    target = tmp_path / "latest.nc"
    done = CliRunner().invoke(app, ["export", str(domain_file), "-o", str(target)])
    assert done.exit_code == 0, done.output
    assert "export: 1 forecast of champion, 2024-01-29T18:00Z, all cells" in done.stdout
    assert f"by {VERSION} -> {target}" in done.stdout
    with xr.open_dataset(target) as found:
        assert found["t2m"].shape == (1, 2, 3, 4)


def test_csv_on_standard_output_is_csv_and_nothing_else(domain_file: Path) -> None:
    words = ["--place", "51.2,2", "--init", "..", "--units", "celsius", "-o", "-"]
    done = CliRunner().invoke(app, ["export", str(domain_file), *words])
    assert done.exit_code == 0, done.output
    table = pd.read_csv(io.StringIO(done.stdout))
    assert len(table) == 6
    assert table["t2m"][0] == pytest.approx(281 - 273.15, abs=1e-5)
    assert "the cell at 51, 2, 22.2 km from 51.2, 2" in done.stderr


def test_a_reader_that_has_seen_enough_is_no_error(domain_file: Path) -> None:
    command = [sys.executable, "-m", "flows", "export", str(domain_file), "-o", "-"]
    reading, writing = os.pipe()
    os.close(reading)  # nobody will ever read: the first write meets a broken pipe
    done = subprocess.run(
        command, stdout=writing, stderr=subprocess.PIPE, text=True, check=False, timeout=300
    )
    os.close(writing)
    assert done.returncode == 0, done.stderr
    assert "error" not in done.stderr.lower()


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["--init", "2024-01-29T12"], 11, "there are 3"),
        (["--init", "soon"], 2, "--init: Expected an ISO 8601 time"),
        (["--init", "2024-02-01..2024-01-01"], 2, "--init: Expected a period"),
        (["--place", "10,10"], 3, "Expected a place in the domain's cells"),
        (["--place", "10"], 2, "Expected --place LAT,LON"),
        (["--box", "50,0,52,3"], 2, "--box NORTH,WEST,SOUTH,EAST: expected north > south"),
        (["--place", "51,2", "--box", "52,0,50,3"], 2, "found both"),
        (["--model", "ridge"], 6, "some of champion"),
        (["--model", "moon"], 2, "one of champion, persistence, ridge"),
    ],
)
def test_what_cannot_be_exported_is_one_line_and_a_code(
    domain_file: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    code: int,
    said: str,
) -> None:
    arguments = ["lsntp", "export", str(domain_file), "-o", str(domain_file.parent / "x.csv")]
    monkeypatch.setattr(sys, "argv", arguments + words)
    with pytest.raises(SystemExit) as caught:
        main()
    assert caught.value.code == code
    shown = capsys.readouterr().err
    assert said in shown
    assert "Traceback" not in shown
    assert not (domain_file.parent / "x.csv").exists()


def test_a_file_that_is_there_is_named_before_anything_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mine.csv").write_text("mine")
    monkeypatch.setattr(sys, "argv", ["lsntp", "export", "demo", "-o", str(tmp_path / "mine.csv")])
    with pytest.raises(SystemExit) as caught:
        main()
    assert caught.value.code == 2
    assert "mine.csv yet, found one" in capsys.readouterr().err
    assert (tmp_path / "mine.csv").read_text() == "mine"


def test_out_of_a_bucket_comes_the_file_that_comes_from_a_disk(
    domain_file: Path, archive_bucket: Any, tmp_path: Path
) -> None:
    root = tmp_path / "root"
    for file in sorted(root.rglob("*")):
        if file.is_file():
            archive_bucket.put(f"root/{file.relative_to(root)}", file.read_bytes(), public=False)
    there = f"--set=root=s3://{archive_bucket.bucket}/root"
    for name, words in (("disk.nc", []), ("bucket.nc", [there])):
        target = str(tmp_path / name)
        done = CliRunner().invoke(app, ["export", str(domain_file), "-o", target, *words])
        assert done.exit_code == 0, done.output
    with (
        xr.open_dataset(tmp_path / "disk.nc") as disk,
        xr.open_dataset(tmp_path / "bucket.nc") as s3,
    ):
        xr.testing.assert_equal(s3, disk)
