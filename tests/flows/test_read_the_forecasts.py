"""The README's lines of plain xarray: each is run, on disk and on S3, in a process without us."""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import matplotlib.image
import numpy as np
import pandas as pd
import pytest

from lsntp.archives.forecast import ForecastArchive
from lsntp.config import ROOT_VARIABLE, load_domain
from lsntp.names import CHAMPION, Status
from lsntp.publication import create_forecasts
from lsntp.workspace import Workspace

if TYPE_CHECKING:
    from tests.standins.s3 import S3

README = Path(__file__).resolve().parents[2] / "README.md"
PLACE = "lsntp-data"


def blocks_of(text: str) -> list[str]:
    """The Python of its first section on reading."""
    section = text.partition("## Read the forecasts\n")[2].partition("\n## ")[0]
    found: list[str] = re.findall(r"```python\n(.*?)```", section, flags=re.DOTALL)
    return found


LATEST, SERIES, MAP, TABLE, S3_OPEN = blocks_of(README.read_text())


@pytest.fixture
def archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ForecastArchive:
    """Two forecasts of the demo below ``lsntp-data``, of 280 and 281 K, 0.5 K warmer each lead."""
    monkeypatch.delenv(ROOT_VARIABLE, raising=False)
    domain = load_domain("demo", overrides={"root": str(tmp_path / PLACE)})
    archive = create_forecasts(domain, CHAMPION, "made for a test")
    times = np.array(["2024-03-04T00", "2024-03-04T02"], "datetime64[ns]")
    height, width = domain.target_grid.shape
    field = 280 + 0.5 * np.arange(domain.horizon)[None, :, None, None]
    field = field + np.arange(2)[:, None, None, None] + np.zeros((1, 1, height, width))
    status = np.full(2, Status.FINAL, np.int8)
    archive.publish(
        times, field.astype(np.float32), model_version="ridge-1", analysis_status=status
    )
    return archive


def run(lines: str, folder: Path, **variables: str) -> str:
    """What a process prints that knows nothing of this package; a warning is an error."""
    inherited = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", lines],
        cwd=folder,
        env=inherited | variables,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_no_line_that_the_readme_shows_on_reading_needs_this_package() -> None:
    shown = "".join((LATEST, SERIES, MAP, TABLE, S3_OPEN))
    assert not re.search(r"\b(lsntp|flows|tasks)\.|import (lsntp|flows|tasks)", shown)


@pytest.mark.usefixtures("archive")
def test_the_newest_forecast_of_a_place_is_read_from_disk(tmp_path: Path) -> None:
    printed = run(LATEST, tmp_path).splitlines()
    # the second forecast: 281 K at the first lead
    values = [float(line.split()[-1]) for line in printed[1:7]]
    assert values == pytest.approx([7.85 + 0.5 * lead for lead in range(6)], abs=1e-3)


@pytest.mark.usefixtures("archive")
def test_a_series_of_one_place_is_by_the_time_it_is_for(tmp_path: Path) -> None:
    printed = run(LATEST.replace("print", "str") + SERIES, tmp_path).splitlines()
    # six hours ahead is the sixth lead, 2.5 K above the first
    assert printed[0] == "valid_time"
    assert [line.split() for line in printed[1:3]] == [
        ["2024-03-04", "06:00:00", "282.5"],
        ["2024-03-04", "08:00:00", "283.5"],
    ]


@pytest.mark.usefixtures("archive")
def test_a_map_and_a_table_of_the_newest_forecast_are_made(tmp_path: Path) -> None:
    run(LATEST + MAP + TABLE, tmp_path)
    picture = matplotlib.image.imread(tmp_path / "latest.png")
    assert picture.shape[0] > 400
    assert len(np.unique(picture.reshape(-1, picture.shape[-1]), axis=0)) > 20
    table = pd.read_csv(tmp_path / "latest.csv")
    assert list(table)[:2] == ["lead_time", "latitude"]
    assert set(table["t2m"]) == {281.0, 281.5, 282.0, 282.5, 283.0, 283.5}
    assert table["valid_time"].iloc[0] == "2024-03-04 03:00:00"


def test_the_same_lines_read_it_from_s3(
    archive: ForecastArchive, bucket: "S3", tmp_path: Path
) -> None:
    path = Workspace.of(load_domain("demo", overrides={"root": str(tmp_path / PLACE)})).root
    for file in sorted(archive.path.rglob("*")):
        if file.is_file():
            bucket.put(str(file.relative_to(path)), file.read_bytes())
    opening = S3_OPEN.replace("my-bucket", bucket.bucket)
    lines = LATEST.splitlines(keepends=True)
    lines = [opening if line.startswith("forecast = ") else line for line in lines]
    (tmp_path / "elsewhere").mkdir()
    printed = run("".join(lines) + SERIES + MAP + TABLE, tmp_path / "elsewhere")
    assert float(printed.splitlines()[1].split()[-1]) == pytest.approx(7.85, abs=1e-3)
    assert "2024-03-04 08:00:00    283.5" in printed
    assert (tmp_path / "elsewhere" / "latest.png").stat().st_size > 10_000
    assert set(pd.read_csv(tmp_path / "elsewhere" / "latest.csv")["t2m"]) >= {281.0, 283.5}
    assert not any(request.is_signed for request in bucket.requests)
