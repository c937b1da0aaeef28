"""A hundred slots while flow, worker, server, S3 endpoint and Dask workers die at random.

The kills and their instants are drawn from a seed. GFS comes out run by run in one bucket, and
the archives live in another, behind an endpoint that dies with connections on it; each
round publishes four, lets a tick ingest what it finds, and kills something. At the end every slot
is there once and equals an undisturbed ingest, nobody holds a slot, and what lived long has not
grown. ``LSNTP_SOAK_SLOTS`` and ``LSNTP_SOAK_SEED`` choose another length and another fate.
"""

import json
import os
import random
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
import httpx
import numpy as np
import psutil
import pytest
import xarray as xr

from lsntp.archives.lease import is_being_written
from lsntp.config import Domain, load_domain
from lsntp.evaluation.scoring import evaluate
from lsntp.forecasting import forecast
from lsntp.ingest import ingest
from lsntp.names import CHAMPION
from lsntp.places import Place
from lsntp.times import Period, format_time, hours, utc_now
from lsntp.training import train
from lsntp.training.gate import offer
from lsntp.workspace import Workspace
from tests.integration.services import (
    BIN,
    PROJECT,
    RARELY,
    Server,
    Service,
    flow_process,
    free_port,
    prefect_server,
    run_lsntp,
    running,
    wait_for,
    worker_of,
)
from tests.integration.upstreams import Runs
from tests.standins.gfs import MadeLibrary
from tests.standins.gfs_season import CYCLE, Season
from tests.standins.s3 import OWNER, S3

SLOTS = int(os.environ.get("LSNTP_SOAK_SLOTS", "100"))
SEED = int(os.environ.get("LSNTP_SOAK_SEED", "1"))
HISTORY = 24
"""Slots that are there before, for a model to train on."""
BATCH = 4
KILLS = ("flow", "worker", "server", "s3", "dask")
KILL_SHARE = 0.8
"""Of the rounds; in the last two fifths of them server and worker live, and must not grow."""
GROWTH = 1.10
ROOT = "s3://archives/soak"
CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "writer",
    "AWS_SECRET_ACCESS_KEY": "writer-secret",
    "AWS_DEFAULT_REGION": "us-east-1",
}
DOMAIN = """
domain: soak
source:
  {{name: gfs, bucket: {bucket}, resolution: 1p00, forecasts: false, pause_s: 0.2,
    give_up_h: 100000}}
grid: {{kind: regular, north: 55, south: 48, west: -5, east: 6, spacing: 0.5}}
cadence_h: 6
history: 2
horizon: 2
archive: {{start: "{start}"}}
ingest: {{budget_h: 100000, retry_h: 0}}
split:
  train: {{start: "{start}", end: "{middle}"}}
  validation: {{start: "{middle}", end: "{late}"}}
  test: {{start: "{late}", end: "{end}"}}
baselines: [persistence]
bootstrap_samples: 100
dask: {{cluster: "{dask}"}}
root: {root}
work: {work}
retrain: {{pool: cpu}}
schedule:
  {{ingest: "{rare}", reconcile: "{rare}", forecast: "{rare}", evaluate: "{rare}", train: "{rare}",
    watch: "{rare}"}}
"""


@dataclass
class System:
    """Everything that runs, by what can be killed.

    Attributes:
        server: of Prefect.
        worker: its process worker.
        gateway: the way to the bucket.
        scheduler: of Dask.
        cluster: the process above the Dask workers, which restarts them.
        runs: what comes out upstream.
        yaml: the domain.
    """

    server: Server
    worker: Service
    gateway: Service
    scheduler: Service
    cluster: Service
    runs: Runs
    yaml: Path

    def domain(self, **overrides: Any) -> Domain:
        return load_domain(str(self.yaml), overrides=overrides)


