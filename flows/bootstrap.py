"""What must exist on a Prefect server before a command runs a flow, created idempotently."""

from prefect.context import refresh_global_settings_context
from prefect.settings import PREFECT_API_URL, PREFECT_HOME

from flows import embedded
from flows.connection import connected
from flows.deployment.limits import Limit
from flows.runtime import require_room
from lsntp.config import Domain
from tasks.slots import slot_names


def ensure_limits(domain: Domain) -> None:
    """Create the domain's global concurrency limits, one slot each; existing ones stay.

    Raises:
        CredentialsError: if the server refuses us.
        DeploymentError: if the server cannot be reached.
        StorageError: if an embedded server's database cannot be written.
    """
    if not PREFECT_API_URL.value():
        require_room(PREFECT_HOME.value())
        embedded.start()
        refresh_global_settings_context()
    with connected() as client:
        for limit in map(Limit, slot_names(domain)):
            if limit.found(client) is None:
                limit.write(client)
