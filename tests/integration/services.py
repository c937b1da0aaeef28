"""Processes around the pipeline that tests kill and start again: server, worker, database."""

import datetime as dt
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

BIN = Path(sys.executable).parent
PROJECT = Path(__file__).resolve().parents[2]
START_TIMEOUT_S = 300.0
FINAL = {"COMPLETED", "FAILED", "CRASHED", "CANCELLED"}
RARELY = f"0 0 1 {(dt.datetime.now(dt.UTC).month + 5) % 12 + 1} *"
"""A cron that ticks in half a year: a tick while a test runs would cancel its run."""
TICKING = ("ingest", "reconcile", "forecast", "evaluate", "watch", "train")
"""The flows that have a schedule."""


def wait_for(condition: Callable[[], Any], what: str, timeout_s: float = START_TIMEOUT_S) -> Any:
    """The first true answer of ``condition``; fails after ``timeout_s``."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        if answer := condition():
            return answer
        time.sleep(0.25)
    pytest.fail(f"waited {timeout_s:g} s for {what}")


def made_domain(name: str, *, start: dt.date | None = None, **crons: str) -> str:
    """The file of a domain of a synthetic source, whose other flows tick rarely.

    Args:
        name: of the domain.
        start: its first day, whose weather goes on to the present; by default ten days of 2024.
        crons: when its flows tick, by name.
    """
    first = start or dt.date(2024, 1, 1)
    trained, validated, tested = (first + dt.timedelta(days) for days in (7, 9, 10))
    live = "true" if start else "false"
    return f"""
domain: {name}
source: {{name: synthetic, seed: 3, spacing: 2.0, live: {live}}}
grid: {{kind: regular, north: 54, south: 42, west: 0, east: 14, spacing: 2}}
cadence_h: 1
history: 3
horizon: 3
archive: {{start: {first}}}
split:
  train: {{start: {first}, end: {trained}}}
  validation: {{start: {trained}, end: {validated}}}
  test: {{start: {validated}, end: {tested}}}
bootstrap_samples: 100
{ticking(**{flow: crons.get(flow, RARELY) for flow in TICKING})}"""


def ticking(**crons: str) -> str:
    """The part of a domain's file that says when its flows run, all of them on CPU."""
    ticks = "".join(f'  {flow}: "{cron}"\n' for flow, cron in crons.items())
    return f"retrain: {{pool: cpu}}\nschedule:\n{ticks}"


def far_off(minute: int = 7) -> str:
    """A cron of one tick a day, half a day from now."""
    return f"{minute} {(dt.datetime.now(dt.UTC).hour + 12) % 24} * * *"


