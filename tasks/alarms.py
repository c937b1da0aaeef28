"""Judge a domain, publish how it stands, and tell whoever has to be told: once."""

from collections.abc import Callable
from typing import Any, Final

import httpx
from prefect import get_run_logger, runtime, task
from prefect.artifacts import create_table_artifact
from prefect.client.orchestration import get_client
from prefect.events.schemas.events import Event, RelatedResource, Resource

from lsntp.alarms import findings
from lsntp.alarms.notices import Notice, remember, tell, watching
from lsntp.alarms.webhook import Webhook
from lsntp.config import Domain
from lsntp.errors import ConfigError, DeliveryError
from lsntp.status.collect import moment, status_of
from lsntp.status.publish import publish_status
from lsntp.times import utc_now
from tasks.policy import HOUR_S, OPTIONS

EVENT: Final = "event"
WEBHOOK: Final = "webhook"


@task(name="watch-domain", timeout_seconds=HOUR_S, **OPTIONS)
def watch_domain(domain: Domain) -> dict[str, Any]:
    """Find alarms, write ``status/``, then emit an event and post a notice for each change.

    The page comes first, so that nothing that happens on the way to an endpoint delays it. Whoever
    could not be told is told by the next watch.

    Raises:
        ArchiveBusyError: if another watch of this domain is at work.
        StorageError: if the status, or which alarms are open, cannot be written; alarms have been
            told even so.
        CredentialsError: if the storage refuses our key; alarms have been told even so.
    """
    logger = get_run_logger()
    now = utc_now()
    found = findings(domain, now)
    channels: dict[str, Callable[[Notice], None]] = {EVENT: emit}
    if (post := _poster(domain)) is not None:
        channels[WEBHOOK] = post
    with watching(domain) as (before, lease):
        watch = before.after(domain, found, list(channels), moment(now))
        remember(domain, watch, lease)
        try:
            page = publish_status(domain, status_of(domain, found, watch.open, now))
        finally:
            watch = tell(domain, watch, channels, lease)
    create_table_artifact(
        key=f"alarms-{domain.domain}",
        table=[
            {"alarm": one.name, "level": one.level, "found": one.found, "limits": one.limits}
            for one in found
        ],
        description=f"How {domain.domain} stands; the page is {page}",
    )
    for one in found:
        if one.is_alarm:
            logger.warning("%s: %s: %s. Do: %s", domain.domain, one.name, one.found, one.remedy)
    outcome = {
        "levels": {one.name.value: one.level.value for one in found},
        "open": {name.value: since.isoformat() for name, since in watch.open.items()},
        "untold": len(watch.notices),
        "page": str(page),
    }
    logger.info("%s: watch %s", domain.domain, outcome)
    return outcome


def emit(notice: Notice) -> None:
    """Post an event to the Prefect server, which says that it has it.

    The ordinary way of emitting would put it into a queue that a dying process takes along.

    Raises:
        DeliveryError: if the server does not take it.
    """
    event = Event(
        id=notice.id,
        occurred=notice.at,
        event=notice.event,
        resource=Resource(
            {
                "prefect.resource.id": f"lsntp.domain.{notice.domain}",
                "prefect.resource.name": notice.domain,
                "lsntp.alarm": notice.name.value,
            }
        ),
        related=_related(),
        payload=notice.to_json(),
    )
    try:
        with get_client(sync_client=True) as client:
            client.request(
                "POST", "/events", json=[event.model_dump(mode="json")]
            ).raise_for_status()
    except (httpx.HTTPError, RuntimeError) as error:
        raise DeliveryError(
            f"Expected the Prefect server to take the event {notice.event}, found "
            f"{type(error).__name__}; it is told again by the next watch."
        ) from error


def _related() -> list[RelatedResource]:
    """The flow run at work, so that the event leads to its log."""
    run = runtime.flow_run.id
    if not run:
        return []
    return [
        RelatedResource(
            {"prefect.resource.id": f"prefect.flow-run.{run}", "prefect.resource.role": "flow-run"}
        )
    ]


def _poster(domain: Domain) -> Callable[[Notice], None] | None:
    """What posts a notice to the webhook; None where none is configured.

    An address that cannot be read hinders nothing else, and what waits for it is told once it can.
    """
    try:
        webhook = Webhook.of(domain)
    except ConfigError as error:
        why = str(error)

        def refuse(_: Notice) -> None:
            raise DeliveryError(why)

        return refuse
    return None if webhook is None else lambda notice: webhook.post(notice.to_json())
