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
    overrides: Overrides = None,
) -> list[dict[str, Any]]:
    """Forecast from every initial time of [start, end) that has a history and no forecast yet."""
    config = resolve(domain, overrides)
    period = forecast_period(config, start, end)
    return write_forecasts(config, models=models, period=period, latest=latest)
