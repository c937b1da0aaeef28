"""Rolling forecasts."""

from typing import Any

from prefect import flow

from flows.console import print_forecast
from flows.parameters import Overrides, fetched_at_once, forecast_period, resolve
from tasks.forecast import write_forecasts, write_guidance


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

    With ``redo_superseded`` also those again whose preliminary inputs have become final. The
    forecasts of the source itself come after ours; where they fail, ours are there and told,
    and the flow fails with their error. Without ``start`` and ``end`` those of the source come
    within a budget, the newest first.
    """
    config = resolve(domain, overrides)
    period = forecast_period(config, start, end)
    is_ours = models is None or any(name not in config.guidance for name in models)
    is_theirs = any(models is None or name in models for name in config.guidance)
    ours: list[dict[str, Any]] = []
    if is_ours:
        ours = write_forecasts(
            config, models=models, period=period, latest=latest, redo_superseded=redo_superseded
        )
    if not is_theirs:
        return ours
    is_asked_for = start is not None or end is not None
    try:
        return ours + write_guidance(
            config,
            models=models,
            period=period,
            latest=latest,
            limit=None if is_asked_for else fetched_at_once(config),
        )
    except Exception:
        print_forecast(ours)  # who called never sees what a failed flow would have returned
        raise
