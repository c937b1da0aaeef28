"""Training archives and model versions."""

from typing import Any

from prefect import flow, get_run_logger

from flows.parameters import Overrides, resolve
from lsntp.errors import ModelError
from tasks.gate import pass_gate
from tasks.train import fit_models, plan_training, prepare_training_data, refuse_without_gpu


@flow(name="prepare")
def prepare(domain: str, overrides: Overrides = None) -> list[str]:
    """Build the training archives a domain's models need; unchanged inputs are not rebuilt."""
    return prepare_training_data(resolve(domain, overrides))


@flow(name="train")
def train(
    domain: str,
    models: list[str] | None = None,
    fine_tune_from: str | None = None,
    force: bool = False,
    require_gpu: bool = False,
    overrides: Overrides = None,
) -> dict[str, Any]:
    """Fit every model whose version does not exist yet, and offer what is new to the gate.

    Baselines first, then one network after the other: each is judged before the next is fitted.
    One whose fit fails stops none of them; the flow fails at the end. Uses every visible GPU
    (``training.devices``); with ``require_gpu`` it refuses to do without.
    """
    config = resolve(domain, overrides)
    if require_gpu:
        refuse_without_gpu()
    prepare_training_data(config)
    versions: list[dict[str, Any]] = []
    judgements: list[dict[str, Any]] = []
    failures: list[str] = []
    for names in plan_training(config, models=models, fine_tune_from=fine_tune_from):
        try:
            fitted = fit_models(config, models=names, fine_tune_from=fine_tune_from, force=force)
        except ModelError as error:
            failures.append(f"{', '.join(names)}: {error}")
            get_run_logger().error("%s: %s", config.domain, failures[-1])
            continue
        judgements += pass_gate(config, [entry["version"] for entry in fitted])
        versions += fitted
    if failures:
        raise ModelError(" ".join(failures))
    return {"versions": versions, "gate": judgements}
