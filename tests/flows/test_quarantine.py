"""``lsntp quarantine``: list, show, release and discard, as typed."""

import json
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from typer.testing import CliRunner, Result

from flows.cli import app
from lsntp.archives.analysis import AnalysisArchive
from lsntp.config import Domain, load_domain
from lsntp.errors import ArchiveNotFoundError, ConfigError
from lsntp.grid import regular_grid
from lsntp.ingest import ingest
from lsntp.workspace import Workspace
from tests.lsntp.ingest_files import START, YAML

GRID = regular_grid(north=58, south=42, west=-10, east=2, spacing=2)


@pytest.fixture
def domain(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Domain:
    """Hours 0 to 5; hour 2 has a cell of 345 K, hour 4 is filled with zeros."""
    monkeypatch.delenv("LSNTP_ROOT", raising=False)
    monkeypatch.chdir(tmp_path)
    hour = np.arange(6)[:, None, None]
    values = 300 - 0.5 * GRID.latitude[:, None] + 0.1 * GRID.longitude + 0.3 * hour
    values[2, 4, 3] = 345.0
    values[4] = 0.0
    xr.Dataset(
        {"t2m": (("time", "latitude", "longitude"), values.astype(np.float32), {"units": "K"})},
        {
            "time": START + np.arange(6) * np.timedelta64(1, "h"),
            "latitude": ("latitude", GRID.latitude, {"units": "degrees_north"}),
            "longitude": ("longitude", GRID.longitude, {"units": "degrees_east"}),
        },
    ).to_netcdf("a.nc")
    Path("tiny.yaml").write_text(YAML.format(paths="*.nc", root=tmp_path / "root"))
    resolved = load_domain("tiny.yaml")
    ingest(resolved)
    return resolved


def lsntp(*arguments: str, typed: str | None = None) -> Result:
    return CliRunner().invoke(app, ["quarantine", *arguments], input=typed)


def listed(*arguments: str) -> list[dict[str, object]]:
    result = lsntp("list", "tiny.yaml", "--json", *arguments)
    assert result.exit_code == 0, result.output
    entries: list[dict[str, object]] = json.loads(result.output)
    return entries


def test_list_names_time_entry_and_first_reason(domain: Domain) -> None:
    result = lsntp("list", "tiny.yaml")
    assert result.exit_code == 0
    assert "2019-03-01T02:00Z" in result.output
    assert "2 fields in" in result.output
    hot, zero = listed()
    assert str(hot["name"]) in result.output  # whole, to be copied
    assert lsntp("show", "tiny.yaml", str(hot["name"])).exit_code == 0
    assert hot["time"] == "2019-03-01T02:00Z"
    assert "345.00 K" in hot["reasons"][0]  # type: ignore[index]
    assert zero["released"] is None


def test_list_keeps_to_a_period(domain: Domain) -> None:
    assert [entry["time"] for entry in listed("--from", "2019-03-01T03")] == ["2019-03-01T04:00Z"]
    assert [entry["time"] for entry in listed("--to", "2019-03-01T04")] == ["2019-03-01T02:00Z"]
    result = lsntp("list", "tiny.yaml", "--from", "2020-01-01")
    assert "no field of tiny is in quarantine" in result.output


def test_show_tells_reason_limits_values_and_neighbours(domain: Domain) -> None:
    result = lsntp("show", "tiny.yaml", "2019-03-01T02:00")
    assert result.exit_code == 0
    for words in (
        "2019-03-01T01:00Z",
        "345.00 K",
        "maximum_k 340.0",
        "stored    quarantined",
        "03-01T01:00Z",
        "-4 E",
    ):
        assert words in result.output, words
    shown = json.loads(lsntp("show", "tiny.yaml", "20190301T04", "--json").output)
    assert (shown["maximum_k"], shown["limits"]["maximum_k"]) == (0.0, 340.0)
    assert [d["time"] for d in shown["differences"]] == ["2019-03-01T03:00Z", "2019-03-01T05:00Z"]
    assert shown["differences"][0]["correlation"] is None


def test_release_stores_the_field_and_says_so_twice(domain: Domain) -> None:
    words = ("release", "tiny.yaml", "2019-03-01T02:00", "--why", "a fire", "--by", "kim")
    result = lsntp(*words)
    assert result.exit_code == 0, result.output
    assert "2019-03-01T02:00Z is stored as final" in result.output
    stored = AnalysisArchive.open(Workspace.of(domain).analysis)
    assert stored.read(np.array([START + np.timedelta64(2, "h")]))[0, 4, 3] == 345.0
    assert "released before" in lsntp(*words).output
    assert listed()[0]["released"]["by"] == "kim"  # type: ignore[index]
    assert "kim: a fire" in lsntp("show", "tiny.yaml", "20190301T02").output
    assert ingest(domain).did_nothing


def test_release_needs_a_reason(domain: Domain) -> None:
    assert lsntp("release", "tiny.yaml", "2019-03-01T02:00").exit_code == 2
    assert listed()[0]["released"] is None


def test_discard_asks_first(domain: Domain) -> None:
    refused = lsntp("discard", "tiny.yaml", "20190301T04", typed="n\n")
    assert (refused.exit_code, "kept 20190301T0400Z-" in refused.output) == (0, True)
    assert len(listed()) == 2
    unasked = lsntp("discard", "tiny.yaml", "20190301T04", typed="")
    assert isinstance(unasked.exception, ConfigError)
    assert "--yes" in str(unasked.exception)
    assert len(listed()) == 2
    assert lsntp("discard", "tiny.yaml", "20190301T04", typed="y\n").exit_code == 0
    assert [entry["time"] for entry in listed()] == ["2019-03-01T02:00Z"]
    result = lsntp("discard", "tiny.yaml", "20190301T02", "--yes")
    assert "lsntp ingest tiny.yaml" in result.output
    assert listed() == []
    assert ingest(domain).quarantined == 2


def test_an_entry_that_is_not_there_is_an_archive_error(domain: Domain) -> None:
    result = lsntp("show", "tiny.yaml", "2019-03-01T03:00")
    assert isinstance(result.exception, ArchiveNotFoundError)
    assert "lsntp quarantine list" in str(result.exception)
