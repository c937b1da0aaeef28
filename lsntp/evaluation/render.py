"""The skill table for a terminal: as many columns as its width holds."""

import math

import numpy as np
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from lsntp.evaluation.bootstrap import Interval
from lsntp.evaluation.metrics import Weighting
from lsntp.evaluation.table import MODEL, WEIGHTING, SkillTable, counted

FEW_LEADS, MOST_LEADS = 3, 6
LEAD_WIDTH = 7
SCORES = (
    ("mean", "mae", 7),
    ("RMSE\npooled", "rmse_pooled", 8),
    ("ACC", "acc", 7),
    ("SSIM\nrange", "ssim_data_range", 7),
)
"""Heading, metric and width with its gap, in order of importance."""
SKILL_WIDTH = 23
EDGES = 2


def render_table(table: SkillTable, *, width: int | None = None) -> Table:
    """The table, best model first and marked; print it with a ``rich.console.Console``.

    MAE by lead and its mean, pooled RMSE, ACC, SSIM with the data's range, and MAE skill
    against the best baseline with its 95 % interval.

    Args:
        table: what to show.
        width: characters; the terminal's by default. A narrow one gets fewer columns: leads
            beyond three go first, then SSIM and ACC, then the other leads.
    """
    leads, scores = _fitting(table, width or Console().width)
    drawn = Table(
        title=(
            f"{table.domain}: MAE (K) of {counted(table.init_times.size, 'initial time')}, "
            f"{table.period}"
        ),
        caption=_caption(table.weighting),
        box=SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        pad_edge=False,
    )
    drawn.add_column("model", overflow="fold")
    for heading in (
        *(f"+{hour:g} h" for hour in table.lead_hours[leads]),
        *(heading for heading, _, _ in scores),
        "skill vs best\nbaseline (95 %)",
    ):
        drawn.add_column(heading, justify="right", no_wrap=True)
    for model in table.models:
        by_lead = table.scores["mae"].sel({MODEL: model, WEIGHTING: table.weighting}).values
        skill = table.skill[model].get(table.best_baseline or "")
        drawn.add_row(
            _label(table, model),
            *(_decimals(value, 2) for value in by_lead[leads]),
            *(_decimals(table.score(model, metric), 3) for _, metric, _ in scores),
            _short(skill.mae) if skill else "–",
            style="bold" if model == table.winner else None,
        )
    return drawn


def _fitting(table: SkillTable, width: int) -> tuple[list[int], list[tuple[str, str, int]]]:
    """The positions of the leads, and the scores, that fit."""
    names = max(len(_label(table, model)) for model in table.models)
    spare = width - EDGES - names - SKILL_WIDTH - sum(space for _, _, space in SCORES[:2])
    few = min(FEW_LEADS, table.lead_hours.size, max(0, spare // LEAD_WIDTH))
    spare -= few * LEAD_WIDTH
    scores = list(SCORES[:2])
    for score in SCORES[2:]:
        if spare >= score[2]:
            scores.append(score)
            spare -= score[2]
    most = min(MOST_LEADS, table.lead_hours.size, few + max(0, spare // LEAD_WIDTH))
    positions = np.linspace(table.lead_hours.size - 1, 0, most).round().astype(int)
    return sorted({int(position) for position in positions}), scores


def _caption(weighting: Weighting) -> str:
    return "cells weighted by area" if weighting == "area" else "every cell counts the same"


def _label(table: SkillTable, model: str) -> str:
    return f"★ {model}" if model == table.winner else model


def _decimals(value: float, digits: int) -> str:
    return f"{value:.{digits}f}" if math.isfinite(value) else "–"


def _short(interval: Interval) -> str:
    if not math.isfinite(interval.estimate):
        return "–"
    estimate = f"{interval.estimate:+.2f}"
    if not math.isfinite(interval.low):  # of too few days
        return estimate
    return f"{estimate} [{interval.low:+.2f}, {interval.high:+.2f}]"
