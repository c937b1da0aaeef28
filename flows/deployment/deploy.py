"""Create, correct and compare what a domain has on a Prefect server."""

from collections.abc import Iterator
from typing import Any

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import DeploymentFilter, DeploymentFilterTags

from flows.connection import connected, every, is_embedded
from flows.deployment.automations import KIND, Standing, is_automation_of
from flows.deployment.change import Change, Outcome, Thing, differences
from flows.deployment.deployments import TAG
from flows.deployment.plan import Plan, plan_for
from lsntp.config import Domain
from lsntp.errors import DeploymentError


def deploy(domain: Domain, reference: str, overrides: dict[str, Any]) -> list[Change]:
    """Make the server as the files say; a thing that is so already is left alone.

    Every deployment of ``infra/prefect.yaml`` becomes ``<flow>/<domain>``, with the domain's own
    cron lines and its absolute archive root; the automations come from its ``triggers`` and from
    ``infra/automations.yaml``.

    Args:
        domain: the resolved configuration.
        reference: the preset name or YAML path that workers load.
        overrides: the dotted keys with which ``domain`` was resolved from it.

    Raises:
        CredentialsError: if the server refuses us.
        DeploymentError: if the server cannot be reached or is only an embedded one, or an entry
            of a file cannot be used.
    """
    return _go_through(domain, reference, overrides, write=True)


def check(domain: Domain, reference: str, overrides: dict[str, Any]) -> list[Change]:
    """What :func:`deploy` would do, and what is on the server that no file has; changes nothing.

    Arguments and errors are those of :func:`deploy`.
    """
    return _go_through(domain, reference, overrides, write=False)


def _go_through(
    domain: Domain, reference: str, overrides: dict[str, Any], *, write: bool
) -> list[Change]:
    if is_embedded():
        raise DeploymentError(
            "Expected PREFECT_API_URL to name a running Prefect server, found none; start one with "
            "`prefect server start` and `prefect config set "
            "PREFECT_API_URL=http://127.0.0.1:4200/api`."
        )
    plan = plan_for(domain, reference, overrides)
    with connected() as client:
        changes = [_treat(client, thing, write=write) for thing in plan.things]
        return changes + list(_strays(client, plan, domain.domain))


def _treat(client: SyncPrefectClient, thing: Thing, *, write: bool) -> Change:
    """Compare one thing, and make it as expected if asked to."""
    if isinstance(thing, Standing) and (block := thing.lacks(client)):
        why = f"for the block {block}, which is not on the server; create it and deploy again"
        return Change(thing.kind, thing.name, Outcome.WAITING, why=why)
    found = thing.found(client)
    if found is not None:
        differing = differences(found, thing.expected(client))
        if not differing:
            return Change(thing.kind, thing.name, Outcome.UNCHANGED)
    if write:
        thing.write(client)
    if found is None:
        return Change(thing.kind, thing.name, Outcome.CREATED)
    return Change(thing.kind, thing.name, Outcome.UPDATED, differing)


def _strays(client: SyncPrefectClient, plan: Plan, domain: str) -> Iterator[Change]:
    """Deployments of the domain, and automations that run them, that no file has any more."""
    planned = {thing.name for thing in plan.things}
    tagged = DeploymentFilter(tags=DeploymentFilterTags(all_=[TAG, domain]))
    ids = set()
    for there in every(client.read_deployments, deployment_filter=tagged):
        if there.name != domain:  # one of a domain that is called as our tag
            continue
        ids.add(there.id)
        name = f"{client.read_flow(there.flow_id).name}/{there.name}"
        if name not in planned:
            why = f"prefect deployment delete {name}"
            yield Change("deployment", name, Outcome.STRAY, why=why)
    for one in every(client.read_automations):
        if one.name not in planned and is_automation_of(one, domain, ids):
            why = f"prefect automation delete --id {one.id}"
            yield Change(KIND, one.name, Outcome.STRAY, why=why)
