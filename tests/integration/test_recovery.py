"""A schedule at work, and what kill -9 of flow, worker and server leave: the next tick mends it.

Two domains: ``america`` reads files, ``bucket`` reads GFS over S3, which can be made to stall, so
that a flow is killed while it holds its slots and waits for bytes. The oracle is the same domain,
ingested in one go and undisturbed.
"""

import json
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from prefect.concurrency import _leases
from prefect.concurrency.services import ConcurrencySlotAcquisitionWithLeaseService
from prefect.settings import PREFECT_API_URL, temporary_settings

from lsntp.config import Domain, load_domain
from lsntp.evaluation.scoring import evaluate
from lsntp.forecasting import forecast
from lsntp.ingest import ingest
from lsntp.times import Period, format_time
from lsntp.training import train
from lsntp.workspace import Workspace
from tasks.slots import slots
from tests.conftest import SHARED_DATA
from tests.integration.services import (
    TICKING,
    Server,
    Service,
    far_off,
    flow_process,
    run_lsntp,
    ticking,
    wait_for,
    worker_of,
)
from tests.integration.upstreams import Frames, Runs, made_fields, real_fields
from tests.standins.gfs import MadeLibrary
from tests.standins.s3 import S3Server

SCHEDULE = ticking(**dict.fromkeys(TICKING, far_off()))
"""Nothing ticks by itself while a test runs; the tests let the ticks begin when they want."""
AMERICA = """
domain: america
source: {{name: files, paths: ["{folder}/*.nc"]}}
grid: {{kind: regular, north: 60, south: 40, west: -120, east: -90, spacing: 2.5}}
cadence_h: 6
history: 2
horizon: 2
archive: {{start: 2013-01-01}}
split:
  train: {{start: 2013-01-01, end: 2013-01-21}}
  validation: {{start: 2013-01-21, end: 2013-01-31}}
  test: {{start: 2013-01-31, end: 2013-02-10}}
baselines: [persistence, ridge]
bootstrap_samples: 100
"""
BUCKET = """
domain: bucket
source: {{name: gfs, bucket: {bucket}, resolution: 1p00, forecasts: false, pause_s: 0.01}}
grid: {{kind: regular, north: 55, south: 48, west: -5, east: 6, spacing: 1}}
cadence_h: 6
archive: {{start: "{start}"}}
ingest: {{retry_h: 0}}
split:
  train: {{start: "{start}", end: "{middle}"}}
  validation: {{start: "{middle}", end: "{late}"}}
  test: {{start: "{late}", end: "{end}"}}
baselines: [persistence]
"""
SLOTS = (
    "lsntp-source-gfs",
    "lsntp-bucket-analysis",
    "lsntp-source-files",
    "lsntp-america-analysis",
)

# A busy machine starts a process in a minute.
pytestmark = pytest.mark.timeout(1800)

DATA = [
    pytest.param("real"),
    pytest.param("made", marks=[pytest.mark.slow] if SHARED_DATA.is_dir() else []),
]
"""Made data stand in where there are no real ones; before a release both are used."""


@pytest.fixture(scope="module", params=DATA)
def data(request: pytest.FixtureRequest) -> str:
    if request.param == "real":
        request.getfixturevalue("shared_data")
    return str(request.param)


@dataclass(frozen=True)
class Place:
    """A domain's file, and the archive roots of the schedule and of the oracle."""

    yaml: Path
    root: Path
    oracle: Path

    def domain(self, root: Path | None = None) -> Domain:
        return load_domain(str(self.yaml), overrides={"root": str(root or self.root)})


def make_place(folder: Path, server: Server, name: str, text: str) -> Place:
    path = folder / f"{name}.yaml"
    path.write_text(text + SCHEDULE)
    root = folder / "root"
    run_lsntp(server, "deploy", str(path), f"--set=root={root}")
    return Place(path, root, folder / "oracle")


