"""Automations on a server: what it does by itself when an event comes, or fails to."""

import re
from abc import ABC, abstractmethod
from collections.abc import Container, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient
from prefect.events import DeploymentTriggerTypes, RunDeployment
from prefect.events.schemas.automations import Automation, AutomationCore
from prefect.exceptions import ObjectNotFound
from pydantic import TypeAdapter, ValidationError

from flows.deployment.change import Fields
from flows.deployment.deployments import TAG, PlannedDeployment
from lsntp.errors import DeploymentError

KIND = "automation"
BLOCK = "block"
"""The key of an action that names a block as ``type/name``; the server wants its id."""

_TRIGGER: TypeAdapter[DeploymentTriggerTypes] = TypeAdapter(DeploymentTriggerTypes)
_COMPARED = ("description", "enabled", "trigger", "actions")


@dataclass(frozen=True)
class _Named(ABC):
    """What automations have in common: they are found by their name.

    Attributes:
        spec: the entry of the file, the domain's name filled in.
    """

    spec: dict[str, Any]

    @property
    def kind(self) -> str:
        """What it is."""
        return KIND

    @property
    def name(self) -> str:
        """As in the file."""
        return str(self.spec["name"])

    @abstractmethod
    def core(self, client: SyncPrefectClient) -> AutomationCore:
        """The automation, with ids of this server.

        Raises:
            DeploymentError: if Prefect takes the entry for none.
        """

    def expected(self, client: SyncPrefectClient) -> Fields:
        """What decides when it acts, and how."""
        return _fields(self.core(client))

    def found(self, client: SyncPrefectClient) -> Fields | None:
        """As the server has it; None where it has none."""
        there = self._read(client)
        return _fields(there[0]) | _copies(there) if there else None

    def write(self, client: SyncPrefectClient) -> None:
        """Create or replace it; of several with its name one stays."""
        core = self.core(client)
        there = self._read(client)
        for superfluous in there[1:]:
            client.delete_automation(superfluous.id)
        if there:
            # Whose it is was decided when it was made: the server refuses to be told again.
            rest = core.model_dump(exclude={"owner_resource"})
            client.update_automation(there[0].id, AutomationCore.model_validate(rest))
        else:
            client.create_automation(core)

    def _read(self, client: SyncPrefectClient) -> list[Automation]:
        return client.read_automations_by_name(self.name)


@dataclass(frozen=True)
class Trigger(_Named):
    """A deployment that runs on an event, made as ``prefect deploy`` makes it.

    Attributes:
        deployment: what it runs.
    """

    deployment: PlannedDeployment

    def core(self, client: SyncPrefectClient) -> AutomationCore:
        """The automation, for the deployment as it is on the server now."""
        there = self.deployment.read(client)
        with _understood(self.name):
            trigger = _TRIGGER.validate_python(self.spec)
        trigger.set_deployment_id(there.id if there else UUID(int=0))
        return trigger.as_automation()


@dataclass(frozen=True)
class Standing(_Named):
    """An automation of infra/automations.yaml."""

    def core(self, client: SyncPrefectClient) -> AutomationCore:
        """The automation, the ids of its blocks filled in."""
        actions = [_with_block_id(client, action) for action in self.spec["actions"]]
        with _understood(self.name):
            return AutomationCore.model_validate({**self.spec, "actions": actions})

    def lacks(self, client: SyncPrefectClient) -> str | None:
        """The first block it names that is not on the server."""
        for action in self.spec["actions"]:
            if BLOCK in action and _block_id(client, action[BLOCK]) is None:
                return str(action[BLOCK])
        return None


def is_automation_of(automation: Automation, domain: str, deployments: Container[UUID]) -> bool:
    """Whether it runs one of a domain's deployments, or is called as ours of the domain are."""
    runs = (one.deployment_id for one in automation.actions if isinstance(one, RunDeployment))
    if any(one in deployments for one in runs):
        return True
    whose = re.escape(domain)
    standing, trigger = rf"{TAG} .+ of {whose}(?![\w-])", rf"[a-z-]+/{whose} on "
    return re.match(f"{standing}|{trigger}", automation.name) is not None


@contextmanager
def _understood(name: str) -> Iterator[None]:
    """Prefect's refusal of an entry, in one line."""
    try:
        yield
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise DeploymentError(
            f"Expected the entry {name!r} in infra/ to be an automation of Prefect, found at "
            f"{where}: {first['msg']}; correct it there."
        ) from error


def _fields(automation: AutomationCore) -> Fields:
    dumped = automation.model_dump(include=set(_COMPARED))
    return {key: _plain(value) for key, value in dumped.items()}


def _plain(value: Any) -> Any:
    """Sets in order and single names as lists of one: the server keeps neither apart."""
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, set | frozenset):
        return sorted(value)
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    return value


def _copies(there: list[Automation]) -> Fields:
    return {"copies": len(there)} if len(there) > 1 else {}


def _with_block_id(client: SyncPrefectClient, action: dict[str, Any]) -> dict[str, Any]:
    if BLOCK not in action:
        return action
    rest = {key: value for key, value in action.items() if key != BLOCK}
    return {**rest, "block_document_id": _block_id(client, action[BLOCK])}


def _block_id(client: SyncPrefectClient, reference: str) -> UUID | None:
    """The id of the block ``type/name``; its content, which is secret, is not asked for."""
    block_type, _, name = reference.partition("/")
    try:
        return client.read_block_document_by_name(name, block_type, include_secrets=False).id
    except ObjectNotFound:
        return None