def free_port() -> int:
    """A port of this machine that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Service:
    """A background process in its log's folder, which can be killed and started again.

    Args:
        command: what to run.
        environment: all of its variables.
        log: where its output goes; a restart appends to it.
        user: whose process it is; this one's by default.
    """

    def __init__(
        self, *command: str, environment: Mapping[str, str], log: Path, user: str | None = None
    ) -> None:
        self.log = log
        self._command = command
        self._environment = dict(environment)
        self._user = user
        self._child: psutil.Popen | None = None

    def start(self) -> None:
        with self.log.open("a") as file:
            self._child = psutil.Popen(
                self._command,
                env=self._environment,
                cwd=self.log.parent,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                user=self._user,
            )

    @property
    def tree(self) -> list[psutil.Process]:
        """The process and all its descendants; none if it has ended."""
        if self._child is None or not self._child.is_running():
            return []
        with suppress(psutil.NoSuchProcess):
            return [self._child, *self._child.children(recursive=True)]
        return []

    @property
    def memory(self) -> int:
        """Bytes that the process itself has resident."""
        return int(self.tree[0].memory_info().rss)

    def kill(self) -> None:
        """``kill -9`` the process and its descendants, as the death of their machine would."""
        doomed = self.tree
        for one in doomed:
            with suppress(psutil.NoSuchProcess):
                one.kill()
        psutil.wait_procs(doomed, timeout=20)

    def wait(self, timeout_s: float) -> int:
        """Its exit status, once it has ended by itself."""
        assert self._child is not None
        return int(self._child.wait(timeout_s))

    def kill_alone(self) -> None:
        """``kill -9`` the process; its descendants live on."""
        assert self._child is not None
        self._child.kill()
        self._child.wait(20)

    def stop(self) -> None:
        """Ask it to end, then kill what is left of it."""
        tree = self.tree
        with suppress(ProcessLookupError):
            if tree:
                os.killpg(tree[0].pid, signal.SIGTERM)
        _, alive = psutil.wait_procs(tree, timeout=20)
        for one in alive:
            with suppress(psutil.NoSuchProcess):
                one.kill()
        psutil.wait_procs(alive, timeout=20)


@contextmanager
def running(*command: str, environment: Mapping[str, str], log: Path) -> Iterator[Service]:
    """A service, ended with the block."""
    service = Service(*command, environment=environment, log=log)
    service.start()
    try:
        yield service
    finally:
        service.stop()


@contextmanager
def worker_of(environment: Mapping[str, str], folder: Path, pool: str = "cpu") -> Iterator[Service]:
    """A process worker, as the README starts it."""
    command = (str(BIN / "prefect"), "--no-prompt", "worker", "start", "--pool", pool)
    with running(*command, environment=environment, log=folder / "worker.log") as worker:
        yield worker


def flow_process(worker: Service, run: str) -> psutil.Process | None:
    """The process in which a worker executes a flow run."""
    for one in worker.tree[1:]:
        with suppress(psutil.NoSuchProcess, psutil.AccessDenied):
            if one.environ().get("PREFECT__FLOW_RUN_ID") == run:
                return one
    return None


@dataclass(frozen=True)
class Server:
    """A Prefect server: its environment, a REST client, its process.

    Attributes:
        environment: for clients and workers of this server.
        api: the REST client.
        service: the process.
    """

    environment: dict[str, str]
    api: httpx.Client
    service: Service

    def start(self) -> None:
        """Start it and wait until it answers."""
        self.service.start()
        wait_for(self._is_healthy, f"the Prefect server (log: {self.service.log})")

    def _is_healthy(self) -> bool:
        try:
            return self.api.get("/health").status_code == httpx.codes.OK
        except httpx.TransportError:
            return False

    def request(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        """The answer in JSON; as Prefect's own client, tries again while SQLite is busy.

        Nothing here does harm if it is asked for twice.
        """

        def answered() -> httpx.Response | None:
            try:
                reply = self.api.request(method, path, json=body)
            except httpx.ReadTimeout:
                return None
            return None if reply.status_code == httpx.codes.SERVICE_UNAVAILABLE else reply

        reply = wait_for(answered, f"an answer to {method} {path}", 240)
        reply.raise_for_status()
        return reply.json() if reply.content else None

    def post(self, path: str, body: dict[str, Any]) -> Any:
        return self.request("POST", path, body)

    def deployment(self, name: str) -> dict[str, Any]:
        return dict(self.request("GET", f"/deployments/name/{name}"))

    def runs(self, name: str, *states: str) -> list[dict[str, Any]]:
        """The runs of a deployment in one of the types of states, the earliest first."""
        body: dict[str, Any] = {
            "deployments": {"id": {"any_": [self.deployment(name)["id"]]}},
            "sort": "EXPECTED_START_TIME_ASC",
        }
        if states:
            body["flow_runs"] = {"state": {"type": {"any_": list(states)}}}
        return list(self.post("/flow_runs/filter", body))

    def trigger(self, name: str, parameters: dict[str, Any] | None = None) -> str:
        """Create a run of a deployment; its id."""
        path = f"/deployments/{self.deployment(name)['id']}/create_flow_run"
        body = {"parameters": parameters or {}, "idempotency_key": str(uuid.uuid4())}
        return str(self.post(path, body)["id"])

    def tick(self, name: str) -> str:
        """Let the next run that the scheduler has made begin now; its id."""
        run = wait_for(
            lambda: [r for r in self.runs(name, "SCHEDULED") if r["auto_scheduled"]],
            f"a scheduled run of {name}",
        )[0]["id"]
        state = {"type": "SCHEDULED", "name": "Scheduled"}
        self.post(f"/flow_runs/{run}/set_state", {"state": state, "force": True})
        return str(run)

    def started_by_event(self, name: str, since: Iterable[str] = ()) -> str:
        """The newest run of a deployment that an automation has made, beside ``since``; its id."""
        known = set(since)

        def found() -> list[str]:
            runs = [run for run in self.runs(name) if run["id"] not in known]
            return [
                run["id"] for run in runs if (run["created_by"] or {}).get("type") == "AUTOMATION"
            ]

        return str(wait_for(found, f"an event to start {name}")[-1])

    def forget_started_by_event(self, *names: str) -> None:
        """Delete what automations have made and no worker has begun, lest it be worked off."""
        for name in names:
            for run in self.runs(name, "SCHEDULED"):
                if not run["auto_scheduled"]:
                    self.request("DELETE", f"/flow_runs/{run['id']}")

    def hurry(self, automation: dict[str, Any], within_s: float) -> dict[str, Any]:
        """Let an automation wait so long only; what to PUT to let it be as it was."""
        names = ("name", "description", "enabled", "trigger", "actions")
        kept = {name: automation[name] for name in names}
        hasty = kept | {"trigger": kept["trigger"] | {"within": within_s}}
        self.request("PUT", f"/automations/{automation['id']}", hasty)
        return kept

    def state(self, run: str) -> dict[str, Any]:
        return dict(self.request("GET", f"/flow_runs/{run}")["state"])

    def finish(self, run: str, timeout_s: float = 180.0) -> dict[str, Any]:
        """The flow run once it has ended."""

        def ended() -> dict[str, Any] | None:
            found = self.request("GET", f"/flow_runs/{run}")
            return found if found["state"]["type"] in FINAL else None

        return dict(wait_for(ended, f"flow run {run} to end", timeout_s))

    def complete(self, run: str, timeout_s: float = 180.0) -> None:
        """Wait for a run that has to complete."""
        state = self.finish(run, timeout_s)["state"]
        assert state["type"] == "COMPLETED", f"{state['name']}: {state['message']}\n{self.log(run)}"

    def log(self, run: str) -> str:
        """The run's log, for a failing assertion."""
        body = {"logs": {"flow_run_id": {"any_": [run]}}, "sort": "TIMESTAMP_ASC"}
        return "\n".join(entry["message"] for entry in self.post("/logs/filter", body))

    def limits(self) -> dict[str, int]:
        """How many slots of each global limit are taken."""
        found = self.post("/v2/concurrency_limits/filter", {"limit": 200})
        return {limit["name"]: limit["active_slots"] for limit in found}


