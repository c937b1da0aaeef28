"""A domain on a real server: deployed twice, tampered with, mended; its events start runs."""

import re
import subprocess
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from prefect.settings import PREFECT_API_URL, PREFECT_HOME, temporary_settings

from flows.deployment import Change, Outcome, check, deploy
from flows.health import check_scheduler
from lsntp.archives.lease import writer_lease
from lsntp.config import Domain, load_domain
from lsntp.doctor import machine
from lsntp.errors import DeploymentError
from lsntp.times import utc_now
from lsntp.workspace import Workspace
from tasks.slots import slots
from tests.integration.services import (
    BIN,
    RARELY,
    Server,
    Service,
    made_domain,
    prefect_server,
    wait_for,
    worker_of,
)

CRASHED = "lsntp runs without heartbeats have crashed"
NEVER_BEGAN = "lsntp runs that never began have crashed"


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("domain") / "steady.yaml"
    path.write_text(made_domain("steady"))
    return path


@pytest.fixture(scope="module")
def domain(path: Path, server: Server) -> Domain:
    return load_domain(str(path), overrides={"root": server.environment["LSNTP_ROOT"]})


@pytest.fixture(scope="module")
def connected(server: Server) -> Iterator[None]:
    """This process talks to the server, too."""
    chosen = {
        PREFECT_API_URL: server.environment["PREFECT_API_URL"],
        PREFECT_HOME: server.environment["PREFECT_HOME"],
    }
    with temporary_settings(chosen):
        yield


@pytest.fixture(scope="module")
def deployed(connected: None, domain: Domain, path: Path) -> list[Change]:
    return deploy(domain, str(path), {})


def seen(server: Server, kind: str) -> list[dict[str, Any]]:
    return list(server.post(f"/{kind}/filter", {}))


def changed(changes: list[Change]) -> dict[str, Change]:
    """All but what is as it should be, and what waits for a block that this server lacks."""
    settled = (Outcome.UNCHANGED, Outcome.WAITING)
    return {one.name: one for one in changes if one.outcome not in settled}


@pytest.mark.usefixtures("deployed")
def test_a_second_deploy_touches_nothing_and_a_check_finds_nothing(
    server: Server, domain: Domain, path: Path
) -> None:
    before = [seen(server, kind) for kind in ("deployments", "automations", "work_pools")]
    assert changed(deploy(domain, str(path), {})) == {}
    assert changed(check(domain, str(path), {})) == {}
    assert [seen(server, k) for k in ("deployments", "automations", "work_pools")] == before


@pytest.mark.usefixtures("deployed")
def test_the_automations_are_there_as_the_api_shows_them(server: Server) -> None:
    found = {one["name"]: one for one in seen(server, "automations")}
    crashed = found[CRASHED]
    assert crashed["enabled"]
    assert crashed["trigger"]["posture"] == "Proactive"
    assert crashed["trigger"]["within"] == 90
    after = {"prefect.flow-run.Running", "prefect.flow-run.heartbeat"}
    assert set(crashed["trigger"]["after"]) == after
    assert crashed["trigger"]["match_related"]["prefect.resource.id"] == "prefect.tag.lsntp"
    (action,) = crashed["actions"]
    assert (action["type"], action["state"]) == ("change-flow-run-state", "CRASHED")
    for name, event in (
        ("forecast/steady on new analyses", "lsntp.new-analysis"),
        ("forecast/steady on a new champion", "lsntp.new-champion"),
        ("evaluate/steady on new forecasts", "lsntp.new-forecast"),
        ("train/steady on drift", "lsntp.skill-drift"),
    ):
        assert found[name]["trigger"]["expect"] == [event]
        (action,) = found[name]["actions"]
        assert action["deployment_id"] == server.deployment(name.partition(" ")[0])["id"]


