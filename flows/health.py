"""Does the scheduler schedule? A healthy API alone does not say so."""

from datetime import UTC, datetime
from uuid import UUID

import httpx
from prefect import __version__
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import (
    DeploymentFilter,
    DeploymentFilterId,
    DeploymentFilterTags,
    FlowRunFilter,
    FlowRunFilterExpectedStartTime,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import StateType
from prefect.client.schemas.responses import DeploymentResponse
from prefect.settings import PREFECT_API_URL

from lsntp.doctor.check import Check, failed, passed, skipped
from lsntp.secrets import shown

TAG = "lsntp"
"""Of every deployment; see infra/prefect.yaml."""


def check_scheduler(domain: str | None) -> list[Check]:
    """Whether the Prefect server answers, is of our version, and has runs to come.

    Args:
        domain: whose deployments; None for all of ours.
    """
    url = PREFECT_API_URL.value()
    if not url:
        why = "no server chosen (PREFECT_API_URL); commands start an embedded one"
        return [skipped("prefect api", why)]
    try:
        with get_client(sync_client=True) as client:
            client.hello().raise_for_status()
            server = client.api_version()
            deployments = client.read_deployments(
                deployment_filter=DeploymentFilter(
                    tags=DeploymentFilterTags(all_=[TAG, *([domain] if domain else [])])
                )
            )
            idle = [one for one in deployments if _is_idle(client, one)]
            flows = {one.flow_id: client.read_flow(one.flow_id).name for one in idle}
    except (httpx.HTTPError, RuntimeError) as error:
        return [
            failed(
                "prefect api",
                expected=f"an answer of the Prefect server at {shown(url)}",
                found=shown(str(error)) or type(error).__name__,
                remedy="start it (prefect server start), or correct PREFECT_API_URL",
            )
        ]
    return [_versions(url, server), _schedules(domain, deployments, idle, flows)]


def _versions(url: str, server: str) -> Check:
    if server == __version__:
        return passed("prefect api", f"{shown(url)} answers, version {server}")
    return failed(
        "prefect api",
        expected=f"a server of version {__version__}, as is installed here",
        found=f"version {server} at {shown(url)}",
        remedy="install the server from constraints.txt, too: "
        "pip install -c constraints.txt prefect",
    )


def _schedules(
    domain: str | None,
    deployments: list[DeploymentResponse],
    idle: list[DeploymentResponse],
    flows: dict[UUID, str],
) -> Check:
    whose = domain or "any domain"
    if not deployments:
        return failed(
            "prefect schedule",
            expected=f"deployments of {whose}",
            found="none",
            remedy=f"lsntp deploy {domain or 'DOMAIN'}",
        )
    scheduled = sum(_is_scheduled(one) for one in deployments)
    if scheduled and len(idle) == scheduled:
        return failed(
            "prefect schedule",
            expected=f"runs to come of the {scheduled} deployments that have a schedule",
            found="none",
            remedy="wait a minute after a deploy; else the server's scheduler is at fault: it "
            "needs sqlalchemy below 2.1 (pip install -c constraints.txt prefect) and a restart",
        )
    # A schedule whose next slot is months away has no run yet on a sound server.
    names = ", ".join(sorted(f"{flows[one.flow_id]}/{one.name}" for one in idle))
    return passed(
        "prefect schedule",
        f"{len(deployments)} deployments of {whose}, {scheduled} with a schedule"
        + (f"; nothing soon of {names}" if idle else ", all with runs to come"),
    )


def _is_idle(client: SyncPrefectClient, deployment: DeploymentResponse) -> bool:
    """Whether a deployment should have runs to come and has none."""
    if not _is_scheduled(deployment):
        return False
    runs = client.read_flow_runs(
        deployment_filter=DeploymentFilter(id=DeploymentFilterId(any_=[deployment.id])),
        flow_run_filter=FlowRunFilter(
            state=FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType.SCHEDULED])),
            expected_start_time=FlowRunFilterExpectedStartTime(after_=datetime.now(UTC)),
        ),
        limit=1,
    )
    return not runs


def _is_scheduled(deployment: DeploymentResponse) -> bool:
    return not deployment.paused and any(one.active for one in deployment.schedules)