@contextmanager
def prefect_server(home: Path, root: Path | str, **settings: str) -> Iterator[Server]:
    """`prefect server start`, hermetic: own home, no telemetry, quick loops.

    Args:
        home: the folder of its database and log.
        root: the archive root that its clients find in their environment.
        settings: further variables.
    """
    url = f"http://127.0.0.1:{(port := free_port())}/api"
    kept = {key: value for key, value in os.environ.items() if not key.startswith("PREFECT_")}
    environment = kept | {
        "HOME": str(home),
        "PREFECT_HOME": str(home),
        "PREFECT_PROFILES_PATH": str(home / "profiles.toml"),
        "PREFECT_API_URL": url,
        "PREFECT_UI_API_URL": url,
        "DO_NOT_TRACK": "1",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": (
            "prefect.server.concurrency.lease_storage.filesystem"
        ),
        "PREFECT_SERVER_CONCURRENCY_INITIAL_DEPLOYMENT_LEASE_DURATION": "120",
        "PREFECT_SERVER_SERVICES_REPOSSESSOR_LOOP_SECONDS": "2",
        "PREFECT_SERVER_SERVICES_SCHEDULER_LOOP_SECONDS": "3",
        "PREFECT_SERVER_SERVICES_SCHEDULER_MIN_RUNS": "12",
        "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": "30",
        "PREFECT_WORKER_QUERY_SECONDS": "1",
        "OMP_WAIT_POLICY": "PASSIVE",
        "PYTHONPATH": str(PROJECT),
        "LSNTP_ROOT": str(root),
        **settings,
    }
    command = (str(BIN / "prefect"), "server", "start", "--host", "127.0.0.1", "--port", str(port))
    service = Service(*command, environment=environment, log=home / "server.log")
    with httpx.Client(base_url=url, timeout=60) as api:
        server = Server(environment, api, service)
        try:
            server.start()
            yield server
        finally:
            service.stop()


def run_lsntp(server: Server, *arguments: str, cwd: Path | None = None) -> str:
    """What a command of ours prints that has to succeed, as a user of this server types it."""
    done = subprocess.run(
        [str(BIN / "lsntp"), *arguments],
        env=server.environment,
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@contextmanager
def postgresql() -> Iterator[str]:
    """The URL of an empty database of a PostgreSQL server of its own, without fsync.

    It refuses to run as root; then it is nobody's.
    """
    if not (shutil.which("initdb") and shutil.which("postgres")):
        pytest.skip("PostgreSQL is not installed: initdb and postgres are not on the PATH")
    pytest.importorskip("asyncpg", reason="Prefect reaches PostgreSQL through asyncpg")
    user = "nobody" if os.geteuid() == 0 else None
    with tempfile.TemporaryDirectory(prefix="lsntp-postgresql-") as name:
        folder = Path(name)
        if user:
            shutil.chown(folder, user)
        environment = {"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", "HOME": name}
        command = ("initdb", "--pgdata", f"{name}/data", "--username", "prefect", "--auth", "trust")
        subprocess.run(
            command, check=True, capture_output=True, env=environment, user=user, cwd=name
        )
        port = free_port()
        options = f"-D {name}/data -k {name} -h 127.0.0.1 -p {port} -c fsync=off".split()
        service = Service(
            "postgres", *options, environment=environment, log=folder / "postgres.log", user=user
        )
        service.start()
        try:
            wait_for(
                lambda: "ready to accept connections" in service.log.read_text(),
                f"PostgreSQL (log: {service.log})",
            )
            yield f"postgresql+asyncpg://prefect@127.0.0.1:{port}/postgres"
        finally:
            service.stop()
