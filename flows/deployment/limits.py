"""Global concurrency limits and work pools on a server."""

from dataclasses import dataclass

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.actions import (
    GlobalConcurrencyLimitCreate,
    GlobalConcurrencyLimitUpdate,
    WorkPoolCreate,
    WorkPoolUpdate,
)
from prefect.exceptions import ObjectNotFound
from prefect.workers.process import ProcessWorker

from flows.deployment.change import Fields


@dataclass(frozen=True)
class Limit:
    """One slot of an upstream or of an archive's writer; see :mod:`tasks.slots`."""

    name: str
    kind: str = "limit"

    def expected(self, _: SyncPrefectClient) -> Fields:
        """One slot, enforced."""
        return {"limit": 1, "active": True}

    def found(self, client: SyncPrefectClient) -> Fields | None:
        """As the server has it; None where it has none."""
        try:
            limit = client.read_global_concurrency_limit_by_name(self.name)
        except ObjectNotFound:
            return None
        return {"limit": limit.limit, "active": limit.active}

    def write(self, client: SyncPrefectClient) -> None:
        """Create or correct it; slots that are taken stay taken."""
        if self.found(client) is None:
            client.create_global_concurrency_limit(
                GlobalConcurrencyLimitCreate(name=self.name, limit=1)
            )
        else:
            client.update_global_concurrency_limit(
                self.name, GlobalConcurrencyLimitUpdate(limit=1, active=True)
            )


@dataclass(frozen=True)
class Pool:
    """A work pool: of processes where it is new; an existing one keeps its type and template."""

    name: str
    kind: str = "work pool"

    def expected(self, _: SyncPrefectClient) -> Fields:
        """There, and not paused."""
        return {"paused": False}

    def found(self, client: SyncPrefectClient) -> Fields | None:
        """As the server has it; None where it has none."""
        try:
            return {"paused": client.read_work_pool(self.name).is_paused}
        except ObjectNotFound:
            return None

    def write(self, client: SyncPrefectClient) -> None:
        """Create it, or let it work again."""
        if self.found(client) is None:
            template = ProcessWorker.get_default_base_job_template()
            client.create_work_pool(
                WorkPoolCreate(name=self.name, type=ProcessWorker.type, base_job_template=template)
            )
        else:
            client.update_work_pool(self.name, WorkPoolUpdate(is_paused=False))
