"""A domain on a real server: what is deployed, when it ticks, what the doctor says of it."""

import json
import subprocess
from pathlib import Path

import httpx
import pytest

from tests.integration.services import (
    BIN,
    PROJECT,
    Server,
    far_off,
    made_domain,
    run_lsntp,
    wait_for,
)


@pytest.fixture(scope="module")
def domain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("domain") / "tiny.yaml"
    path.write_text(made_domain("tiny", ingest=far_off()))
    return path


def lsntp_deploy(server: Server, domain: Path) -> str:
    return run_lsntp(server, "deploy", domain.name, "--set=ridge_penalty=2", cwd=domain.parent)


@pytest.fixture(scope="module")
def deployed(server: Server, domain: Path) -> str:
    return lsntp_deploy(server, domain)


def test_deploying_creates_what_is_missing_and_a_second_time_nothing(
    server: Server, deployed: str, domain: Path
) -> None:
    flows = ("ingest", "reconcile", "backfill", "forecast", "evaluate", "train")
    for name in (*(f"{flow}/tiny" for flow in flows), "cpu"):
        assert name in deployed
    assert not [line for line in deployed.splitlines() if "tiny" in line and "unchanged" in line]
    again = lsntp_deploy(server, domain)
    assert "unchanged" in again
    assert "created" not in again
    limits = server.post("/v2/concurrency_limits/filter", {})
    assert {limit["limit"] for limit in limits} == {1}
    assert "lsntp-source-synthetic" in {limit["name"] for limit in limits}


@pytest.mark.usefixtures("deployed")
def test_the_scheduler_creates_runs_at_the_domains_own_minutes(server: Server) -> None:
    deployment = server.deployment("ingest/tiny")["id"]
    body = {
        "deployments": {"id": {"any_": [deployment]}},
        "flow_runs": {"state": {"type": {"any_": ["SCHEDULED"]}}},
    }
    runs = wait_for(lambda: server.post("/flow_runs/filter", body), "a scheduled run", 60)
    assert all(run["auto_scheduled"] for run in runs)
    assert {run["expected_start_time"][14:16] for run in runs} == {"07"}
    # A late tick is dropped, for the next one does its work; what a person starts waits.
    for flow, strategy in (("ingest", "CANCEL_NEW"), ("backfill", "ENQUEUE")):
        options = server.deployment(f"{flow}/tiny")["concurrency_options"]
        assert options["collision_strategy"] == strategy
    assert server.deployment("backfill/tiny")["schedules"] == []


@pytest.mark.usefixtures("deployed")
def test_a_deployment_carries_all_that_its_runs_need_elsewhere(
    server: Server, domain: Path
) -> None:
    train = server.deployment("train/tiny")
    assert train["parameters"] == {
        "domain": str(domain),
        "require_gpu": False,
        "overrides": {"ridge_penalty": 2, "root": server.environment["LSNTP_ROOT"]},
    }
    assert train["job_variables"]["env"]["OMP_WAIT_POLICY"] == "PASSIVE"
    assert train["global_concurrency_limit"]["limit"] == 1
    path = f"/deployments/{train['id']}/create_flow_run"
    for misspelt in ({"modls": ["ridge"]}, {"models": "ridge"}):
        reply = server.api.post(path, json={"parameters": misspelt})
        assert reply.status_code == httpx.codes.CONFLICT, reply.text


@pytest.mark.usefixtures("deployed")
def test_prefects_own_command_deploys_the_file_as_written(server: Server) -> None:
    server.post("/work_pools/", {"name": "gpu", "type": "process"})
    command = ("deploy", "--all", "--prefect-file", "infra/prefect.yaml")
    done = subprocess.run(
        [str(BIN / "prefect"), "--no-prompt", *command],
        env=server.environment | {"PWD": str(PROJECT)},
        cwd=PROJECT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    domains = {"demo", "era5-hourly", "gfs-6hourly", "ncep-6hourly"}
    deployed = [one for one in server.post("/deployments/filter", {}) if one["name"] in domains]
    # Their ticks would take the source's slot from the runs of the next test.
    for one in deployed:
        server.request("DELETE", f"/deployments/{one['id']}")
    assert len(deployed) == 7 * len(domains)
    for one in deployed:
        assert one["parameters"]["domain"] == one["name"]
        assert one["tags"] == ["lsntp", one["name"]]
        assert one["job_variables"]["env"]["OMP_WAIT_POLICY"] == "PASSIVE"
        (step,) = one["pull_steps"]
        assert list(step.values()) == [{"directory": str(PROJECT)}]
    assert {one["name"] for one in deployed if one["work_pool_name"] == "gpu"} == domains - {"demo"}
    events = server.post("/automations/filter", {})
    for one in sorted(domains):
        for name in (
            f"forecast/{one} on new analyses",
            f"evaluate/{one} on new forecasts",
            f"train/{one} on drift",
        ):
            assert name in {automation["name"] for automation in events}


@pytest.mark.usefixtures("deployed")
def test_the_doctor_finds_runs_to_come_and_a_domain_without_deployments(
    server: Server, domain: Path
) -> None:
    def doctor(*arguments: str) -> dict[str, dict[str, str]]:
        done = subprocess.run(
            [str(BIN / "lsntp"), "doctor", *arguments, "--json"],
            env=server.environment,
            cwd=domain.parent,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.stdout, done.stderr
        return {check["name"]: check for check in json.loads(done.stdout)["checks"]}

    def has_runs() -> bool:
        return doctor(domain.name)["prefect schedule"]["health"] == "ok"

    wait_for(has_runs, "a run to come", 120)
    sound = doctor(domain.name)
    assert sound["prefect api"]["health"] == "ok"
    # The others tick in half a year.
    assert (
        "nothing soon of evaluate/tiny, forecast/tiny, reconcile/tiny, train/tiny, watch/tiny"
        in (sound["prefect schedule"]["found"])
    )
    other = doctor(domain.name, "--set=domain=other")["prefect schedule"]
    assert other["health"] == "failed"
    assert "lsntp deploy other" in other["remedy"]
