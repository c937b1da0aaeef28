"""Prepare training archives and fit model versions."""

from collections.abc import Sequence
from typing import Any

from prefect import get_run_logger, task

from lsntp.config import Domain
from tasks.policy import OPTIONS
from tasks.slots import archive_slot, slots


@task(name="prepare-training-data", **OPTIONS)
def prepare_training_data(domain: Domain) -> list[str]:
    """Normalise the training period into one digest-named archive per scaling; their paths."""
    from lsntp.training import prepare

    with slots(archive_slot(domain, "training")):
        archives = prepare(domain)
    paths = [str(archive.path) for archive in archives]
    get_run_logger().info("%s: training archives %s", domain.domain, paths)
    return paths


@task(name="refuse-without-gpu", **OPTIONS)
def refuse_without_gpu() -> None:
    """Refuse to go on where torch sees no GPU."""
    from lsntp.training.devices import require_gpu

    require_gpu()


@task(name="plan-training", **OPTIONS)
def plan_training(
    domain: Domain,
    *,
    models: Sequence[str] | None = None,
    fine_tune_from: str | None = None,
) -> tuple[list[tuple[str, ...]], str | None]:
    """What to fit together, in order, and the one version that ``fine_tune_from`` means now.

    Refuses what could not be trained.
    """
    from lsntp.training import in_turn
    from lsntp.training.champion import find_version

    parent = find_version(domain, fine_tune_from) if fine_tune_from else None
    return in_turn(domain, models=models, fine_tune_from=parent), parent


@task(name="fit-models", **OPTIONS)
def fit_models(
    domain: Domain,
    *,
    models: Sequence[str] | None = None,
    fine_tune_from: str | None = None,
    force: bool = False,
) -> list[dict[str, Any]]:
    """Fit every asked model whose version does not exist yet; one entry a model."""
    from lsntp.training import train

    with slots(archive_slot(domain, "training")):
        reports = train(domain, models=models, fine_tune_from=fine_tune_from, force=force)
    outcome = [
        {
            "model": report.model,
            "version": report.version,
            "created": report.created,
            "seconds": round(report.seconds, 1),
            "parameters": report.parameters,
            "validation_mae_k": report.validation_mae_k,
        }
        for report in reports
    ]
    get_run_logger().info("%s: train %s", domain.domain, outcome)
    return outcome
