"""The frames of a forecast beside the truth."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lsntp.grid import Floats, Grid
from lsntp.report.data import Case
from lsntp.report.maps import Frame, Scale, field_image, signed
from lsntp.times import format_duration_h, format_time

ZERO_CELSIUS_K = 273.15
MAX_FRAMES = 12
"""A longer horizon is shown by that many evenly spaced leads."""


@dataclass(frozen=True)
class Animation:
    """One case, drawn: three rows of frames with a label per lead."""

    title: str
    line: str
    labels: list[str]
    forecast: list[Frame]
    truth: list[Frame]
    difference: list[Frame]
    temperature_scale: Scale
    difference_scale: Scale


def animate(cases: Sequence[Case], weights: Floats, grid: Grid) -> list[Animation]:
    """The cases, drawn on common scales, so that they compare by eye.

    Args:
        cases: of the same lead times.
        weights: of the cells (H, W) in the mean absolute error, any scale.
        grid: of the fields.
    """
    if not cases:
        return []
    fields = np.stack([field for case in cases for field in (case.forecast, case.truth)])
    temperature = Scale.spanning(
        fields - ZERO_CELSIUS_K, colormap="RdYlBu_r", unit="°C", two_sided=True
    )
    difference = Scale.diverging(
        np.stack([case.forecast - case.truth for case in cases]), colormap="PuOr_r", unit="K"
    )
    return [_animation(case, grid, weights, temperature, difference) for case in cases]


def shown_leads(count: int) -> list[int]:
    """At most :data:`MAX_FRAMES` of ``count`` leads, the first and the last among them."""
    return sorted(set(np.linspace(0, count - 1, min(count, MAX_FRAMES)).round().astype(int)))


def _animation(
    case: Case, grid: Grid, weights: Floats, temperature: Scale, difference_scale: Scale
) -> Animation:
    leads = shown_leads(len(case.lead_times))
    forecast, truth = case.forecast[leads] - ZERO_CELSIUS_K, case.truth[leads] - ZERO_CELSIUS_K
    difference = forecast - truth
    names = [f"+{format_duration_h(case.lead_times[lead])}" for lead in leads]
    valid = [case.init_time + case.lead_times[lead] for lead in leads]
    mae = [_mean(np.abs(field), weights) for field in difference]
    caution = "; an input was preliminary" if case.is_preliminary else ""
    return Animation(
        title=case.title,
        line=f"{case.model}, started {format_time(case.init_time)}{caution}",
        labels=[
            f"{name}, valid {format_time(time)} · mean absolute error {error:.2f} K"
            for name, time, error in zip(names, valid, mae, strict=True)
        ],
        forecast=[
            Frame(
                field_image(field, grid, temperature),
                f"Forecast by {case.model} at {name}: {_span(field)} °C.",
            )
            for field, name in zip(forecast, names, strict=True)
        ],
        truth=[
            Frame(field_image(field, grid, temperature), f"Analysis at {name}: {_span(field)} °C.")
            for field, name in zip(truth, names, strict=True)
        ],
        difference=[
            Frame(
                field_image(field, grid, difference_scale),
                f"Forecast minus analysis at {name}: {_span(field)} K, "
                f"mean absolute error {error:.2f} K.",
            )
            for field, name, error in zip(difference, names, mae, strict=True)
        ],
        temperature_scale=temperature,
        difference_scale=difference_scale,
    )


def _span(field: Floats) -> str:
    return f"{signed(round(np.nanmin(field), 1))} to {signed(round(np.nanmax(field), 1))}"


def _mean(field: Floats, weights: Floats) -> float:
    return float(np.average(field, weights=weights))