def tamper(server: Server) -> None:
    """One thing of every kind, as somebody might do it in the UI."""

    def patch(name: str, body: dict[str, Any]) -> None:
        server.request("PATCH", f"/deployments/{server.deployment(name)['id']}", body)

    automations = {one["name"]: one for one in seen(server, "automations")}
    server.request("DELETE", f"/deployments/{server.deployment('reconcile/steady')['id']}")
    schedule = {"cron": "1 2 3 4 *", "timezone": "UTC"}
    patch("evaluate/steady", {"schedules": [{"schedule": schedule, "slug": "evaluate-steady"}]})
    patch("ingest/steady", {"parameters": {"domain": "elsewhere.yaml"}})
    patch("forecast/steady", {"paused": True})
    patch("train/steady", {"concurrency_limit": 7})
    server.request("PATCH", "/v2/concurrency_limits/lsntp-steady-analysis", {"limit": 3})
    server.request("DELETE", "/v2/concurrency_limits/lsntp-steady-report")
    server.request("PATCH", "/work_pools/cpu", {"is_paused": True})
    server.request("DELETE", f"/automations/{automations[CRASHED]['id']}")
    drift = automations["train/steady on drift"]["id"]
    server.request("PATCH", f"/automations/{drift}", {"enabled": False})
    body = {"name": "steady", "flow_id": server.post("/flows/", {"name": "former"})["id"]}
    server.post("/deployments/", {**body, "tags": ["lsntp", "steady"]})
    trigger = {"type": "event", "posture": "Reactive", "expect": ["rain"], "threshold": 1}
    to_run = {"type": "run-deployment", "deployment_id": server.deployment("train/steady")["id"]}
    for name, action in (
        ("train when it rains", to_run),
        ("lsntp alarms of steady, old", {"type": "do-nothing"}),
        ("nowcast/steady on rain", {"type": "do-nothing"}),
        ("lsntp alarms of steady-north", {"type": "do-nothing"}),
        ("the neighbours' watch of steady", {"type": "do-nothing"}),
    ):
        server.post("/automations/", {"name": name, "trigger": trigger, "actions": [action]})


@pytest.mark.usefixtures("deployed")
def test_every_kind_of_drift_is_found_and_mended(
    server: Server, domain: Domain, path: Path
) -> None:
    tamper(server)
    before = [seen(server, kind) for kind in ("deployments", "automations", "work_pools")]
    found = changed(check(domain, str(path), {}))
    assert [seen(server, k) for k in ("deployments", "automations", "work_pools")] == before

    differing = {
        name: [str(one) for one in change.differences]
        for name, change in found.items()
        if change.outcome is Outcome.UPDATED
    }
    assert differing["evaluate/steady"] == [f"schedules.0.cron: 1 2 3 4 * -> {RARELY}"]
    assert f"parameters.domain: elsewhere.yaml -> {path}" in differing["ingest/steady"]
    assert differing["forecast/steady"] == ["paused: True -> False"]
    assert differing["train/steady"] == ["concurrency limit: 7 -> 1"]
    assert differing["lsntp-steady-analysis"] == ["limit: 3 -> 1"]
    assert differing["cpu"] == ["paused: True -> False"]
    assert differing["train/steady on drift"] == ["enabled: False -> True"]
    assert {name for name, one in found.items() if one.outcome is Outcome.CREATED} == {
        "reconcile/steady",
        "lsntp-steady-report",
        CRASHED,
    }
    ids = {one["name"]: one["id"] for one in seen(server, "automations")}
    delete = "prefect automation delete --id"
    strays = {
        "former/steady": "prefect deployment delete former/steady",
        "train when it rains": f"{delete} {ids['train when it rains']}",
        "lsntp alarms of steady, old": f"{delete} {ids['lsntp alarms of steady, old']}",
        "nowcast/steady on rain": f"{delete} {ids['nowcast/steady on rain']}",
    }
    assert {n: one.why for n, one in found.items() if one.outcome is Outcome.STRAY} == strays

    assert changed(deploy(domain, str(path), {})) == found
    for command in strays.values():
        subprocess.run(
            [str(BIN / "prefect"), "--no-prompt", *command.split()[1:]],
            env=server.environment,
            check=True,
            capture_output=True,
        )
    assert changed(check(domain, str(path), {})) == {}


