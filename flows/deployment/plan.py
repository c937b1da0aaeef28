"""From infra/*.yaml and a domain to what the domain has on a server."""

import os
import re
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import yaml
from prefect import Flow

from flows.deployment.automations import Standing, Trigger
from flows.deployment.change import Thing
from flows.deployment.deployments import PlannedDeployment
from flows.deployment.limits import Limit, Pool
from lsntp.config import Domain, FilesSource, StaticFiles, preset_names
from lsntp.config.domain import WORK_VARIABLE
from lsntp.errors import DeploymentError
from lsntp.workspace import Workspace
from tasks.slots import slot_names

PROJECT = Path(__file__).resolve().parents[2]
PREFECT_FILE = PROJECT / "infra" / "prefect.yaml"
AUTOMATIONS_FILE = PROJECT / "infra" / "automations.yaml"
TEMPLATE = "demo"
"""Whose entries of infra/prefect.yaml every domain gets, with its own name and cron lines."""
DOMAIN_FIELD = "{domain}"
POOL_KEY = "retrain.pool"


@dataclass(frozen=True)
class Plan:
    """What a domain has on a server, in the order in which it must be created.

    Heartbeats come to nothing for a run that began before their automation, so the standing
    automations precede the deployments, which schedule runs.
    """

    limits: tuple[Limit, ...]
    pools: tuple[Pool, ...]
    standing: tuple[Standing, ...]
    deployments: tuple[PlannedDeployment, ...]
    triggers: tuple[Trigger, ...]

    @property
    def things(self) -> tuple[Thing, ...]:
        """All of it."""
        return (
            *self.limits,
            *self.pools,
            *self.standing,
            *self.deployments,
            *self.triggers,
        )


def plan_for(domain: Domain, reference: str, overrides: dict[str, Any]) -> Plan:
    """What the files say for a domain.

    Args:
        domain: the resolved configuration.
        reference: the preset name or YAML path that workers load.
        overrides: the dotted keys with which ``domain`` was resolved from it.

    Raises:
        DeploymentError: if an entry of a file cannot be used.
    """
    content = _read(PREFECT_FILE)
    entries = [entry for entry in content["deployments"] if entry["name"] == TEMPLATE]
    pools = content["definitions"]["pools"]
    source = {"domain": reference, "overrides": _anywhere(domain, reference, overrides)}
    deployments = tuple(_deployment(entry, domain, source, pools) for entry in entries)
    triggers = tuple(
        Trigger(_named(spec, domain.domain), one)
        for one in deployments
        for spec in one.entry.get("triggers", [])
    )
    return Plan(
        limits=tuple(Limit(name) for name in slot_names(domain)),
        pools=tuple(Pool(name) for name in sorted({one.pool["name"] for one in deployments})),
        standing=tuple(
            Standing(_filled(spec, domain.domain))
            for spec in _read(AUTOMATIONS_FILE)["automations"]
        ),
        deployments=deployments,
        triggers=triggers,
    )


def _read(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load(path.read_text("utf-8"))
    return content


def _deployment(
    entry: dict[str, Any], domain: Domain, source: dict[str, Any], pools: dict[str, Any]
) -> PlannedDeployment:
    flow = _load_flow(entry["entrypoint"])
    parameters = {**entry["parameters"], **source}
    name = entry["work_pool"]["name"]
    if "require_gpu" in parameters:
        name = domain.retrain.pool
        parameters["require_gpu"] = name == "gpu"
    if name not in pools:
        raise DeploymentError(
            f"Expected a work pool of definitions.pools in {PREFECT_FILE.name} "
            f"({', '.join(pools)}) for {flow.name}/{domain.domain}, found {name!r}."
        )
    cron_lines = domain.schedule.model_dump()
    return PlannedDeployment(
        flow=flow,
        domain=domain.domain,
        entry=entry,
        cron=cron_lines[flow.name] if entry.get("schedules") else None,
        parameters=parameters,
        pool=pools[name],
        project=str(PROJECT),
    )


def _anywhere(domain: Domain, reference: str, overrides: dict[str, Any]) -> dict[str, Any]:
    """The overrides with absolute paths: a worker has another folder and other variables.

    Without the pool of retraining, which decides nothing in a run.
    """
    fixed = {key: value for key, value in overrides.items() if key != POOL_KEY}
    fixed["root"] = str(Workspace.of(domain).root)
    if (work := _relative_work(domain, overrides)) is not None:
        fixed["work"] = str(work.resolve())
    if overrides or reference in preset_names():
        if isinstance(domain.source, FilesSource):
            fixed["source.paths"] = list(domain.source.paths)
        if isinstance(domain.static, StaticFiles):
            fixed["static.paths"] = list(domain.static.paths)
        if domain.alarms.webhook_file is not None:
            fixed["alarms.webhook_file"] = domain.alarms.webhook_file
    return fixed


def _relative_work(domain: Domain, overrides: dict[str, Any]) -> Path | None:
    """The work folder if it starts at the present one; None where a machine chooses its own."""
    is_of_this_machine = "work" not in overrides and os.environ.get(WORK_VARIABLE)
    if not domain.work or is_of_this_machine:
        return None
    work = Path(domain.work).expanduser()
    return None if work.is_absolute() else work


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


def _named(value: Any, domain: str) -> Any:
    """The template's name, as a word, replaced by the domain's in every text."""
    return _mapped(value, lambda text: re.sub(rf"\b{TEMPLATE}\b", domain, text))


def _filled(value: Any, domain: str) -> Any:
    """``{domain}`` in every text filled in."""
    return _mapped(value, lambda text: text.replace(DOMAIN_FIELD, domain))


def _mapped(value: Any, change: Any) -> Any:
    if isinstance(value, str):
        return change(value)
    if isinstance(value, dict):
        return {key: _mapped(inner, change) for key, inner in value.items()}
    if isinstance(value, list):
        return [_mapped(inner, change) for inner in value]
    return value
