"""A real Prefect server and process worker, reachable on loopback only."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

BIN = Path(sys.executable).parent
PROJECT = Path(__file__).resolve().parents[2]
START_TIMEOUT_S = 120.0


def wait_for(condition: Callable[[], Any], what: str, timeout_s: float = START_TIMEOUT_S) -> Any:
    """The first true answer of ``condition``; fails after ``timeout_s``."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        if answer := condition():
            return answer
        time.sleep(0.5)
    pytest.fail(f"waited {timeout_s:g} s for {what}")


@dataclass(frozen=True)
class Server:
    """A running Prefect server: its address, its environment, and a REST client."""

    environment: dict[str, str]
    api: httpx.Client

    def request(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        """The answer in JSON; as Prefect's own client, tries again while SQLite is busy."""

        def answered() -> httpx.Response | None:
            try:
                reply = self.api.request(method, path, json=body)
            except httpx.ReadTimeout:
                if method == "GET" or path.endswith("/filter"):
                    return None
                raise
            return None if reply.status_code == httpx.codes.SERVICE_UNAVAILABLE else reply

        reply = wait_for(answered, f"an answer to {method} {path}", 240)
        reply.raise_for_status()
        return reply.json()

    def post(self, path: str, body: dict[str, Any]) -> Any:
        return self.request("POST", path, body)

    def deployment(self, name: str) -> dict[str, Any]:
        return dict(self.request("GET", f"/deployments/name/{name}"))

    def trigger(self, name: str, parameters: dict[str, Any] | None = None) -> str:
        """Create a run of a deployment; its id."""
        path = f"/deployments/{self.deployment(name)['id']}/create_flow_run"
        return str(self.post(path, {"parameters": parameters or {}})["id"])

    def finish(self, run: str, timeout_s: float = 180.0) -> dict[str, Any]:
        """The flow run once it has ended."""

        def ended() -> dict[str, Any] | None:
            found = self.request("GET", f"/flow_runs/{run}")
            final = {"COMPLETED", "FAILED", "CRASHED", "CANCELLED"}
            return found if found["state"]["type"] in final else None

        return dict(wait_for(ended, f"flow run {run} to end", timeout_s))

    def log(self, run: str) -> str:
        """The run's log, for a failing assertion."""
        body = {"logs": {"flow_run_id": {"any_": [run]}}, "sort": "TIMESTAMP_ASC"}
        return "\n".join(entry["message"] for entry in self.post("/logs/filter", body))


@contextmanager
def process(*command: str, environment: dict[str, str], log: Path) -> Iterator[None]:
    """A background process and its children in the log's folder, ended with the block."""
    with log.open("w") as file:
        child = subprocess.Popen(
            command,
            env=environment,
            cwd=log.parent,
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        yield
    finally:
        os.killpg(child.pid, signal.SIGTERM)
        try:
            child.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(child.pid, signal.SIGKILL)
            child.wait()


@pytest.fixture(scope="session")
def prefect_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """`prefect server start` on SQLite, hermetic: own home, no telemetry, quick loops."""
    home = tmp_path_factory.mktemp("prefect")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    url = f"http://127.0.0.1:{port}/api"
    kept = {key: value for key, value in os.environ.items() if not key.startswith("PREFECT_")}
    environment = kept | {
        "HOME": str(home),
        "PREFECT_HOME": str(home),
        "PREFECT_PROFILES_PATH": str(home / "profiles.toml"),
        "PREFECT_API_URL": url,
        "DO_NOT_TRACK": "1",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_SERVER_SERVICES_SCHEDULER_LOOP_SECONDS": "3",
        "PREFECT_WORKER_QUERY_SECONDS": "1",
        "OMP_WAIT_POLICY": "PASSIVE",
        "LSNTP_ROOT": str(tmp_path_factory.mktemp("root")),
    }
    command = (str(BIN / "prefect"), "server", "start", "--host", "127.0.0.1", "--port", str(port))
    log = home / "server.log"
    with (
        process(*command, environment=environment, log=log),
        httpx.Client(base_url=url, timeout=60) as api,
    ):

        def healthy() -> bool:
            try:
                return api.get("/health").status_code == httpx.codes.OK
            except httpx.TransportError:
                return False

        wait_for(healthy, f"the Prefect server (log: {log})")
        yield Server(environment, api)
