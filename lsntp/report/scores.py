"""The skill table as rows of text, with each skill interval drawn."""

import math
import re
from dataclasses import dataclass
from typing import Final, Literal

from lsntp.evaluation.bootstrap import Interval
from lsntp.evaluation.table import SkillTable
from lsntp.report.curves import by_lead
from lsntp.report.html import NumberTable

MAIN: Final = ("mae", "rmse_pooled", "bias", "acc")
MORE: Final = (
    "rmse_pooled",
    "rmse_per_image",
    "rmse_per_cell",
    "rmse_psnr",
    "ssim_data_range",
    "psnr_data_range",
    "ssim_paper",
    "psnr_paper",
)
LEAD_METRICS: Final = {"mae": "MAE", "rmse_pooled": "RMSE, pooled"}
_UNKNOWN = Interval(math.nan, math.nan, math.nan)
_WORST_DRAWN = -1.0
"""Skill below this is an arrow at the edge, so that the others stay apart."""


@dataclass(frozen=True)
class Row:
    """One model: its numbers as text, its skill against the best baseline as text and drawing."""

    model: str
    kind: str
    main: list[str]
    more: list[str]
    skill: str
    interval: str
    forest: str


def rows_of(table: SkillTable) -> list[Row]:
    """A row per model, best first."""
    skills = [_skill(table, model) for model in table.models]
    axis = _Axis.around(skills)
    return [
        Row(
            model=model,
            kind=table.kinds[model],
            main=[_metric(table, model, metric) for metric in MAIN],
            more=[_metric(table, model, metric) for metric in MORE],
            skill=skill_text(skill.estimate),
            interval=_bounds(skill),
            forest=axis.draw(skill),
        )
        for model, skill in zip(table.models, skills, strict=True)
    ]


def lead_table(table: SkillTable, metric: Literal["mae", "rmse_pooled"]) -> NumberTable:
    """A metric of every model per lead, best model first."""
    return NumberTable(
        caption=f"{LEAD_METRICS[metric]}, K, per lead time",
        columns=["Model", *(f"+{hour:g} h" for hour in table.lead_hours)],
        rows=[
            [model, *(fixed(value, 3) for value in by_lead(table, model, metric))]
            for model in table.models
        ],
    )


def fixed(value: float, digits: int, *, sign: bool = False) -> str:
    """A number with a true minus sign; a dash where there is none."""
    if not math.isfinite(value):
        return "–"
    return f"{value:{'+' if sign else ''}.{digits}f}".replace("-", "\N{MINUS SIGN}")


def skill_text(value: float) -> str:
    """``+0.031``: a share of the reference's error, as in every table and sentence of ours."""
    return fixed(value, 3, sign=True)


def sentences(text: str) -> list[str]:
    """A text cut after each full stop that a capital follows."""
    return re.split(r"(?<=\.) (?=[A-Z])", text)


def with_true_minus(text: str) -> str:
    """The hyphens before numbers as minus signs."""
    return re.sub(r"(?<![\w-])-(?=\d)", "\N{MINUS SIGN}", text)


def _metric(table: SkillTable, model: str, metric: str) -> str:
    digits = 2 if metric.startswith("psnr") else 3
    return fixed(table.score(model, metric), digits, sign=metric == "bias")


def _skill(table: SkillTable, model: str) -> Interval:
    against = table.skill[model].get(table.best_baseline or "")
    return against.mae if against else _UNKNOWN


def _bounds(skill: Interval) -> str:
    if not math.isfinite(skill.low):
        return ""
    return f"[{skill_text(skill.low)}, {skill_text(skill.high)}]"


@dataclass(frozen=True)
class _Axis:
    """A common axis of skill, for drawing intervals 160 x 18 units large."""

    low: float
    high: float

    @classmethod
    def around(cls, skills: list[Interval]) -> "_Axis":
        values = [
            value
            for skill in skills
            for value in (skill.estimate, skill.low, skill.high)
            if math.isfinite(value)
        ]
        return cls(max(min([0.0, *values]), _WORST_DRAWN), max([0.0, *values]))

    def x(self, value: float) -> float:
        share = (value - self.low) / ((self.high - self.low) or 1.0)
        return 5.0 + 150.0 * min(max(share, 0.0), 1.0)

    def draw(self, skill: Interval) -> str:
        parts = [_line(self.x(0.0), self.x(0.0), 0, 18, "var(--muted)", 1)]
        if skill.estimate < self.low:
            parts.append('<path d="M2 9l7 -4v8z" fill="var(--muted)"/>')
        elif math.isfinite(skill.low):
            parts.append(_line(self.x(skill.low), self.x(skill.high), 9, 9, "var(--accent)", 2))
        if skill.estimate >= self.low:
            x = self.x(skill.estimate)
            parts.append(f'<circle cx="{x:.1f}" cy="9" r="3.5" fill="var(--accent)"/>')
        return f'<svg viewBox="0 0 160 18" focusable="false">{"".join(parts)}</svg>'


def _line(x1: float, x2: float, y1: float, y2: float, colour: str, width: float) -> str:
    return (
        f'<line x1="{x1:.1f}" x2="{x2:.1f}" y1="{y1}" y2="{y2}" stroke="{colour}" '
        f'stroke-width="{width}"/>'
    )
