"""The status page of all domains below an archive root: one file, nothing loaded from anywhere."""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Final, Self

from lsntp.alarms import AlarmName, Level
from lsntp.evaluation.table import counted
from lsntp.report.html import INDEX, render
from lsntp.report.scores import fixed, skill_text, with_true_minus
from lsntp.status.document import GRAVITY, Day, Judgement, Status

WORDS: Final = {
    Level.GREEN: "well",
    Level.YELLOW: "worth a look",
    Level.RED: "alarm",
    Level.UNKNOWN: "nothing to judge yet",
}
LABELS: Final = {
    AlarmName.STALE_ANALYSIS: "Last good analysis",
    AlarmName.STALE_FORECAST: "Last forecast",
    AlarmName.LOW_COVERAGE: "Coverage",
    AlarmName.QUALITY_REJECTIONS: "Rejected fields",
    AlarmName.SKILL_DRIFT: "Skill",
    AlarmName.FAILED_PROMOTION: "Champion",
    AlarmName.DISK_SPACE: "Disk space",
}
SPARK: Final = (150.0, 38.0)
"""Width and height of a small curve."""


@dataclass(frozen=True)
class Moment:
    """A time for people and for the script."""

    iso: str
    text: str

    @classmethod
    def of(cls, time: dt.datetime) -> Self:
        """To the minute for people."""
        utc = time.astimezone(dt.UTC)
        return cls(utc.strftime("%Y-%m-%dT%H:%M:%SZ"), utc.strftime("%Y-%m-%d %H:%M"))


@dataclass(frozen=True)
class Row:
    """One judgement: its main value, large, and what was found unless an alarm says it above."""

    label: str
    level: Level
    word: str
    value: str
    moment: Moment | None
    spark: str
    found: str
    limits: str


@dataclass(frozen=True)
class Alarm:
    """An open alarm, with what to do."""

    label: str
    since: Moment | None
    expected: str
    found: str
    where: str
    remedy: str


@dataclass(frozen=True)
class View:
    """One domain."""

    domain: str
    description: str
    is_synthetic: bool
    level: Level
    word: str
    link: str
    made: Moment
    good_until: Moment
    alarms: list[Alarm]
    rows: list[Row]


def render_status(
    entries: Sequence[Status], *, reports: Sequence[str] = (), faults: Sequence[str] = ()
) -> str:
    """The page, the gravest first; the same documents give the same bytes.

    Args:
        entries: one a domain.
        reports: domains that have a report beside the page, to link to.
        faults: what could not be read.
    """
    entries = sorted(entries, key=lambda entry: (-GRAVITY.index(entry.level), entry.domain))
    alarms = sum(len(entry.alarms) for entry in entries)
    heading = "No alarm" if not alarms else counted(alarms, "alarm")
    return render(
        "status.html",
        title=f"{heading}: state of the forecasts",
        heading=heading,
        lead=_lead(entries),
        views=[_view(entry, entry.domain in reports) for entry in entries],
        faults=list(faults),
        status_css=_resource("status.css"),
        status_js=_resource("status.js"),
    )


def _lead(entries: Sequence[Status]) -> str:
    def named(level: Level) -> list[str]:
        return [entry.domain for entry in entries if entry.level is level]

    parts = [
        f"{', '.join(names)} {verb if len(names) > 1 else verb_of_one}"
        for level, verb_of_one, verb in (
            (Level.RED, "needs somebody", "need somebody"),
            (Level.YELLOW, "is worth a look", "are worth a look"),
            (
                Level.UNKNOWN,
                "has nothing to judge yet in part",
                "have nothing to judge yet in part",
            ),
            (Level.GREEN, "is well", "are well"),
        )
        if (names := named(level))
    ]
    return "; ".join(parts) + "." if parts else "Nothing is watched."


