"""The first page of a report: forecast, winner, errors, coverage and provenance."""

from dataclasses import dataclass

import numpy as np

import lsntp
from lsntp.config import REFERENCES, Domain
from lsntp.evaluation.table import counted
from lsntp.grid import Floats
from lsntp.report.animation import animate
from lsntp.report.calendar import calendar
from lsntp.report.curves import lead_curves, styles_of
from lsntp.report.data import ReportData
from lsntp.report.html import INDEX, render_page
from lsntp.report.links import links_view, place_mark
from lsntp.report.maps import Canvas, Frame, Scale, field_image, signed
from lsntp.report.scores import lead_table, rows_of, sentences, with_true_minus
from lsntp.report.texts import BASELINES, METRICS, NOTES
from lsntp.times import Period, format_time

NARROW = 1.3
"""Pairs of maps less wide than this (width over height) stand beside each other."""


def render(data: ReportData) -> str:
    """The page as HTML; the same data give the same bytes."""
    canvas, table = Canvas.of(data.grid), data.table
    weights = data.grid.area_weights if table.weighting == "area" else np.ones(data.grid.shape)
    return render_page(
        "index.html",
        INDEX,
        data.domain,
        data=data,
        canvas=canvas,
        lead_sentence=_lead_sentence(data),
        provenance=_provenance_line(data),
        cases=animate(data.cases, weights, data.grid),
        place_mark=place_mark(canvas, *data.domain.place) if data.domain.place else "",
        snippet=snippet(data),
        forecasts_compared=counted(table.init_times.size, "initial time"),
        verdict=sentences(with_true_minus(table.verdict)),
        rows=rows_of(table),
        notes=NOTES,
        curves=lead_curves(table, styles_of(table.kinds)),
        lead_tables=[lead_table(table, "mae"), lead_table(table, "rmse_pooled")],
        error_maps=_error_groups(data),
        errors_beside=canvas.box.aspect < NARROW or len(data.error_maps) == 1,
        links=links_view(data.links, data.grid, canvas) if data.links else None,
        coverage=calendar(data.coverage, blocks_of(data.domain)),
        facts=[(fact.label, fact.value) for fact in data.facts],
        baselines=[
            (name, BASELINES[name]) for name in REFERENCES if name in data.domain.model_names
        ],
        metrics=METRICS.items(),
        configuration=data.domain.to_yaml(),
    )


def blocks_of(domain: Domain) -> dict[str, Period]:
    """The periods that the domain's data are split into, by name."""
    split = domain.split
    return {
        "training": split.train.period,
        "validation": split.validation.period,
        "test": split.test.period,
    }


def snippet(data: ReportData) -> str:
    """Five lines of xarray that open the forecast archive and read one place."""
    latitude, longitude = data.domain.place or (
        float(data.grid.latitude.mean()),
        float(data.grid.longitude.mean()),
    )
    init = str(np.datetime_as_string(data.example_init, unit="m"))
    return "\n".join(
        (
            "import xarray as xr",
            f"forecasts = xr.open_zarr({data.forecast_path!r})",
            f'forecast = forecasts.t2m.sel(init_time="{init}")',
            f"place = forecast.sel(latitude={latitude:g}, longitude={longitude:g}, "
            'method="nearest")',
            "print((place - 273.15).round(1).to_series())",
        )
    )


@dataclass(frozen=True)
class _ErrorMap:
    """One model's map."""

    model: str
    frame: Frame


@dataclass(frozen=True)
class _ErrorMaps:
    """The maps of one kind of error, all models on one scale."""

    caption: str
    scale: Scale
    maps: list[_ErrorMap]


def _error_maps(data: ReportData, name: str, caption: str, scale: Scale) -> _ErrorMaps:
    return _ErrorMaps(
        caption,
        scale,
        [
            _ErrorMap(
                entry.model + (", the winner" if entry.model == data.table.winner else ""),
                Frame(
                    field_image(field, data.grid, scale),
                    f"Map of the {caption.lower()} of {entry.model}: {_span(field)} K.",
                ),
            )
            for entry in data.error_maps
            for field in [getattr(entry, name)]
        ],
    )


def _error_groups(data: ReportData) -> list[_ErrorMaps]:
    """MAE maps and bias maps: what compares stands side by side."""
    if not data.error_maps:
        return []
    mae = np.stack([entry.mae for entry in data.error_maps])
    bias = np.stack([entry.bias for entry in data.error_maps])
    return [
        _error_maps(
            data, "mae", "Mean absolute error", Scale.spanning(mae, colormap="YlOrBr", unit="K")
        ),
        _error_maps(data, "bias", "Bias", Scale.diverging(bias, colormap="PuOr_r", unit="K")),
    ]


def _lead_sentence(data: ReportData) -> str:
    height, width = data.grid.shape
    models = counted(len(data.table.models), "model")
    forecasts = counted(data.table.init_times.size, "initial time")
    return (
        f"Temperature forecasts up to {data.table.lead_hours[-1]:g} h ahead on "
        f"{height} × {width} cells, made by {models} of equal rank from {forecasts} and checked "
        "against the analysis."
    )


def _provenance_line(data: ReportData) -> list[str]:
    compared, times = data.table.init_times, data.coverage.times
    return [
        f"Source: {data.domain.source.name}{', made up' if data.domain.is_synthetic else ''}",
        f"Compared from {format_time(compared[0])} to {format_time(compared[-1])}",
        f"Analysis until {format_time(times[-1])}",
        f"lsntp {lsntp.__version__}",
    ]


def _span(field: Floats) -> str:
    return f"{_short(np.nanmin(field))} to {_short(np.nanmax(field))}"


def _short(value: float) -> str:
    return signed(round(float(value), 2))
