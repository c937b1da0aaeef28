"""Clocks that go backwards or lie ahead, and time zones: they change no stored value."""

import datetime as dt
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

import lsntp.training.fit
from flows.parameters import ingest_period
from lsntp.config import Domain, load_domain
from lsntp.evaluation.scoring import evaluate
from lsntp.forecasting import forecast
from lsntp.ingest import ingest
from lsntp.names import Status
from lsntp.times import Period, hours, parse_time
from lsntp.training import latest_version, train
from lsntp.workspace import Workspace
from tests.standins.gfs import MadeLibrary
from tests.standins.gfs_season import DOMAIN as GFS_DOMAIN
from tests.standins.gfs_season import Season
from tests.standins.s3 import S3

NOW = parse_time("2024-04-01")
START = parse_time("2024-03-08")
CONTENT: dict[str, Any] = {
    "domain": "zoned",
    "source": {"name": "synthetic", "seed": 1, "spacing": 5.0},
    "grid": {"kind": "regular", "north": 50, "south": 40, "west": 0, "east": 10, "spacing": 5},
    "cadence_h": 1,
    "history": 2,
    "horizon": 2,
    "archive": {"start": "2024-03-08"},
    "split": {  # the clocks of America/St_Johns go forward on the tenth
        "train": {"start": "2024-03-08", "end": "2024-03-10"},
        "validation": {"start": "2024-03-10", "end": "2024-03-11"},
        "test": {"start": "2024-03-11", "end": "2024-03-12"},
    },
    "baselines": ["climatology"],
}
ZONES = {"Asia/Kolkata": 5.5, "America/St_Johns": -3.5, "Pacific/Apia": 13.0}
"""Hours east of Greenwich on 1 March 2024 (St John's: half an hour off every map)."""


@pytest.fixture
def domain(tmp_path: Path) -> Domain:
    return Domain.model_validate(CONTENT | {"root": str(tmp_path)})


@pytest.fixture(params=ZONES)
def zone(request: pytest.FixtureRequest) -> Iterator[str]:
    """The process lives in another time zone."""
    before = os.environ.get("TZ")
    os.environ["TZ"] = request.param
    time.tzset()
    offset_h = time.localtime(dt.datetime(2024, 3, 1, tzinfo=dt.UTC).timestamp()).tm_gmtoff / 3600
    if offset_h != ZONES[request.param]:
        pytest.skip(f"this machine does not know the time zone {request.param}")
    yield request.param
    if before is None:
        del os.environ["TZ"]
    else:
        os.environ["TZ"] = before
    time.tzset()


def run_all(root: Path) -> dict[str, xr.Dataset]:
    """Every archive of a whole pipeline, without what the clock decides."""
    domain = Domain.model_validate(CONTENT | {"root": str(root)})
    ingest(domain, clock=lambda: NOW)
    train(domain)
    forecast(domain)
    evaluate(domain)
    return {path.parent.name: read(path) for path in root.glob("[!t]*/**/*.zarr")}


def read(path: Path) -> xr.Dataset:
    with xr.open_zarr(path, chunks=None) as dataset:
        return dataset.drop_attrs().load()


@pytest.fixture(scope="module")
def greenwich(tmp_path_factory: pytest.TempPathFactory) -> dict[str, xr.Dataset]:
    return run_all(tmp_path_factory.mktemp("greenwich"))


def test_a_pipeline_in_another_zone_stores_the_same(
    greenwich: dict[str, xr.Dataset], zone: str, tmp_path: Path
) -> None:
    found = run_all(tmp_path)
    assert found.keys() == greenwich.keys() == {"analysis", "zoned", "evaluations"}
    for name, dataset in greenwich.items():
        xr.testing.assert_identical(found[name], dataset)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2024-03-10T09:00+09:00", "2024-03-10T00:00"),
        ("2024-03-10", "2024-03-10T00:00"),
        ("2024-03-10T02:30", "2024-03-10T02:30"),  # does not exist on the clocks of St John's
    ],
)
def test_typed_times_are_utc_or_carry_their_offset(
    domain: Domain, zone: str, text: str, expected: str
) -> None:
    period = ingest_period(domain, text, "2024-03-12")
    assert period == Period.parse(f"{expected}Z", "2024-03-12T00:00Z")


def test_a_clock_set_back_changes_only_when_an_hour_was_ingested(
    greenwich: dict[str, xr.Dataset], domain: Domain
) -> None:
    noon = START + hours(36)
    ingest(domain, period=Period(START, noon), clock=lambda: NOW)
    ingest(domain, clock=lambda: NOW - hours(24 * 400))
    stored = read(Workspace.of(domain).analysis)
    xr.testing.assert_identical(
        stored.drop_vars("ingested_at"), greenwich["analysis"].drop_vars("ingested_at")
    )
    assert (stored["status"] == Status.FINAL).all()
    is_later = stored["time"].values >= noon
    np.testing.assert_array_equal(
        stored["ingested_at"], np.where(is_later, NOW - hours(24 * 400), NOW)
    )
    assert ingest(domain, clock=lambda: NOW - hours(24 * 500)).did_nothing


def test_notes_and_locks_from_the_future_stop_nobody(domain: Domain) -> None:
    archive = Workspace.of(domain).analysis
    archive.parent.mkdir(parents=True)
    future = dt.datetime(2060, 1, 1, tzinfo=dt.UTC).timestamp()
    for name in ("zoned.zarr.lock", "zoned.zarr.writer"):
        (archive.parent / name).write_text('{"pid": 1, "host": "h", "since": "2060-01-01"}')
        os.utime(archive.parent / name, (future, future))
    assert ingest(domain, clock=lambda: NOW).written == 4 * 24
    assert not (archive.parent / "zoned.zarr.writer").exists()


@pytest.mark.parametrize("skew_h", [-9, 9, 100])
def test_a_machine_whose_clock_was_off_loses_no_run_of_gfs(
    bucket: S3, tmp_path: Path, skew_h: float
) -> None:
    """It asks too late, or for runs to come, or takes these for holes; all of it passes."""
    season = Season(MadeLibrary())
    text = GFS_DOMAIN.format(bucket=bucket.bucket, root=tmp_path / "root")
    (tmp_path / "season.yaml").write_text(text)
    domain = load_domain(str(tmp_path / "season.yaml"))
    for number, skew in enumerate([0, skew_h, skew_h, 0]):
        for published in season.times[2 * number : 2 * number + 2]:
            season.put(bucket, published, 0)
            now = published + hours(4 + skew)
        ingest(domain, clock=lambda now=now: now)
    stored = read(Workspace.of(domain).analysis)
    np.testing.assert_array_equal(stored["time"].values[:8], season.times[:8])
    assert np.isnan(stored["t2m"][8:]).all()
    assert (stored["status"][:8] == Status.FINAL).all()


def test_the_version_made_last_is_the_newest_though_the_clock_was_ahead_before(
    domain: Domain, monkeypatch: pytest.MonkeyPatch
) -> None:
    ingest(domain, clock=lambda: NOW)
    with monkeypatch.context() as ahead:
        ahead.setattr(lsntp.training.fit, "now_utc", lambda: dt.datetime(2060, 1, 1, tzinfo=dt.UTC))
        (first,) = train(domain)
    (second,) = train(domain, force=True)
    assert second.version != first.version
    newest = latest_version(Workspace.of(domain).models, "climatology")
    assert newest is not None
    assert newest.version == second.version
