"""What others may act on, told to the Prefect server as events of a domain."""

from typing import Any

from prefect.events import emit_event

from lsntp.config import Domain

NEW_ANALYSIS = "lsntp.new-analysis"
"""An ingest stored hours: forecasts may be due. See ``triggers`` in infra/prefect.yaml."""
NEW_FORECAST = "lsntp.new-forecast"
"""Forecasts were written, from analyses that are the truth of earlier ones: scores may be due."""
NEW_CHAMPION = "lsntp.new-champion"
"""The gate promoted a version: its forecasts may be due, surely where it is the first champion."""


def tell(domain: Domain, event: str, payload: dict[str, Any]) -> None:
    """Emit an event about a domain, in the background; a server that is away hinders nothing.

    Args:
        domain: what it is about; its resource is ``lsntp.domain.<name>``.
        event: its name.
        payload: numbers and words for whoever looks at it.
    """
    emit_event(
        event=event,
        resource={
            "prefect.resource.id": f"lsntp.domain.{domain.domain}",
            "prefect.resource.name": domain.domain,
        },
        payload=payload,
    )
