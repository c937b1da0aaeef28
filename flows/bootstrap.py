"""What must exist on a Prefect server before a domain's flows run there, created idempotently."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import httpx
import yaml
from prefect import Flow
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import DeploymentScheduleCreate, WorkPoolCreate
from prefect.client.schemas.objects import ConcurrencyLimitStrategy, ConcurrencyOptions
from prefect.client.schemas.schedules import CronSchedule
from prefect.exceptions import ObjectNotFound
from prefect.settings import PREFECT_API_URL, PREFECT_HOME
from prefect.utilities.callables import parameter_schema
from prefect.workers.process import ProcessWorker

from flows.runtime import require_room
from lsntp.config import Domain, FilesSource, preset_names
from lsntp.errors import DeploymentError
from lsntp.workspace import Workspace
from tasks.slots import slot_names

PROJECT = Path(__file__).resolve().parents[1]
PREFECT_FILE = PROJECT / "infra" / "prefect.yaml"


@dataclass(frozen=True)
class Change:
    """One thing that exists now, and whether it did before."""

    kind: str
    name: str
    created: bool


def ensure_limits(domain: Domain) -> list[Change]:
    """Create the domain's global concurrency limits, one slot each; existing ones stay.

    Raises:
        DeploymentError: if the server cannot be reached.
        StorageError: if an embedded server's database cannot be written.
    """
    if _is_embedded():
        from flows.embedded import EmbeddedServer

        require_room(PREFECT_HOME.value())
        EmbeddedServer()
    with _connected() as client:
        return [_ensure_limit(client, name) for name in slot_names(domain)]


def deploy(domain: Domain, reference: str, overrides: dict[str, Any]) -> list[Change]:
    """Create or update work pools, limits and deployments of a domain.

    Every deployment of ``infra/prefect.yaml`` becomes ``<flow>/<domain>``, with the domain's own
    cron lines and its absolute archive root.

    Args:
        domain: the resolved configuration.
        reference: the preset name or YAML path that workers load.
        overrides: the dotted keys with which ``domain`` was resolved from it.

    Raises:
        DeploymentError: if the server cannot be reached or is only an embedded one.
    """
    if not PREFECT_API_URL.value():
        raise DeploymentError(
            "Expected PREFECT_API_URL to name a running Prefect server, found none; start one with "
            "`prefect server start` and `prefect config set "
            "PREFECT_API_URL=http://127.0.0.1:4200/api`."
        )
    plan = yaml.safe_load(PREFECT_FILE.read_text("utf-8"))
    with _connected() as client:
        changes = [_ensure_limit(client, name) for name in slot_names(domain)]
        pools = sorted({entry["work_pool"]["name"] for entry in plan["deployments"]})
        changes += [_ensure_pool(client, pool) for pool in pools]
        source = {"domain": reference, "overrides": _anywhere(domain, reference, overrides)}
        changes += [_deploy(client, entry, domain, source) for entry in plan["deployments"]]
    return changes


def _is_embedded() -> bool:
    """Whether no server is chosen, so that Prefect starts one for this process."""
    return not PREFECT_API_URL.value()


@contextmanager
def _connected() -> Iterator[SyncPrefectClient]:
    """A client whose server answers."""
    try:
        with get_client(sync_client=True) as client:
            client.hello().raise_for_status()
            yield client
    except (httpx.HTTPError, RuntimeError) as error:
        if _is_embedded():
            require_room(PREFECT_HOME.value())
        raise DeploymentError(
            f"Expected a Prefect server at {PREFECT_API_URL.value() or 'the embedded address'}, "
            f"found none that answers ({error}); start it or correct PREFECT_API_URL."
        ) from error


def _ensure_limit(client: SyncPrefectClient, name: str) -> Change:
    try:
        client.read_global_concurrency_limit_by_name(name)
    except ObjectNotFound:
        client.upsert_global_concurrency_limit_by_name(name, 1)
        return Change("limit", name, created=True)
    return Change("limit", name, created=False)


def _ensure_pool(client: SyncPrefectClient, name: str) -> Change:
    try:
        client.read_work_pool(name)
    except ObjectNotFound:
        template = ProcessWorker.get_default_base_job_template()
        client.create_work_pool(
            WorkPoolCreate(name=name, type=ProcessWorker.type, base_job_template=template)
        )
        return Change("work pool", name, created=True)
    return Change("work pool", name, created=False)


def _deploy(
    client: SyncPrefectClient, entry: dict[str, Any], domain: Domain, source: dict[str, Any]
) -> Change:
    """Create or update one deployment; Prefect replaces an existing one of the same name."""
    flow = _load_flow(entry["entrypoint"])
    full_name = f"{flow.name}/{domain.domain}"
    try:
        client.read_deployment_by_name(full_name)
        created = False
    except ObjectNotFound:
        created = True
    limit = entry["concurrency_limit"]
    client.create_deployment(
        flow_id=client.create_flow_from_name(flow.name),
        name=domain.domain,
        description=entry["description"],
        tags=[*entry["tags"], domain.domain],
        schedules=_schedules(flow.name, entry, domain),
        concurrency_limit=limit["limit"],
        concurrency_options=ConcurrencyOptions(
            collision_strategy=ConcurrencyLimitStrategy(limit["collision_strategy"])
        ),
        parameters={**entry["parameters"], **source},
        work_pool_name=entry["work_pool"]["name"],
        entrypoint=entry["entrypoint"],
        path=str(PROJECT),
        pull_steps=[
            {"prefect.deployments.steps.set_working_directory": {"directory": str(PROJECT)}}
        ],
        parameter_openapi_schema=_parameter_schema(flow),
        enforce_parameter_schema=True,
        job_variables=entry["work_pool"].get("job_variables", {}),
    )
    return Change("deployment", full_name, created=created)


def _anywhere(domain: Domain, reference: str, overrides: dict[str, Any]) -> dict[str, Any]:
    """The overrides with absolute paths: a worker has another folder and other variables."""
    fixed = {**overrides, "root": str(Workspace.of(domain).root)}
    if isinstance(domain.source, FilesSource) and (overrides or reference in preset_names()):
        fixed["source.paths"] = list(domain.source.paths)
    return fixed


def _load_flow(entrypoint: str) -> Flow[..., Any]:
    """The flow object behind ``flows/ingest.py:ingest``."""
    match = re.fullmatch(r"(flows)/([a-z_]+)\.py:([a-z_]+)", entrypoint)
    if match is None:
        raise DeploymentError(
            f"Expected an entrypoint such as flows/ingest.py:ingest in {PREFECT_FILE.name}, "
            f"found {entrypoint!r}."
        )
    package, module, name = match.groups()
    flow = getattr(import_module(f"{package}.{module}"), name)
    if not isinstance(flow, Flow):
        raise DeploymentError(f"Expected {entrypoint} to be a flow, found {type(flow).__name__}.")
    return flow


def _schedules(
    flow_name: str, entry: dict[str, Any], domain: Domain
) -> list[DeploymentScheduleCreate]:
    """The domain's cron line for each schedule the file gives the flow (none: by hand)."""
    cron_lines = domain.schedule.model_dump()
    return [
        DeploymentScheduleCreate(
            schedule=CronSchedule(cron=cron_lines[flow_name], timezone="UTC"),
            slug=f"{flow_name}-{domain.domain}",
        )
        for _ in entry.get("schedules", [])
    ]


def _parameter_schema(flow: Flow[..., Any]) -> dict[str, Any]:
    """What a run may be given; a misspelt parameter is refused when the run is created."""
    return {**parameter_schema(flow).model_dump_for_openapi(), "additionalProperties": False}