@pytest.fixture(scope="module")
def folder(server: Server, data: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Another one for each server and each kind of data: all begin at the beginning."""
    return tmp_path_factory.mktemp(f"recovery-{data}-")


@pytest.fixture(scope="module")
def frames(data: str, folder: Path, request: pytest.FixtureRequest) -> Frames:
    is_real = data == "real"
    fields = real_fields(request.getfixturevalue("shared_data")) if is_real else made_fields()
    (files := folder / "files").mkdir()
    frames = Frames(fields, files)
    frames.write("first", 0, 120)
    return frames


@pytest.fixture(scope="module")
def america(frames: Frames, folder: Path, server: Server) -> Place:
    """Deployed, with thirty days in the archive and models trained on them."""
    text = AMERICA.format(folder=frames.folder)
    place = make_place(folder, server, "america", text)
    ingest(place.domain())
    train(place.domain())
    return place


@pytest.fixture(scope="module")
def upstream(
    data: str, folder: Path, s3_server: S3Server, request: pytest.FixtureRequest
) -> Iterator[Runs]:
    library = request.getfixturevalue("library") if data == "real" else MadeLibrary()
    runs = Runs.until_now(library, s3_server.open_bucket(folder.name))
    runs.publish(30)
    with pytest.MonkeyPatch.context() as patch:
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
            patch.delenv(name, raising=False)
        patch.setenv("AWS_ENDPOINT_URL", s3_server.url)
        patch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        yield runs


@pytest.fixture(scope="module")
def bucket(upstream: Runs, folder: Path, server: Server) -> Place:
    start, middle, late, end = (
        format_time(upstream.season.start + count * np.timedelta64(6, "h"))
        for count in (0, 12, 20, 400)
    )
    text = BUCKET.format(
        bucket=upstream.bucket.bucket, start=start, middle=middle, late=late, end=end
    )
    place = make_place(folder, server, "bucket", text)
    for flow in ("forecast", "evaluate"):  # no more than ingests are wanted of this domain
        server.request("DELETE", f"/deployments/{server.deployment(f'{flow}/bucket')['id']}")
    return place


@pytest.fixture(scope="module")
def worker(
    server: Server, america: Place, bucket: Place, upstream: Runs, folder: Path
) -> Iterator[Service]:
    environment = server.environment | {
        "AWS_ENDPOINT_URL": upstream.bucket.url,
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    with worker_of(environment, folder) as worker:
        yield worker


def stalled_tick(server: Server, upstream: Runs, asked: Any) -> str:
    """A tick of ``bucket`` that holds its slots and waits for bytes that stay away."""
    run = server.tick("ingest/bucket")
    wait_for(asked, "the question for the newest run of GFS")
    assert server.state(run)["type"] == "RUNNING"
    assert server.limits()["lsntp-source-gfs"] == 1
    return run


@pytest.fixture(scope="module")
def killed(server: Server, upstream: Runs, worker: Service) -> tuple[str, str]:
    """A flow run that was killed at work, and the tick after it."""
    with upstream.stalled() as asked:
        run = stalled_tick(server, upstream, asked)
        process = flow_process(worker, run)
        assert process is not None
        process.kill()
    server.finish(run)
    upstream.publish()
    return run, server.tick("ingest/bucket")


def read(path: Path) -> xr.Dataset:
    """An archive without what the clock decides."""
    with xr.open_zarr(path, chunks=None) as dataset:
        return dataset.drop_vars("ingested_at", errors="ignore").drop_attrs().load()


def check_bucket(place: Place, upstream: Runs) -> None:
    """Every published run is there once, and equals an undisturbed ingest."""
    found = read(Workspace.of(place.domain()).analysis)
    is_there = ~np.isnan(found["t2m"].values).all(axis=(1, 2))
    np.testing.assert_array_equal(found["time"].values[is_there], upstream.times)
    oracle = place.domain(place.oracle)
    ingest(oracle, period=Period(upstream.times[0], upstream.times[-1] + oracle.cadence))
    expected = read(Workspace.of(oracle).analysis)
    xr.testing.assert_identical(found.sel(time=expected["time"]), expected)


def check_no_slot_is_taken(server: Server) -> None:
    def are_free() -> bool:
        limits = server.limits()
        return not any(limits[name] for name in SLOTS)

    wait_for(are_free, "every slot to be given back", 90)


def test_a_flow_killed_at_work_is_marked_crashed(server: Server, killed: tuple[str, str]) -> None:
    run, _ = killed
    assert server.state(run)["type"] == "CRASHED"


def test_new_analyses_are_forecast_and_scored_and_a_retraining_takes_parameters(
    server: Server, worker: Service, america: Place, frames: Frames
) -> None:
    frames.write("later", 120, 160)
    server.complete(server.tick("ingest/america"))
    for name, parameters in (
        ("reconcile/america", {}),
        ("backfill/america", {"start": "2013-01-01", "newest_first": True}),
    ):
        server.complete(server.trigger(name, parameters))
    server.complete(server.started_by_event("forecast/america"))
    retraining = server.trigger("train/america", {"models": ["ridge"], "force": True})
    server.complete(server.started_by_event("evaluate/america"))
    server.complete(retraining)
    assert "crowned by gate" in worker.log.read_text()  # what lsntp says at level INFO

    workspace = Workspace.of(america.domain())
    oracle = america.domain(america.oracle)
    ingest(oracle, period=Period.parse("2013-01-01", "2013-01-31"))
    train(oracle)
    ingest(oracle)
    forecast(oracle, period=oracle.split.test.period)
    evaluate(oracle)
    undisturbed = Workspace.of(oracle)
    xr.testing.assert_identical(read(workspace.analysis), read(undisturbed.analysis))
    for model in ("persistence", "ridge"):
        found, expected = read(workspace.forecast(model)), read(undisturbed.forecast(model))
        assert (found["written_leads"] == 2).sum() >= 36
        xr.testing.assert_identical(found["t2m"], expected["t2m"])
    found, expected = read(workspace.evaluation), read(undisturbed.evaluation)
    xr.testing.assert_identical(found["absolute_error_sum"], expected["absolute_error_sum"])

    server.complete(server.trigger("watch/america"))
    status = json.loads((america.root / "status" / "america.json").read_text())
    assert status["domain"] == "america"

    artifacts = {one["key"]: one["data"] for one in server.post("/artifacts/filter", {})}
    assert json.loads(artifacts["coverage-america"])[0]["start"] == "2013-01-01T00:00Z"
    scores = json.loads(artifacts["skill-america"])
    assert {row["model"] for row in scores} == {"persistence", "ridge"}
    assert all(row["mae"] == round(row["mae"], 3) for row in scores)
    about = {"resource": {"id": ["lsntp.domain.america"]}}
    events = server.post("/events/filter", {"filter": about})["events"]
    assert {"lsntp.new-analysis", "lsntp.new-forecast"} <= {event["event"] for event in events}


def test_the_tick_after_a_killed_flow_completes_its_work_and_leaks_no_slot(
    server: Server, killed: tuple[str, str], upstream: Runs, bucket: Place
) -> None:
    _, repair = killed
    server.complete(repair, 240)
    check_bucket(bucket, upstream)
    check_no_slot_is_taken(server)


def held(lease: Path) -> str:
    """What a lease holds; nothing if it was given back in this moment."""
    try:
        return lease.read_text()
    except FileNotFoundError:
        return ""


def test_a_lease_that_the_server_forgot_ends_no_work(
    server: Server, bucket: Place, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """As after a restart of a server that keeps its leases in memory, which is its default."""
    name = "lsntp-bucket-report"
    folder = Path(server.environment["PREFECT_HOME"]) / "concurrency_leases"
    monkeypatch.setattr(_leases, "_RENEWAL_FRACTION", 0.01)
    monkeypatch.setattr(_leases, "_RENEWAL_MAX_ATTEMPTS", 1)
    monkeypatch.setattr(logging.getLogger("prefect.concurrency"), "handlers", [caplog.handler])
    limit = server.request("GET", f"/v2/concurrency_limits/{name}")["id"]
    with temporary_settings({PREFECT_API_URL: str(server.api.base_url)}), slots(name):
        (lease,) = (one for one in folder.glob("*-*.json") if limit in held(one))
        lease.unlink()
        wait_for(lambda: "slots are no longer reserved" in caplog.text, "a renewal to fail", 60)
    server.request("PATCH", f"/v2/concurrency_limits/{name}", {"active_slots": 0})
    # It would go on asking this server for slots of that name, whatever server is chosen.
    ConcurrencySlotAcquisitionWithLeaseService.drain_all()


def test_a_run_outlives_the_server_and_the_scheduler_goes_on_after_it(
    server: Server, worker: Service, upstream: Runs, bucket: Place
) -> None:
    with upstream.stalled() as asked:
        run = stalled_tick(server, upstream, asked)
        ticks = {one["id"] for one in server.runs("ingest/bucket", "SCHEDULED")}
        server.service.kill()
        server.start()
    server.complete(run)
    assert {one["id"] for one in server.runs("ingest/bucket", "SCHEDULED")} >= ticks
    upstream.publish()
    server.complete(server.tick("ingest/bucket"))
    check_bucket(bucket, upstream)
    check_no_slot_is_taken(server)


@pytest.mark.slow  # the heartbeats are missed after 90 s
def test_a_run_whose_machine_died_is_marked_crashed_and_a_new_worker_goes_on(
    server: Server, worker: Service, upstream: Runs, bucket: Place
) -> None:
    """Nobody is left who could tell, so its missing heartbeats do."""
    with upstream.stalled() as asked:
        run = stalled_tick(server, upstream, asked)
        worker.kill()
    worker.start()
    upstream.publish()
    assert server.finish(run, 300)["state"]["type"] == "CRASHED"
    server.complete(server.tick("ingest/bucket"), 240)
    check_bucket(bucket, upstream)
    check_no_slot_is_taken(server)
