"""The compose file: what its schema asks for, and what no schema can see."""

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.infra.command_lines import PROGRAMS, parse
from tests.infra.files import (
    INFRA,
    POOLS,
    PROJECT,
    complaints,
    deployed_pools,
    from_files,
    lease_storage,
    read,
    tool,
    unknown_variables,
)

COMPOSE = read("compose.yaml")
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = {name: one for name, one in SERVICES.items() if one["image"].startswith("lsntp:")}
ONCE = {"deploy", "bucket"}
CONFIGURATION = Path(__file__).parent / "yamllint.yaml"

each_service = pytest.mark.parametrize("name", SERVICES)
each_of_ours = pytest.mark.parametrize("name", OURS)


def pools() -> dict[str, str]:
    """The pool of each service that is a worker."""
    workers = {name: one for name, one in OURS.items() if one["command"][1] == "worker"}
    return {
        name: parse(one["command"])["work_pool_name"]
        for name, one in workers.items()
        if one["command"][0] == "prefect"
    }


def test_it_is_what_the_schema_of_compose_allows() -> None:
    checker = (tool("check-jsonschema"), "--builtin-schema", "vendor.compose-spec")
    assert complaints(*checker, INFRA / "compose.yaml") == ""


def test_every_yaml_file_is_tidy() -> None:
    assert complaints(tool("yamllint"), "--config-file", CONFIGURATION, INFRA) == ""


@each_service
def test_no_container_may_more_than_it_needs(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"]
    assert service["cap_drop"] == ["ALL"]
    assert "no-new-privileges:true" in service["security_opt"]
    assert "/tmp" in service["tmpfs"]
    assert not {"privileged", "cap_add", "network_mode", "pid"} & set(service)


@each_service
def test_images_are_built_here_or_of_one_version(name: str) -> None:
    service = SERVICES[name]
    if "build" in service:
        build = service["build"]
        assert (INFRA / build["context"] / build["dockerfile"]).is_file()
        assert service["image"] == f"lsntp:{build['args']['VARIANT']}"
    else:
        assert re.search(r":\S*\d+[.-]\d+", service["image"])


@each_service
def test_only_loopback_is_published(name: str) -> None:
    assert all(port.startswith("127.0.0.1:") for port in SERVICES[name].get("ports", []))


@each_of_ours
def test_every_command_is_one_that_its_program_takes(name: str) -> None:
    command = [re.sub(r"\$\{\w+:-(\S+)\}", r"\1", word) for word in OURS[name]["command"]]
    if command[0] in PROGRAMS:
        assert parse(command)
    else:
        assert command[:2] == ["python", "-c"]
        compile(command[2], name, "exec")


@each_of_ours
def test_every_variable_is_read_by_somebody(name: str) -> None:
    names = set(OURS[name].get("environment", {}))
    files = {one.removesuffix("_FILE") for one in names if one.endswith("_FILE")} & from_files()
    assert unknown_variables(names - {f"{one}_FILE" for one in files}) == set()


@each_service
def test_secrets_come_from_files_that_are_mounted(name: str) -> None:
    service = SERVICES[name]
    for variable, value in service.get("environment", {}).items():
        if variable.endswith("_FILE"):
            assert value.removeprefix("/run/secrets/") in service["secrets"]
    assert set(service.get("secrets", [])) <= set(COMPOSE["secrets"])


def test_the_files_of_secrets_are_never_committed() -> None:
    files = [INFRA / one["file"] for one in COMPOSE["secrets"].values()]
    files += [INFRA / ".env", INFRA / "domains" / "my.yaml"]
    asked = ["git", "check-ignore", *(str(file.resolve()) for file in files)]
    done = subprocess.run(asked, capture_output=True, text=True, check=False, cwd=PROJECT)
    assert len(done.stdout.splitlines()) == len(files)


def test_there_is_a_worker_for_every_pool() -> None:
    assert set(pools().values()) == POOLS
    assert deployed_pools() <= POOLS


def test_a_gpu_worker_starts_only_where_it_is_asked_for_and_reserves_the_devices() -> None:
    (name,) = (name for name, pool in pools().items() if pool == "gpu")
    service = SERVICES[name]
    assert service["profiles"] == ["gpu"]
    assert service["image"] == "lsntp:cuda"
    (device,) = service["deploy"]["resources"]["reservations"]["devices"]
    assert device["capabilities"] == ["gpu"]


def test_whoever_runs_on_has_a_health_check() -> None:
    for name, service in SERVICES.items():
        is_worker = name in pools()  # the image's own check is theirs
        assert is_worker or ("test" in service["healthcheck"]) == (name not in ONCE)


def test_workers_begin_when_pools_and_deployments_are_there() -> None:
    for name in pools():
        assert SERVICES[name]["depends_on"]["deploy"] == {
            "condition": "service_completed_successfully"
        }


def test_the_server_is_where_everybody_looks_for_it() -> None:
    server = SERVICES["prefect-server"]
    port = parse(server["command"])["port"]
    for name, one in OURS.items():
        url = one.get("environment", {}).get("PREFECT_API_URL")
        assert url in (None, f"http://prefect-server:{port}/api"), name
    assert server["ports"] == [f"127.0.0.1:{port}:{port}"]
    assert f"127.0.0.1:{port}/api/health" in server["healthcheck"]["test"][-1]


def test_the_server_keeps_leases_and_data_over_a_restart() -> None:
    server = SERVICES["prefect-server"]
    assert server["environment"]["PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE"] == lease_storage()
    assert "server:/var/lib/lsntp" in server["volumes"]
    database = SERVICES["database"]["environment"]
    told = {
        name: server["environment"][f"PREFECT_SERVER_DATABASE_{name}"] for name in ("NAME", "USER")
    }
    assert told == {"NAME": database["POSTGRES_DB"], "USER": database["POSTGRES_USER"]}
    assert server["environment"]["PREFECT_SERVER_DATABASE_HOST"] in SERVICES


def test_dask_workers_look_for_the_scheduler_where_it_is_and_nobody_from_outside_can() -> None:
    scheduler = parse(SERVICES["dask-scheduler"]["command"])
    worker = parse(SERVICES["dask-worker"]["command"])
    assert worker["scheduler"] == f"tcp://dask-scheduler:{scheduler['port']}"
    assert SERVICES["dask-scheduler"]["networks"] == ["inside"]
    assert COMPOSE["networks"]["inside"] == {"internal": True}


def test_archives_are_on_the_volume_that_every_worker_mounts() -> None:
    for name in pools():
        root = SERVICES[name]["environment"]["LSNTP_ROOT"]
        assert root == "${LSNTP_ROOT:-/archives}"
        assert "archives:/archives" in SERVICES[name]["volumes"]


def test_profiles_named_in_its_head_exist() -> None:
    text = (INFRA / "compose.yaml").read_text("utf-8")
    used = {profile for one in SERVICES.values() for profile in one.get("profiles", [])}
    assert set(re.findall(r"--profile (\w+)", text)) == used
