"""Deployments on a server."""

from dataclasses import dataclass
from typing import Any

from prefect import Flow
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.actions import DeploymentScheduleCreate
from prefect.client.schemas.objects import ConcurrencyLimitStrategy, ConcurrencyOptions
from prefect.client.schemas.responses import DeploymentResponse
from prefect.client.schemas.schedules import CronSchedule
from prefect.exceptions import ObjectNotFound
from prefect.utilities.callables import parameter_schema

from flows.deployment.change import Fields

UTC = "UTC"
TAG = "lsntp"
"""Of every deployment and its runs."""


@dataclass(frozen=True)
class PlannedDeployment:
    """One flow of a domain, as infra/prefect.yaml and the domain say.

    Attributes:
        flow: what runs.
        domain: whose; the name of the deployment.
        entry: of infra/prefect.yaml.
        cron: its schedule (UTC); None for one that runs by hand or on an event only.
        parameters: of every run.
        pool: of ``definitions.pools``: its name and job variables.
        project: the folder that holds the flows.
    """

    flow: Flow[..., Any]
    domain: str
    entry: dict[str, Any]
    cron: str | None
    parameters: dict[str, Any]
    pool: dict[str, Any]
    project: str
    kind: str = "deployment"

    @property
    def name(self) -> str:
        """``<flow>/<domain>``."""
        return f"{self.flow.name}/{self.domain}"

    def expected(self, _: SyncPrefectClient) -> Fields:
        """What decides how its runs go."""
        limit = self.entry["concurrency_limit"]
        schedules = [{"cron": self.cron, "timezone": UTC, "active": True}] if self.cron else []
        return {
            "description": self.entry["description"],
            "tags": ", ".join(sorted(self.tags)),
            "paused": False,
            "schedules": schedules,
            "concurrency limit": limit["limit"],
            "collision strategy": limit["collision_strategy"],
            "parameters": self.parameters,
            "parameter schema": _parameter_schema(self.flow),
            "schema is enforced": True,
            "work pool": self.pool["name"],
            "job variables": self.pool.get("job_variables", {}),
            "entrypoint": self.entry["entrypoint"],
            "pull steps": self._pull_steps,
        }

    def found(self, client: SyncPrefectClient) -> Fields | None:
        """As the server has it; None where it has none."""
        there = self.read(client)
        if there is None:
            return None
        limit, options = there.global_concurrency_limit, there.concurrency_options
        return {
            "description": there.description,
            "tags": ", ".join(sorted(there.tags)),
            "paused": there.paused,
            "schedules": [
                {**_schedule(one.schedule), "active": one.active} for one in there.schedules
            ],
            "concurrency limit": limit.limit if limit else None,
            "collision strategy": options.collision_strategy.value if options else None,
            "parameters": there.parameters,
            "parameter schema": there.parameter_openapi_schema,
            "schema is enforced": there.enforce_parameter_schema,
            "work pool": there.work_pool_name,
            "job variables": there.job_variables,
            "entrypoint": there.entrypoint,
            "pull steps": there.pull_steps,
        }

    def write(self, client: SyncPrefectClient) -> None:
        """Create or replace it; Prefect makes its runs to come anew."""
        fields = self.expected(client)
        client.create_deployment(
            flow_id=client.create_flow_from_name(self.flow.name),
            name=self.domain,
            description=fields["description"],
            tags=self.tags,
            paused=False,
            schedules=[
                DeploymentScheduleCreate(
                    schedule=CronSchedule(cron=one["cron"], timezone=UTC),
                    slug=f"{self.flow.name}-{self.domain}",
                )
                for one in fields["schedules"]
            ],
            concurrency_limit=fields["concurrency limit"],
            concurrency_options=ConcurrencyOptions(
                collision_strategy=ConcurrencyLimitStrategy(fields["collision strategy"])
            ),
            parameters=fields["parameters"],
            work_pool_name=fields["work pool"],
            entrypoint=fields["entrypoint"],
            pull_steps=fields["pull steps"],
            parameter_openapi_schema=fields["parameter schema"],
            enforce_parameter_schema=True,
            job_variables=fields["job variables"],
        )

    def read(self, client: SyncPrefectClient) -> DeploymentResponse | None:
        """The deployment of this name on the server."""
        try:
            return client.read_deployment_by_name(self.name)
        except ObjectNotFound:
            return None

    @property
    def tags(self) -> list[str]:
        """Of the deployment and of each of its runs: ours, and whose."""
        return [TAG, self.domain]

    @property
    def _pull_steps(self) -> list[dict[str, Any]]:
        step = "prefect.deployments.steps.set_working_directory"
        return [{step: {"directory": self.project}}]


def _schedule(schedule: object) -> Fields:
    """A cron line and its zone, or whatever else somebody gave it."""
    if isinstance(schedule, CronSchedule):
        return {"cron": schedule.cron, "timezone": schedule.timezone}
    return {"cron": None, "timezone": None, "other": str(schedule)}


def _parameter_schema(flow: Flow[..., Any]) -> dict[str, Any]:
    """What a run may be given; a misspelt parameter is refused when the run is created."""
    return {**parameter_schema(flow).model_dump_for_openapi(), "additionalProperties": False}
