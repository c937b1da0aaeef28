"""The page about skill: by hour of the day, by month and by region."""

from dataclasses import dataclass

import numpy as np
import xarray as xr

from lsntp.archives.evaluation import MODEL
from lsntp.config import Domain
from lsntp.evaluation.breakdown import FRAMES, region_scores, scores_by
from lsntp.evaluation.metrics import mean_over_leads
from lsntp.evaluation.regions import REGION
from lsntp.evaluation.table import SkillTable, counted
from lsntp.grid import Floats
from lsntp.names import LEAD_TIME
from lsntp.report.curves import Chart, Curves, line_chart, styles_of
from lsntp.report.html import SKILL, NumberTable, render_page
from lsntp.report.scores import fixed, sentences, skill_text, with_true_minus
from lsntp.report.uncertainty import Uncertainty

HOURS = {"valid_hour": "valid hour, UTC", "init_hour": "hour of the initial time, UTC"}
MONTH = "month"


@dataclass(frozen=True)
class Breakdown:
    """Scores of the compared models in parts, each with dims (model, part, lead_time).

    Attributes:
        table: of the whole comparison; gives the order of models and the best baseline.
        by_hour: of the hour a forecast is for, and of the hour it starts from.
        by_month: of initial times.
        by_region: of the domain's regions.
    """

    table: SkillTable
    by_hour: dict[str, xr.Dataset]
    by_month: xr.Dataset
    by_region: xr.Dataset


def collect_breakdown(domain: Domain, table: SkillTable) -> Breakdown:
    """The parts of a comparison.

    Raises:
        EvaluationError: if nothing is scored in common, or a region is unknown.
    """
    models = list(table.models)
    return Breakdown(
        table,
        {
            "valid_hour": scores_by(domain, "valid_hour", models=models),
            "init_hour": scores_by(domain, "init_hour", models=models),
        },
        scores_by(domain, "month", models=models),
        region_scores(domain, models=models),
    )


def render_skill(
    domain: Domain,
    found: Breakdown | None,
    note: str,
    uncertainty: Uncertainty | None = None,
    uncertainty_note: str = "",
) -> str:
    """The page; the notes say why when nothing was found."""
    if found is None:
        return render_page("skill.html", SKILL, domain, found=None, note=note)
    table = found.table
    return render_page(
        "skill.html",
        SKILL,
        domain,
        found=found,
        note=note,
        uncertainty=uncertainty,
        uncertainty_note=uncertainty_note,
        verdict=sentences(with_true_minus(table.verdict)),
        compared=counted(table.init_times.size, "initial time"),
        bar=table.best_baseline,
        hours=_hour_curves(found),
        hour_tables=[
            NumberTable(
                f"MAE by {HOURS[name]}, K, mean over leads",
                ["Hour", "Fields", *table.models],
                _rows(scores, table, [f"{hour:g} h" for hour in scores[name].values]),
            )
            for name, scores in found.by_hour.items()
        ],
        months=_month_curves(found),
        month_tables=_month_tables(found),
        region_table=_region_table(found),
        bias_table=_bias_table(found),
    )


def _mae(scores: xr.Dataset, model: str) -> Floats:
    """The MAE of each part, mean over leads; NaN where a lead has none."""
    return np.asarray(mean_over_leads(scores)["mae"].sel({MODEL: model}).values, np.float64)


def _rows(scores: xr.Dataset, table: SkillTable, labels: list[str]) -> list[list[str]]:
    frames = scores[FRAMES].sum(LEAD_TIME).values
    columns = [_mae(scores, model) for model in table.models]
    return [
        [label, str(int(frames[row])), *(fixed(float(values[row]), 3) for values in columns)]
        for row, label in enumerate(labels)
    ]


def _hour_curves(found: Breakdown) -> Curves:
    styles = styles_of(found.table.kinds)
    return Curves(
        [(model, styles[model]) for model in found.table.models],
        [
            Chart(
                name.replace("_", "-"),
                f"Mean absolute error by {label}, K",
                f"Mean absolute error by {label}, every model",
                line_chart(
                    np.asarray(found.by_hour[name][name].values, np.float64),
                    {model: _mae(found.by_hour[name], model) for model in found.table.models},
                    styles,
                    name=name.replace("_", "-"),
                    label=label,
                ),
            )
            for name, label in HOURS.items()
        ],
    )


def _month_names(found: Breakdown) -> list[str]:
    return [str(month.astype("datetime64[M]")) for month in found.by_month[MONTH].values]


def _month_curves(found: Breakdown) -> Curves | None:
    """Curves from three months on: fewer are read better from the table."""
    names = _month_names(found)
    if len(names) < 3:
        return None
    styles = styles_of(found.table.kinds)
    chart = Chart(
        "by-month",
        "Mean absolute error by month, K",
        "Mean absolute error by month, every model",
        line_chart(
            np.arange(len(names), dtype=np.float64),
            {model: _mae(found.by_month, model) for model in found.table.models},
            styles,
            name="by-month",
            label="month of the initial time",
            tick_labels=names,
        ),
    )
    return Curves([(model, styles[model]) for model in found.table.models], [chart])


def _month_tables(found: Breakdown) -> list[NumberTable]:
    table, names = found.table, _month_names(found)
    mae = NumberTable(
        "MAE by month of the initial time, K, mean over leads",
        ["Month", "Fields", *table.models],
        _rows(found.by_month, table, names),
    )
    bar = table.best_baseline
    if bar is None:
        return [mae]
    others = [model for model in table.models if model != bar]
    reference = _mae(found.by_month, bar)
    skill = {model: 1 - _mae(found.by_month, model) / reference for model in others}
    return [
        mae,
        NumberTable(
            f"Skill of MAE against {bar}, by month",
            ["Month", *others],
            [
                [name, *(skill_text(float(skill[model][row])) for model in others)]
                for row, name in enumerate(names)
            ],
        ),
    ]


def _region_names(found: Breakdown) -> list[str]:
    shares = found.by_region["area_share"].values
    names = found.by_region[REGION].values
    return [f"{name} ({100 * share:.0f} %)" for name, share in zip(names, shares, strict=True)]


def _region_table(found: Breakdown) -> NumberTable:
    return NumberTable(
        "MAE by region, K, mean over leads; in brackets the share of the domain’s area",
        ["Model", *_region_names(found)],
        _by_region(found, "mae", sign=False),
    )


def _bias_table(found: Breakdown) -> NumberTable:
    return NumberTable(
        "Bias by region, K, mean over leads",
        ["Model", *_region_names(found)],
        _by_region(found, "bias", sign=True),
    )


def _by_region(found: Breakdown, metric: str, *, sign: bool) -> list[list[str]]:
    means = found.by_region[metric].mean(LEAD_TIME, skipna=False)
    return [
        [model, *(fixed(float(v), 3, sign=sign) for v in means.sel({MODEL: model}).values)]
        for model in found.table.models
    ]
