"""Training archives and model versions."""

from collections.abc import Mapping, Sequence
from typing import Any

from prefect import flow, get_run_logger

from flows.console import print_train
from flows.parameters import Overrides, resolve
from lsntp.config import Domain
from lsntp.errors import LsntpError, ModelError
from lsntp.times import format_time
from tasks.evaluate import score_forecasts
from tasks.gate import forecast_rivals, pass_gate
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
    One whose fit fails stops none of them; the flow then tells what was done, and fails. With
    ``gate.archive`` the forecasts by which a network was judged are kept and scored. Uses every
    visible GPU (``training.devices``); with ``require_gpu`` it refuses to do without.
    ``fine_tune_from`` is a version, its unique beginning, a model (its newest version) or
    ``champion``.
    """
    config = resolve(domain, overrides)
    if require_gpu:
        refuse_without_gpu()
    prepare_training_data(config)
    versions: list[dict[str, Any]] = []
    judgements: list[dict[str, Any]] = []
    failures: list[str] = []
    turns, parent = plan_training(config, models=models, fine_tune_from=fine_tune_from)
    for names in turns:
        try:
            fitted = fit_models(config, models=names, fine_tune_from=parent, force=force)
        except ModelError as error:
            failures.append(f"{', '.join(names)}: {error}")
            get_run_logger().error("%s: %s", config.domain, failures[-1])
            continue
        judgements += pass_gate(config, [entry["version"] for entry in fitted])
        versions += fitted
        failures += _keep_rivals(config)
    if idle := why_nothing_new(config, versions):
        get_run_logger().warning("%s: %s", config.domain, idle)
    if failures:
        print_train({"versions": versions, "gate": judgements})
        raise ModelError(" ".join(dict.fromkeys(failures)))
    return {"versions": versions, "gate": judgements}


def _keep_rivals(domain: Domain) -> list[str]:
    """Keep and score what the gate compared; what went wrong is no reason to stop training."""
    if not domain.gate.archive:
        return []
    try:
        if rivals := forecast_rivals(domain):
            score_forecasts(domain, models=rivals)
    except LsntpError as error:
        failure = f"forecasts to compare versions by: {error}"
        get_run_logger().error("%s: %s", domain.domain, failure)
        return [failure]
    return []


def why_nothing_new(domain: Domain, versions: Sequence[Mapping[str, Any]]) -> str | None:
    """What to tell who waits for new versions, where all there are were made before."""
    if not versions or any(entry["created"] for entry in versions):
        return None
    found = "nothing was trained, since the versions of these hours and settings exist."
    if domain.retrain.is_moving:
        return f"{found} Later hours are trained on once their day is whole."
    return (
        f"{found} Later hours never are with retrain.window: fixed, which takes split as written "
        f"(training to {format_time(domain.split.train.period.end)}); `retrain: {{window: rolling, "
        "days: 730}` or `{window: expanding}` in the domain file follows the newest."
    )