def _view(status: Status, has_report: bool) -> View:
    return View(
        domain=status.domain,
        description=status.description,
        is_synthetic=status.is_synthetic,
        level=status.level,
        word=WORDS[status.level],
        link=f"../reports/{status.domain}/{INDEX.file}" if has_report else "",
        made=Moment.of(status.made_at),
        good_until=Moment.of(status.good_until),
        alarms=[
            Alarm(
                LABELS[one.name],
                Moment.of(one.open_since) if one.open_since else None,
                one.expected,
                with_true_minus(one.found),
                one.where,
                one.remedy,
            )
            for one in status.alarms
        ],
        rows=[_row(status, one) for one in status.judgements],
    )


def _row(status: Status, one: Judgement) -> Row:
    value, moment = _value(status, one)
    has_days = one.name is AlarmName.SKILL_DRIFT and status.skill is not None
    return Row(
        label=_label(status, one.name),
        level=one.level,
        word=WORDS[one.level],
        value=value,
        moment=moment,
        spark=_spark(status.skill.daily) if has_days and status.skill else "",
        found="" if one.level is Level.RED else with_true_minus(one.found),
        limits=one.limits[:1].upper() + one.limits[1:],
    )


def _label(status: Status, name: AlarmName) -> str:
    if name is AlarmName.SKILL_DRIFT and status.skill:
        return f"Skill of the last {status.skill.days} days"
    if name is AlarmName.LOW_COVERAGE and status.coverage:
        return f"Coverage of {counted(status.coverage.days, 'day')}"
    return LABELS[name]


def _value(status: Status, one: Judgement) -> tuple[str, Moment | None]:
    """What stands large: a time, or a text; a dash where there is nothing."""
    match one.name:
        case AlarmName.STALE_ANALYSIS if status.analysis:
            return "", Moment.of(status.analysis.time)
        case AlarmName.STALE_FORECAST if status.forecast:
            return "", Moment.of(status.forecast.init_time)
        case AlarmName.LOW_COVERAGE if status.coverage:
            held, expected = status.coverage, status.coverage.expected
            return f"{held.final + held.preliminary} of {expected}", None
        case AlarmName.QUALITY_REJECTIONS if status.coverage and one.found[:1].isdigit():
            return one.found.split()[0], None
        case AlarmName.SKILL_DRIFT if status.skill and status.skill.skill is not None:
            mae = "" if status.skill.mae_k is None else f", MAE {fixed(status.skill.mae_k, 2)} K"
            return f"{skill_text(status.skill.skill)}{mae}", None
        case AlarmName.FAILED_PROMOTION if status.forecast:
            return status.forecast.model_version, None
        case AlarmName.DISK_SPACE if status.disk:
            return f"{status.disk.free_gb:.0f} of {status.disk.total_gb:.0f} GB", None
    return "–", None


def _spark(days: Sequence[Day]) -> str:
    """Daily skill as a small curve with a line at zero, broken where a day has none."""
    known = [day.skill for day in days if day.skill is not None]
    if len(known) < 2:
        return ""
    low, high = min([0.0, *known]), max([0.0, *known])
    width, height = SPARK
    span = (high - low) or 1.0

    def y(skill: float) -> float:
        return 3 + (height - 6) * (high - skill) / span

    parts: list[list[str]] = [[]]
    for place, day in enumerate(days):
        if day.skill is None:
            parts.append([])
        else:
            x = 2 + (width - 4) * place / (len(days) - 1)
            parts[-1].append(f"{x:.1f},{y(day.skill):.1f}")
    curves = "".join(
        f'<polyline points="{" ".join(part)}" fill="none" stroke="var(--accent)" '
        'stroke-width="2" stroke-linejoin="round" stroke-linecap="round"/>'
        for part in parts
        if part
    )
    zero = (
        f'<line x1="0" x2="{width:g}" y1="{y(0.0):.1f}" y2="{y(0.0):.1f}" stroke="var(--muted)" '
        'stroke-dasharray="3 3"/>'
    )
    label = (
        f"Daily skill from {fixed(min(known), 2, sign=True)} to {fixed(max(known), 2, sign=True)}"
    )
    return (
        f'<svg class="spark" viewBox="0 0 {width:g} {height:g}" role="img" aria-label="{label}" '
        f'focusable="false">{zero}{curves}</svg>'
    )


def _resource(name: str) -> str:
    return (resources.files("lsntp.status") / name).read_text("utf-8")
