"""How sure the forecasts are: CRPS, spread beside error, what the quantiles promise and keep."""

from dataclasses import dataclass

import numpy as np
import xarray as xr

from lsntp.archives.evaluation import MODEL
from lsntp.config import Domain
from lsntp.evaluation.table import SkillTable
from lsntp.evaluation.uncertainty import COVERAGE, PROMISED, uncertainty_scores
from lsntp.grid import Floats
from lsntp.names import LEAD_TIME, QUANTILES
from lsntp.report.curves import Chart, Curves, Style, line_chart, styles_of
from lsntp.report.html import NumberTable
from lsntp.report.scores import fixed

IDEAL = "ideal"
_IDEAL_STYLE = Style("#8a8f98", (1.5, 2), "", 1.4)


@dataclass(frozen=True, eq=False)
class Uncertainty:
    """What the section says: charts, and the numbers behind them."""

    curves: Curves
    table: NumberTable


def collect_uncertainty(domain: Domain, table: SkillTable) -> Uncertainty:
    """The section about a comparison.

    Raises:
        EvaluationError: if none of its forecasts has quantiles.
    """
    scores = uncertainty_scores(domain, table.models, table.init_times)
    sure = [model for model in table.models if (scores["frames"].sel({MODEL: model}) > 0).any()]
    return Uncertainty(_curves(scores, table, sure), _numbers(scores, table, sure))


def _curves(scores: xr.Dataset, table: SkillTable, sure: list[str]) -> Curves:
    styles = {**styles_of(table.kinds), IDEAL: _IDEAL_STYLE}
    bar = [table.best_baseline] if table.best_baseline not in (None, *sure) else []
    crps = {model: _by_lead(scores, "crps", model) for model in (*sure, *bar) if model}
    ratio = {model: _by_lead(scores, "spread_skill", model) for model in sure}
    below = scores["below"].mean(LEAD_TIME)
    kept = {model: np.asarray(below.sel({MODEL: model}).values, np.float64) for model in sure}
    levels = np.array(QUANTILES)
    hours, leads = table.lead_hours, "lead time, hours"
    return Curves(
        [(name, styles[name]) for name in crps],
        [
            Chart(
                "crps",
                "CRPS, K (of a forecast without quantiles its MAE)",
                "CRPS against lead time",
                line_chart(hours, crps, styles, name="crps", label=leads),
            ),
            Chart(
                "spread-skill",
                "Spread divided by RMSE",
                "Ratio of spread to root mean square error against lead time; calibrated "
                "quantiles come to a little below one",
                line_chart(
                    hours,
                    {**ratio, IDEAL: np.ones(hours.size)},
                    styles,
                    name="spread-skill",
                    label=leads,
                ),
            ),
            Chart(
                "reliability",
                "Share of truths no higher than each quantile",
                "Observed share against the quantile's probability; the diagonal is ideal",
                line_chart(
                    levels,
                    {**kept, IDEAL: levels},
                    styles,
                    name="reliability",
                    label="quantile",
                ),
            ),
        ],
    )


def _numbers(scores: xr.Dataset, table: SkillTable, sure: list[str]) -> NumberTable:
    inside = {f"inside {share:.0%}": share for share in (0.9, 0.5)}
    rows = []
    for model in sure:
        of_model = scores.sel({MODEL: model})
        for lead, hour in enumerate(table.lead_hours):
            at = of_model.isel({LEAD_TIME: lead})
            values = [float(at[name]) for name in ("crps", "mae", "spread", "rmse", "spread_skill")]
            shares = [float(at[COVERAGE].sel({PROMISED: share})) for share in inside.values()]
            rows.append([model, f"+{hour:g} h", *(fixed(value, 3) for value in values + shares)])
    return NumberTable(
        "CRPS, MAE, spread and RMSE, K, and the share of truths inside the central intervals",
        ["Model", "Lead", "CRPS", "MAE", "Spread", "RMSE", "Spread / RMSE", *inside],
        rows,
        words=2,
    )


def _by_lead(scores: xr.Dataset, name: str, model: str) -> Floats:
    return np.asarray(scores[name].sel({MODEL: model}).transpose(LEAD_TIME).values, np.float64)