@dataclass
class Story:
    """What happened.

    Attributes:
        ends: how many ticks ended in each state.
        kills: how many of each kind struck a living process.
        memory: resident bytes by process, one entry a round, of the last two fifths.
        seconds: from the first slot to the last repair.
    """

    ends: Counter[str] = field(default_factory=Counter)
    kills: Counter[str] = field(default_factory=Counter)
    memory: dict[str, list[int]] = field(default_factory=lambda: defaultdict(list))
    seconds: float = 0.0


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    folder = tmp_path_factory.mktemp("soak")
    moto, front, dask = (free_port() for _ in range(3))

    def service(name: str, *command: str) -> Service:
        environment = {**os.environ, "PYTHONPATH": str(PROJECT), "OMP_WAIT_POLICY": "PASSIVE"}
        log = folder / f"{name}.log"
        return stack.enter_context(running(*command, environment=environment, log=log))

    with ExitStack() as stack, pytest.MonkeyPatch.context() as patch:
        for name, value in CREDENTIALS.items():  # Dask workers read the archives, too
            patch.setenv(name, value)
        patch.delenv("AWS_PROFILE", raising=False)
        patch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        patch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{front}")
        service("moto", sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(moto))
        gateway_file = str(Path(__file__).with_name("gateway.py"))
        gateway = service("gateway", sys.executable, gateway_file, str(front), str(moto))
        here = ("--host", "127.0.0.1")
        scheduler = service(
            "scheduler",
            str(BIN / "dask"),
            "scheduler",
            *here,
            "--port",
            str(dask),
            "--no-dashboard",
        )
        address = f"tcp://127.0.0.1:{dask}"
        workers = ("--nworkers", "2", "--nthreads", "1", "--no-dashboard")
        cluster = service("dask", str(BIN / "dask"), "worker", address, *here, *workers)

        behind = f"http://127.0.0.1:{moto}"
        wait_for(lambda: _answers(behind), "moto")
        owner = boto3.client("s3", endpoint_url=behind, region_name="us-east-1", **OWNER)
        for bucket in ("soak", "archives"):
            owner.create_bucket(Bucket=bucket)
        newest = (utc_now() - hours(4)).astype("datetime64[D]").astype("datetime64[ns]")
        start = newest - (HISTORY + SLOTS + 3) // 4 * 4 * CYCLE  # both of 00 UTC
        runs = Runs(Season(MadeLibrary(), start), S3(behind, "soak", owner))
        runs.publish(HISTORY)

        times = [format_time(start + count * CYCLE) for count in (0, 12, HISTORY - 2, 4000)]
        text = DOMAIN.format(
            bucket="soak",
            dask=address,
            root=ROOT,
            work=folder / "work",
            rare=RARELY,
            **dict(zip(("start", "middle", "late", "end"), times, strict=True)),
        )
        (folder / "soak.yaml").write_text(text)
        (home := folder / "prefect").mkdir()
        server = stack.enter_context(prefect_server(home, ROOT))
        run_lsntp(server, "deploy", str(folder / "soak.yaml"))
        worker = stack.enter_context(worker_of(server.environment, folder))
        made = System(server, worker, gateway, scheduler, cluster, runs, folder / "soak.yaml")
        ingest(made.domain())
        crown(made.domain())
        yield made


def crown(domain: Domain) -> None:
    """Train what there is, and make the best of it champion."""
    offer(domain, [report.version for report in train(domain)])


def _answers(url: str) -> bool:
    try:
        httpx.get(url)
    except httpx.TransportError:
        return False
    return True


def strike(system: System, kind: str, run: str, story: Story, pause_s: float) -> bool:
    """Kill one thing, and start again what nobody else would; whether it lived to be killed."""
    if kind == "flow":
        try:
            process = flow_process(system.worker, run)
            if process is None:
                return False
            process.kill()
        except psutil.NoSuchProcess:
            return False
    elif kind == "worker":
        system.worker.kill()
        system.worker.start()
    elif kind == "server":
        system.server.service.kill()
        time.sleep(pause_s)
        system.server.start()
    elif kind == "s3":
        system.gateway.kill()
        time.sleep(pause_s)
        system.gateway.start()
    elif kind == "dask":
        with suppress(psutil.NoSuchProcess):
            workers = [p for p in system.cluster.tree[1:] if "spawn_main" in " ".join(p.cmdline())]
            if not workers:  # their nannies are restarting them
                return False
            workers[0].kill()
    story.kills[kind] += 1
    return True


def live(system: System, chance: random.Random) -> Story:
    """Publish, tick, kill, round after round; then ticks without kills until all is done.

    Forecasts and scores follow on the events of the ingests.
    """
    story, server, deck = Story(), system.server, list[str]()
    rounds = SLOTS // BATCH
    began = time.monotonic()
    for number in range(rounds):
        system.runs.publish(BATCH)
        is_spared, is_measured = number >= rounds * 0.4, number >= rounds * 0.6
        run = server.trigger("ingest/soak")
        if chance.random() < KILL_SHARE:
            if not (deck := [one for one in deck if one in kinds(is_spared)]):
                deck = chance.sample(kinds(is_spared), len(kinds(is_spared)))
            time.sleep(chance.uniform(1, 9))
            kind = deck.pop()
            if not strike(system, kind, run, story, pause_s=chance.random() * 4):
                deck.insert(0, kind)
        # A dead worker's run is marked by its heartbeats, well before the next tick of a schedule.
        story.ends[server.finish(run, 900)["state"]["type"]] += 1
        if is_measured:
            long_lived = {
                "server": server.service,
                "worker": system.worker,
                "scheduler": system.scheduler,
            }
            for name, service in long_lived.items():
                story.memory[name].append(service.memory)
    for name in ("ingest/soak", "forecast/soak", "evaluate/soak"):
        settle(server, name)
    story.seconds = time.monotonic() - began
    return story


