"""Scores, skill and the report."""

from typing import Any

from prefect import flow

from flows.parameters import Overrides, resolve
from tasks.evaluate import publish_skill, score_forecasts, watch_drift
from tasks.report import write_page


@flow(name="evaluate")
def evaluate(
    domain: str, models: list[str] | None = None, overrides: Overrides = None
) -> dict[str, Any]:
    """Score every forecast whose truth has arrived, watch for drift, publish the skill table.

    In that order: a domain without anything to compare yet is watched even so.
    """
    config = resolve(domain, overrides)
    outcome = score_forecasts(config, models=models)
    drift = watch_drift(config)
    return {**outcome, "verdict": publish_skill(config), "drift": drift}


@flow(name="report")
def report(domain: str, overrides: Overrides = None) -> str:
    """Write the HTML report; returns its path."""
    return write_page(resolve(domain, overrides))
