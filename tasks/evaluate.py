"""Score forecasts whose truth has arrived, and show the skill table."""

import dataclasses
import json
from collections.abc import Sequence
from typing import Any

from prefect import get_run_logger, task
from prefect.artifacts import create_table_artifact

from lsntp.config import Domain
from lsntp.evaluation.scoring import evaluate
from lsntp.evaluation.skill import skill_table
from tasks.policy import HOUR_S, OPTIONS
from tasks.slots import archive_slot, slots


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
    create_table_artifact(
        key=f"skill-{domain.domain}",
        table=json.loads(table.to_frame().reset_index().to_json(orient="records")),
        description=table.verdict,
    )
    get_run_logger().info("%s: %s", domain.domain, table.verdict)
    return table.verdict
