"""Rolling forecasts."""

from typing import Any

from prefect import flow

from flows.parameters import Overrides, forecast_period, resolve
from tasks.forecast import write_forecasts


@flow(name="forecast")
def forecast(
    domain: str,
    models: list[str] | None = None,
    start: str | None = None,
    end: str | None = None,
    latest: bool = False,
    redo_superseded: bool = False,
    overrides: Overrides = None,
) -> list[dict[str, Any]]:
    """Forecast from every initial time of [start, end) that has a history and no forecast yet.

    With ``redo_superseded`` also those again whose preliminary inputs have become final.
    """
    config = resolve(domain, overrides)
    period = forecast_period(config, start, end)
    return write_forecasts(
        config, models=models, period=period, latest=latest, redo_superseded=redo_superseded
    )
