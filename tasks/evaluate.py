"""Score forecasts whose truth has arrived, and show the skill table."""

import dataclasses
import json
import uuid
from collections.abc import Sequence
from typing import Any

from prefect import get_run_logger, task
from prefect.artifacts import create_table_artifact
from prefect.events import emit_event

from lsntp.config import Domain
from lsntp.errors import ModelError
from lsntp.evaluation.drift import drift_of
from lsntp.evaluation.scoring import evaluate
from lsntp.evaluation.skill import skill_table
from lsntp.training.champion import champion_of
from tasks.policy import HOUR_S, OPTIONS
from tasks.slots import archive_slot, slots

DRIFT_EVENT = "lsntp.skill-drift"
SHOWN_DECIMALS = 3
"""In the table for people; all of them are in the evaluation archive."""


@task(name="score-forecasts", timeout_seconds=6 * HOUR_S, **OPTIONS)
def score_forecasts(domain: Domain, *, models: Sequence[str] | None = None) -> dict[str, Any]:
    """Score what has no score yet or whose truth was replaced."""
    with slots(archive_slot(domain, "evaluation")):
        report = evaluate(domain, models=models)
    outcome = {
        "models": {model: dataclasses.asdict(counts) for model, counts in report.models.items()},
        "did_nothing": report.did_nothing,
    }
    get_run_logger().info("%s: evaluate %s", domain.domain, outcome)
    return outcome


@task(name="publish-skill", **OPTIONS)
def publish_skill(domain: Domain) -> str:
    """Show the skill table as an artifact; returns its one-sentence verdict."""
    table = skill_table(domain)
    frame = table.to_frame().reset_index()
    create_table_artifact(
        key=f"skill-{domain.domain}",
        table=json.loads(frame.to_json(orient="records", double_precision=SHOWN_DECIMALS)),
        description=table.verdict,
    )
    get_run_logger().info("%s: %s", domain.domain, table.verdict)
    return table.verdict


@task(name="watch-drift", **OPTIONS)
def watch_drift(domain: Domain) -> dict[str, Any]:
    """Emit the event :data:`DRIFT_EVENT` where the champion has drifted, with the numbers.

    The event of a day has the same id however often that day is evaluated.
    """
    found = drift_of(domain, _champion(domain))
    verdict = found.to_dict()
    if found.is_drifting:
        emit_event(
            event=DRIFT_EVENT,
            resource={
                "prefect.resource.id": f"lsntp.domain.{domain.domain}",
                "prefect.resource.name": domain.domain,
            },
            payload=verdict,
            id=uuid.uuid5(uuid.NAMESPACE_URL, f"lsntp:{domain.domain}:{found.last_day}"),
        )
        get_run_logger().warning("%s: %s", domain.domain, found.verdict)
    return verdict


def _champion(domain: Domain) -> str | None:
    """The present champion's version; None where there is none, or none that can be read."""
    try:
        champion = champion_of(domain)
    except ModelError as error:
        get_run_logger().warning("%s: %s", domain.domain, error)
        return None
    return champion.version if champion else None
