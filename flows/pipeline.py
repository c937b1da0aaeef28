"""The main job, from source to report."""

from typing import Any

from prefect import flow

from flows.evaluate import evaluate, report
from flows.forecast import forecast
from flows.ingest import ingest
from flows.parameters import Overrides, resolve
from flows.train import train


@flow(name="pipeline")
def pipeline(domain: str, overrides: Overrides = None) -> dict[str, Any]:
    """Ingest, train, forecast the test period, evaluate and report."""
    config = resolve(domain, overrides)
    test = config.split.test
    ingested = ingest(domain, overrides=overrides)
    trained = train(domain, overrides=overrides)
    forecasts = forecast(domain, start=str(test.start), end=str(test.end), overrides=overrides)
    evaluated = evaluate(domain, overrides=overrides)
    return {
        "ingest": ingested,
        "train": trained,
        "forecast": forecasts,
        "evaluate": evaluated,
        "report": report(domain, overrides=overrides),
    }