@pytest.mark.usefixtures("deployed")
def test_the_command_ends_a_check_with_code_14_where_something_differs(
    server: Server, path: Path
) -> None:
    def command(*arguments: str) -> tuple[int, str]:
        done = subprocess.run(
            [str(BIN / "lsntp"), "deploy", str(path), *arguments],
            env=server.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        return done.returncode, done.stdout

    code, said = command("--check")
    assert code == 0, said
    code, said = command("--check", "--train-on", "gpu")
    assert code == 14
    assert "work pool: cpu -> gpu" in said
    assert "nothing was changed" in said


def emit(server: Server, event: str, resource: str, related: Any = ()) -> None:
    body = {
        "occurred": datetime.now(UTC).isoformat(),
        "event": event,
        "resource": {"prefect.resource.id": resource},
        "related": list(related),
        "payload": {},
        "id": str(uuid.uuid4()),
    }
    server.post("/events", [body])  # type: ignore[arg-type]


@pytest.mark.usefixtures("deployed")
def test_an_event_starts_the_run_of_its_domain_and_drift_one_retraining_a_day(
    server: Server,
) -> None:
    known = [run["id"] for run in server.runs("forecast/steady")]
    emit(server, "lsntp.new-analysis", "lsntp.domain.other")
    emit(server, "lsntp.skill-drift", "lsntp.domain.steady")
    server.started_by_event("train/steady", ())
    emit(server, "lsntp.skill-drift", "lsntp.domain.steady")
    emit(server, "lsntp.new-analysis", "lsntp.domain.steady")
    run = server.started_by_event("forecast/steady", known)
    by_event = [one for one in server.runs("forecast/steady") if not one["auto_scheduled"]]
    assert [one["id"] for one in by_event if one["id"] not in known] == [run]
    assert len([one for one in server.runs("train/steady") if not one["auto_scheduled"]]) == 1


@pytest.mark.usefixtures("deployed")
def test_an_automation_waits_for_its_block_and_is_made_once_it_is_there(
    server: Server, domain: Domain, path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from flows.deployment import plan

    file = tmp_path / "automations.yaml"
    entry = """
  - name: night watch of {domain}
    trigger:
      type: event
      match: {prefect.resource.id: "lsntp.domain.{domain}"}
      expect: [lsntp.alarm.*]
    actions: [{type: call-webhook, block: webhook/night-watch}]
"""
    file.write_text(plan.AUTOMATIONS_FILE.read_text() + entry)
    monkeypatch.setattr(plan, "AUTOMATIONS_FILE", file)
    first = {one.name: one for one in deploy(domain, str(path), {})}
    waiting = first["night watch of steady"]
    assert (waiting.outcome, waiting.is_drift) == (Outcome.WAITING, False)
    assert "webhook/night-watch" in waiting.why

    from prefect.blocks.webhook import Webhook

    Webhook(url="http://127.0.0.1:9/canary-4711").save("night-watch", overwrite=True)
    (made,) = changed(deploy(domain, str(path), {})).values()
    assert made.outcome is Outcome.CREATED
    assert changed(check(domain, str(path), {})) == {}
    (there,) = (one for one in seen(server, "automations") if one["name"] == made.name)
    assert "canary" not in str(there)


@pytest.fixture(scope="module")
def worker(
    server: Server, deployed: list[Change], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Service]:
    server.forget_started_by_event("train/steady", "forecast/steady")
    with worker_of(server.environment, tmp_path_factory.mktemp("worker")) as worker:
        yield worker


@pytest.mark.usefixtures("worker")
def test_a_retraining_that_requires_a_gpu_never_falls_back(server: Server) -> None:
    torch = pytest.importorskip("torch")
    if torch.cuda.is_available():
        pytest.skip("there is a GPU here")
    run = server.trigger("train/steady", {"require_gpu": True, "models": ["persistence"]})
    state = server.finish(run)["state"]
    assert state["type"] == "FAILED"
    assert "Expected a GPU that torch can use, found none" in state["message"]
    assert "--param require_gpu=false" in state["message"]


@pytest.mark.usefixtures("worker")
def test_of_two_writers_of_one_domain_the_second_says_who_is_first_and_comes_after(
    server: Server, domain: Domain
) -> None:
    """The first stands for the worker of another server on which the domain is deployed as well."""
    with writer_lease(Workspace.of(domain).analysis):
        run = server.trigger("ingest/steady")

        def has_said_why() -> bool:
            return "Expected to be the only writer of" in server.log(run)

        wait_for(has_said_why, "the second writer to say why it waits")
        assert "found process" in server.log(run)
    server.complete(run)


@pytest.mark.usefixtures("worker")
def test_the_doctor_sees_the_worker_and_what_is_paused(server: Server) -> None:
    def health() -> dict[str, str]:
        return {one.name: f"{one.health} {one.found}" for one in check_scheduler("steady")}

    wait_for(lambda: health()["prefect workers"].startswith("ok"), "the worker to be seen")
    found = health()
    assert found["prefect ticks"].startswith("ok")
    assert found["prefect schedule"].startswith("ok 7 deployments of steady, 6 with a schedule")
    forecast = server.deployment("forecast/steady")["id"]
    server.request("PATCH", f"/deployments/{forecast}", {"paused": True})
    assert health()["prefect schedule"] == "warning paused: forecast/steady"
    server.request("PATCH", f"/deployments/{forecast}", {"paused": False})


@pytest.mark.usefixtures("deployed")
def test_a_clock_that_differs_from_the_servers_is_told(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    def look() -> tuple[str, str]:
        with temporary_settings({PREFECT_API_URL: str(server.api.base_url)}):
            (found,) = (one for one in check_scheduler("steady") if one.name == "prefect clock")
        return str(found.health), found.found

    assert look()[0] == "ok"
    monkeypatch.setattr(machine, "utc_now", lambda: utc_now() + np.timedelta64(10, "m"))
    health, found = look()
    assert health == "failed"
    assert re.search(r"(59|60)\d s ahead of it", found)


def test_a_slot_of_a_limit_that_nobody_made_is_refused(server: Server) -> None:
    address = {PREFECT_API_URL: str(server.api.base_url)}
    refused = pytest.raises(DeploymentError, match=r"lsntp-no-such to exist.*`lsntp deploy")
    with temporary_settings(address), refused, slots("lsntp-no-such"):
        pytest.fail("began without a limit")


@pytest.mark.slow
@pytest.mark.usefixtures("deployed")
def test_a_run_of_ours_whose_heartbeats_end_is_marked_crashed(server: Server) -> None:
    flow = server.post("/flows/", {"name": "dead"})["id"]

    def begun(tag: str) -> str:
        run = server.post("/flow_runs/", {"flow_id": flow, "tags": [tag]})["id"]
        server.post(f"/flow_runs/{run}/set_state", {"state": {"type": "RUNNING"}, "force": True})
        return str(run)

    def beats(run: str, tag: str) -> str:
        role = {"prefect.resource.role": "tag", "prefect.resource.id": f"prefect.tag.{tag}"}
        emit(server, "prefect.flow-run.heartbeat", f"prefect.flow-run.{run}", [role])
        return run

    theirs = beats(begun("theirs"), "theirs")
    suspended = beats(begun("lsntp"), "lsntp")
    at_rest = {"type": "PAUSED", "name": "Suspended"}
    server.post(f"/flow_runs/{suspended}/set_state", {"state": at_rest, "force": True})
    for run in (beats(begun("lsntp"), "lsntp"), begun("lsntp")):  # the second died too soon for one
        wait_for(lambda run=run: server.state(run)["type"] == "CRASHED", "the mark", 400)
        assert "No heartbeat" in server.state(run)["message"]
    assert server.state(theirs)["type"] == "RUNNING"
    assert server.state(suspended)["type"] == "PAUSED"


@pytest.mark.slow
@pytest.mark.usefixtures("deployed")
def test_a_run_of_ours_that_never_begins_is_marked_crashed(server: Server) -> None:
    """After 600 s; the test has not as much patience, and looks at a run that does begin, too."""
    (automation,) = (one for one in seen(server, "automations") if one["name"] == NEVER_BEGAN)
    assert automation["trigger"]["within"] == 600
    kept = server.hurry(automation, 15)
    try:
        flow = server.post("/flows/", {"name": "dead"})["id"]
        runs = []
        for _ in range(2):
            body = {"flow_id": flow, "tags": ["lsntp"], "state": {"type": "SCHEDULED"}}
            runs.append(server.post("/flow_runs/", body)["id"])
            pending = {"state": {"type": "PENDING", "name": "Pending"}, "force": True}
            server.post(f"/flow_runs/{runs[-1]}/set_state", pending)
        dead, begun = runs
        server.post(f"/flow_runs/{begun}/set_state", {"state": {"type": "RUNNING"}, "force": True})
        wait_for(lambda: server.state(dead)["type"] == "CRASHED", "the mark", 200)
        assert "never begun" in server.state(dead)["message"]
        assert "never begun" not in (server.state(begun)["message"] or "")
    finally:
        server.request("PUT", f"/automations/{automation['id']}", kept)


@pytest.mark.parametrize("command", ["deploy", "ingest", "doctor"])
def test_a_wrong_key_is_refused_once_and_told_without_it(
    guarded: Server, path: Path, command: str
) -> None:
    before = guarded.service.log.read_text().count(" 401 ")
    done = subprocess.run(
        [str(BIN / "lsntp"), command, str(path)],
        env=guarded.environment | {"PREFECT_API_AUTH_STRING": "admin:canary-4711"},
        capture_output=True,
        text=True,
        check=False,
    )
    said = done.stdout + done.stderr
    assert done.returncode == (1 if command == "doctor" else 13)
    assert "PREFECT_API_AUTH_STRING" in said
    log = guarded.service.log.read_text()
    assert log.count(" 401 ") - before == 1
    for text in (said, log):
        assert "canary" not in text


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that wants a key, and logs each request."""
    settings = {
        "PREFECT_SERVER_API_AUTH_STRING": "admin:right",
        "PREFECT_SERVER_LOGGING_LEVEL": "INFO",
    }
    folder = tmp_path_factory.mktemp("guarded")
    with prefect_server(folder, folder, **settings) as server:
        yield server
