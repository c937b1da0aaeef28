"""Does the scheduler schedule, and does somebody do the work? A healthy API does not say so."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from cronsim import CronSim
from prefect import __version__
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import (
    DeploymentFilter,
    DeploymentFilterId,
    DeploymentFilterTags,
    FlowRunFilter,
    FlowRunFilterExpectedStartTime,
    FlowRunFilterState,
    FlowRunFilterStateName,
    FlowRunFilterStateType,
    WorkerFilter,
    WorkerFilterStatus,
)
from prefect.client.schemas.objects import StateType
from prefect.client.schemas.responses import DeploymentResponse
from prefect.client.schemas.schedules import CronSchedule

from flows.connection import address, connected, every, is_embedded
from flows.deployment.deployments import TAG
from lsntp.doctor.check import Check, failed, passed, skipped, warned
from lsntp.doctor.machine import check_clock, seconds_ahead
from lsntp.errors import CredentialsError, LsntpError

HORIZON = timedelta(days=90)
"""Within which a tick must have its run: a server makes them up to a hundred days ahead."""
PATIENCE = timedelta(minutes=15)
"""For how long a tick may wait for a worker."""
LATE = "Late"


@dataclass(frozen=True)
class _Deployed:
    """A deployment with what the server has planned for it.

    Attributes:
        name: ``<flow>/<domain>``.
        there: as the server has it.
        next_tick: of its active schedules; None where it has none.
        has_run: whether a run to come exists.
        late_since: when its longest waiting run should have begun; None where none waits.
    """

    name: str
    there: DeploymentResponse
    next_tick: datetime | None
    has_run: bool
    late_since: datetime | None


def check_scheduler(domain: str | None) -> list[Check]:
    """Whether the Prefect server answers, is of our version, has runs to come and workers.

    Args:
        domain: whose deployments; None for all of ours.
    """
    if is_embedded():
        why = "no server chosen (PREFECT_API_URL); commands start an embedded one"
        return [skipped("prefect api", why)]
    now = datetime.now(UTC)
    tags = DeploymentFilterTags(all_=[TAG, *([domain] if domain else [])])
    try:
        with connected() as client:
            answer = client.request("GET", "/admin/version")
            version = answer.json()
            tagged = DeploymentFilter(tags=tags)
            found = list(every(client.read_deployments, deployment_filter=tagged))
            deployed = [_looked_at(client, one, now) for one in found]
            idle_pools = [
                pool
                for pool in sorted({one.work_pool_name for one in found if one.work_pool_name})
                if not _has_worker(client, pool)
            ]
    except LsntpError as error:
        return [
            failed(
                "prefect api",
                expected=f"an answer of the Prefect server at {address()}",
                found=str(error),
                remedy="set PREFECT_API_AUTH_STRING (or PREFECT_API_KEY)"
                if isinstance(error, CredentialsError)
                else "start it (prefect server start), or correct PREFECT_API_URL",
            )
        ]
    server = [_version(version), _clock(answer.headers.get("Date"))]
    if not deployed:
        return [*server, _no_deployments(domain)]
    return [
        *server,
        _schedules(domain, deployed, now),
        _punctuality(deployed, now),
        _workers(deployed, idle_pools),
    ]


def _looked_at(client: SyncPrefectClient, there: DeploymentResponse, now: datetime) -> _Deployed:
    crons = [one.schedule for one in there.schedules if one.active and not there.paused]
    ticks = [next(CronSim(one.cron, now)) for one in crons if isinstance(one, CronSchedule)]
    own = DeploymentFilter(id=DeploymentFilterId(any_=[there.id]))
    coming = client.read_flow_runs(
        deployment_filter=own,
        flow_run_filter=FlowRunFilter(
            state=FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType.SCHEDULED])),
            expected_start_time=FlowRunFilterExpectedStartTime(after_=now),
        ),
        limit=1,
    )
    late = client.read_flow_runs(
        deployment_filter=own,
        flow_run_filter=FlowRunFilter(
            state=FlowRunFilterState(name=FlowRunFilterStateName(any_=[LATE])),
            expected_start_time=FlowRunFilterExpectedStartTime(before_=now - PATIENCE),
        ),
    )
    since = [run.expected_start_time for run in late if run.expected_start_time]
    return _Deployed(
        name=f"{client.read_flow(there.flow_id).name}/{there.name}",
        there=there,
        next_tick=min(ticks, default=None),
        has_run=bool(coming),
        late_since=min(since, default=None),
    )


def _has_worker(client: SyncPrefectClient, pool: str) -> bool:
    """Whether a worker of the pool has shown itself lately, or it needs none."""
    there = client.read_work_pool(pool)
    if there.is_push_pool or there.is_managed_pool:
        return True
    online = WorkerFilter(status=WorkerFilterStatus(any_=["ONLINE"]))
    return bool(client.read_workers_for_work_pool(pool, worker_filter=online))


def _version(server: str) -> Check:
    if server == __version__:
        return passed("prefect api", f"{address()} answers, version {server}")
    return failed(
        "prefect api",
        expected=f"a server of version {__version__}, as is installed here",
        found=f"version {server} at {address()}",
        remedy="install the server from constraints.txt, too: "
        "pip install -c constraints.txt prefect",
    )


def _clock(date: str | None) -> Check:
    """The server decides when a tick is due, this machine which hours it asks for."""
    ahead_s = seconds_ahead(date)
    check = check_clock({} if ahead_s is None else {address(): ahead_s})
    return replace(check, name="prefect clock")


def _no_deployments(domain: str | None) -> Check:
    return failed(
        "prefect schedule",
        expected=f"deployments of {domain or 'any domain'}",
        found="none",
        remedy=f"lsntp deploy {domain or 'DOMAIN'}",
    )


def _schedules(domain: str | None, deployed: list[_Deployed], now: datetime) -> Check:
    scheduled = [one for one in deployed if one.next_tick is not None]
    without = [one for one in scheduled if not one.has_run]
    # A schedule whose next tick is months away has no run yet on a sound server.
    missing = [one for one in without if one.next_tick and one.next_tick <= now + HORIZON]
    if missing:
        return failed(
            "prefect schedule",
            expected="runs to come of every deployment that has a schedule",
            found=f"none of {_names(missing)}",
            remedy="wait a minute after a deploy; else the server's scheduler is at fault: it "
            "needs sqlalchemy below 2.1 (pip install -c constraints.txt prefect) and a restart",
        )
    paused = [one for one in deployed if _is_paused(one.there)]
    if paused:
        return warned(
            "prefect schedule",
            expected="no paused deployment",
            found=f"paused: {_names(paused)}",
            remedy=f"lsntp deploy {domain or 'DOMAIN'}, which resumes all of it; where a schedule "
            "alone was stopped, prefect deployment schedule ls NAME shows the ID for prefect "
            "deployment schedule resume NAME ID",
        )
    return passed(
        "prefect schedule",
        f"{len(deployed)} deployments of {domain or 'any domain'}, {len(scheduled)} with a schedule"
        + (f"; nothing soon of {_names(without)}" if without else ", all with runs to come"),
    )


def _punctuality(deployed: list[_Deployed], now: datetime) -> Check:
    late = [one for one in deployed if one.late_since is not None]
    if not late:
        return passed("prefect ticks", "no run waits for a worker")
    oldest = min(one.late_since for one in late if one.late_since)
    return failed(
        "prefect ticks",
        expected=f"runs that begin within {PATIENCE.total_seconds() / 60:.0f} min of their time",
        found=f"late: {_names(late)}, for {(now - oldest).total_seconds() / 60:.0f} min",
        remedy="start a worker, or more, of their pools: prefect worker start --pool cpu",
    )


def _workers(deployed: list[_Deployed], idle_pools: list[str]) -> Check:
    if not idle_pools:
        return passed("prefect workers", "every pool has a worker online")
    idle = [one for one in deployed if one.there.work_pool_name in idle_pools]
    commands = ", ".join(f"prefect worker start --pool {pool}" for pool in idle_pools)
    here = "; without a GPU: lsntp deploy DOMAIN --train-on cpu" if "gpu" in idle_pools else ""
    return failed(
        "prefect workers",
        expected="a worker online in every pool",
        found=f"none in {', '.join(idle_pools)}, for {_names(idle)}",
        remedy=f"{commands}{here}",
    )


def _is_paused(deployment: DeploymentResponse) -> bool:
    """Whether somebody stopped what has a schedule."""
    schedules = deployment.schedules
    return bool(schedules) and (deployment.paused or not any(one.active for one in schedules))


def _names(deployed: list[_Deployed]) -> str:
    return ", ".join(sorted(one.name for one in deployed))
