"""How a domain stands, for whoever looks, and calls for whoever has to come."""

from typing import Any

from prefect import flow

from flows.parameters import Overrides, resolve
from tasks.alarms import watch_domain


@flow(name="watch")
def watch(domain: str, overrides: Overrides = None) -> dict[str, Any]:
    """Judge every alarm, publish status.json and the status page, tell what has changed."""
    return watch_domain(resolve(domain, overrides))