def kinds(is_spared: bool) -> list[str]:
    """What may be killed; a deck of them is drawn until it is used up, so that all come.

    Server and worker are spared for a fifth of the rounds before their memory is measured: a new
    process takes some runs until it has loaded all that it will.
    """
    return [one for one in KILLS if not (is_spared and one in ("worker", "server"))]


def settle(server: Server, name: str) -> None:
    """Ticks, as the schedule goes on making them, until one has completed."""

    def completes() -> bool:
        return server.finish(server.trigger(name), 900)["state"]["type"] == "COMPLETED"

    wait_for(completes, f"a tick of {name} to complete", 1200)


@pytest.fixture(scope="module")
def story(system: System) -> Story:
    story = live(system, random.Random(SEED))
    summary = {
        "slots": SLOTS,
        "seconds": round(story.seconds),
        "ticks": story.ends,
        "kills": story.kills,
        "memory_MiB": {
            name: [round(value / 2**20) for value in values]
            for name, values in story.memory.items()
        },
    }
    print(f"\nsoak: {json.dumps(summary)}")
    return story


def read(place: Place) -> xr.Dataset:
    """An archive, as plain xarray opens it, without what the clock decides."""
    with xr.open_zarr(str(place), chunks=None) as dataset:
        return dataset.drop_vars("ingested_at", errors="ignore").drop_attrs().load()


@pytest.fixture(scope="module")
def oracle(system: System, story: Story) -> Domain:
    """The same slots in one go, without Dask and without a fault."""
    root = str(system.yaml.parent / "oracle")
    domain = system.domain(root=root, work=f"{root}/work", **{"dask.cluster": "local"})
    times = system.runs.times
    ingest(domain, period=Period(times[0], times[HISTORY - 1] + CYCLE))
    crown(domain)
    ingest(domain)
    forecast(domain, period=domain.split.test.period)
    evaluate(domain)
    return domain


pytestmark = [pytest.mark.slow, pytest.mark.timeout(3000)]


def test_every_slot_is_there_once_and_equals_an_undisturbed_run(
    system: System, story: Story, oracle: Domain
) -> None:
    found = read(Workspace.of(system.domain()).analysis)
    np.testing.assert_array_equal(found["time"].values, system.runs.times)
    assert not np.isnan(found["t2m"]).any()
    xr.testing.assert_identical(found, read(Workspace.of(oracle).analysis))


def test_forecasts_and_scores_equal_those_of_an_undisturbed_run(
    system: System, story: Story, oracle: Domain
) -> None:
    found, expected = Workspace.of(system.domain()), Workspace.of(oracle)
    for model in ("persistence", CHAMPION):
        forecasts = [read(one.forecast(model))["t2m"] for one in (found, expected)]
        xr.testing.assert_identical(*forecasts)
    for sums in ("absolute_error_sum", "squared_error_sum"):
        scores = [read(one.evaluation)[sums] for one in (found, expected)]
        xr.testing.assert_identical(*scores)


def test_nobody_holds_a_slot_and_nothing_runs_any_more(system: System, story: Story) -> None:
    server = system.server
    wait_for(lambda: not any(server.limits().values()), "every slot to be given back", 600)

    def left() -> set[str]:
        flows = [
            server.runs(f"{flow}/soak", "RUNNING") for flow in ("ingest", "forecast", "evaluate")
        ]
        return {run["id"] for runs in flows for run in runs}

    # The heartbeats that a dead run no longer sends mark it crashed.
    wait_for(lambda: not left(), "every run to have ended", 600)


def test_nobody_holds_the_lease_of_an_archive(system: System, story: Story) -> None:
    workspace = Workspace.of(system.domain())
    for path in (workspace.analysis, workspace.forecast("persistence"), workspace.evaluation):
        assert not is_being_written(path), path


def test_what_lived_long_has_not_grown(story: Story) -> None:
    for name, values in story.memory.items():
        few = max(1, len(values) // 4)
        first, last = np.median(values[:few]), np.median(values[-few:])
        assert last < GROWTH * first, f"{name}: {first / 2**20:.0f} to {last / 2**20:.0f} MiB"


def test_it_was_as_bad_as_it_should_be(story: Story) -> None:
    """Or the other tests say nothing."""
    assert set(story.kills) == set(KILLS) or SLOTS < 100
    assert sum(story.kills.values()) >= SLOTS // BATCH * KILL_SHARE / 2
    assert story.ends["COMPLETED"] > SLOTS // BATCH / 2  # and yet most ticks did their work
