"""Rolling skill of the networks and the winner against persistence and the best baseline."""

import math
from dataclasses import dataclass

import xarray as xr

from lsntp.archives.evaluation import MODEL
from lsntp.config import REFERENCES, Domain
from lsntp.errors import EvaluationError
from lsntp.evaluation.breakdown import DAY, skill_through_time
from lsntp.evaluation.table import SkillTable, counted
from lsntp.report.curves import Chart, Curves, styles_of, time_chart
from lsntp.report.html import NumberTable
from lsntp.report.scores import fixed, skill_text
from lsntp.times import Instant, Times

WINDOW_DAYS = 7
MAX_ROWS = 60
"""A longer history is shown by that many evenly spaced windows in the table."""
PERSISTENCE = "persistence"


@dataclass(frozen=True)
class ThroughTime:
    """Skill over a trailing window, as it was day by day.

    Attributes:
        trends: baseline to scores and skill against it, dims (model, day); see
            :func:`~lsntp.evaluation.breakdown.skill_through_time`.
        shown: the models drawn, first on top.
    """

    trends: dict[str, xr.Dataset]
    shown: tuple[str, ...]


@dataclass(frozen=True)
class TrendView:
    """What the page shows of it."""

    sentence: str
    curves: Curves
    table: NumberTable


def collect_trends(domain: Domain, table: SkillTable) -> ThroughTime:
    """The trend of the networks, the winner and the best baseline.

    Raises:
        EvaluationError: if no baseline was scored.
    """
    bars = [name for name in (PERSISTENCE, table.best_baseline) if name in table.models]
    if not bars:
        raise EvaluationError(
            "Expected a scored baseline to measure skill through time against, found none; run "
            f"`lsntp forecast {domain.reference}`, then `lsntp evaluate {domain.reference}`."
        )
    names = list(table.models)
    return ThroughTime(
        {
            bar: skill_through_time(domain, window_days=WINDOW_DAYS, baseline=bar, models=names)
            for bar in dict.fromkeys(bars)
            if bar is not None
        },
        tuple(
            name
            for name in names
            if table.kinds[name] == "network" or name in (table.winner, table.best_baseline)
        ),
    )


def trend_view(trends: ThroughTime, changes: list[Instant]) -> TrendView:
    """Curves and numbers.

    Args:
        trends: what was collected.
        changes: initial times from which another version forecasts, marked in the curves.
    """
    kinds = {name: "baseline" if name in REFERENCES else "network" for name in trends.shown}
    styles = styles_of(kinds)
    first = next(iter(trends.trends.values()))
    days = first[DAY].values
    window = counted(WINDOW_DAYS, "day")
    inside = [time for time in changes if days[0] < time <= days[-1]]
    charts = [
        Chart(
            f"skill-{bar}",
            f"Skill of MAE against {bar} (above 0 is better)",
            f"Skill against {bar} over the last {window}, day by day",
            time_chart(
                {
                    name: (days, trend["skill"].sel({MODEL: name}).values)
                    for name in trends.shown
                    if name != bar
                },
                styles,
                name=f"skill-{bar}",
                marks=inside,
            ),
        )
        for bar, trend in trends.trends.items()
        if any(name != bar for name in trends.shown)
    ]
    marked = " Dotted uprights mark the first forecast of another version." if inside else ""
    return TrendView(
        f"Each point is the skill over the forecasts of the {window} up to that day; the first "
        f"windows are shorter.{marked}",
        Curves([(name, styles[name]) for name in trends.shown], charts),
        _table(trends, first, days),
    )


def _table(trends: ThroughTime, first: xr.Dataset, days: Times) -> NumberTable:
    step = math.ceil(days.size / MAX_ROWS)
    rows = range(days.size - 1, -1, -step)
    pairs = [(bar, name) for bar in trends.trends for name in trends.shown if name != bar]
    columns = [
        "Up to",
        "Initial times",
        *(f"MAE of {name}, K" for name in trends.shown),
        *(f"{name} against {bar}" for bar, name in pairs),
    ]
    return NumberTable(
        f"Trailing windows of {counted(WINDOW_DAYS, 'day')}, newest first",
        columns,
        [
            [
                str(days[row].astype("datetime64[D]")),
                str(int(first["init_times"].values[row])),
                *(fixed(float(first["mae"].sel({MODEL: n}).values[row]), 3) for n in trends.shown),
                *(
                    skill_text(float(trends.trends[bar]["skill"].sel({MODEL: n}).values[row]))
                    for bar, n in pairs
                ),
            ]
            for row in rows
        ],
    )
