"""Is the model in use any good, and can a better one take its place?"""

import datetime as dt
from typing import Final

import numpy as np

from lsntp.alarms.finding import AlarmName, Finding, Level
from lsntp.config import Domain
from lsntp.errors import ModelError
from lsntp.evaluation.drift import BAR, drift_of
from lsntp.evaluation.table import counted
from lsntp.names import CHAMPION
from lsntp.times import Instant, format_time, parse_time
from lsntp.training.champion import champion_of, champion_path, one_line, open_champion
from lsntp.training.decisions import Decision, decisions_of
from lsntp.workspace import Workspace

PROMOTION_LIMITS: Final = (
    "yellow while the gate postpones, red where a candidate was refused in the last {days}, a "
    "promotion was cut short, or the champion is damaged"
)


def skill_drift(domain: Domain) -> Finding:
    """Whether the champion has been no better than persistence for days; the domain's own rule.

    Raises:
        ArchiveError: if the evaluation archive is damaged.
    """
    try:
        champion = champion_of(domain)
    except ModelError:  # failed_promotion tells it
        champion = None
    drift, rule = drift_of(domain, champion.version if champion else None), domain.drift
    level = Level.YELLOW if drift.days_below else Level.GREEN
    if drift.is_drifting:
        level = Level.RED
    if drift.last_day is None:
        level = Level.UNKNOWN
    return Finding(
        AlarmName.SKILL_DRIFT,
        level,
        expected=f"skill against {BAR} of {rule.threshold:g} or more over "
        f"{counted(rule.window_days, 'day')}",
        found=drift.verdict,
        where=str(Workspace.of(domain).evaluation),
        remedy="the report’s page on skill shows since when; look at the analyses of those days "
        f"(lsntp quarantine list {domain.reference}), retrain with lsntp train {domain.reference}, "
        f"or return with lsntp models rollback {domain.reference} --why TEXT",
        limits=f"yellow below {rule.threshold:g}, red after {counted(rule.for_days, 'day')} below",
    )


def failed_promotion(domain: Domain, now: Instant) -> Finding:
    """Whether the newest judgement of a model went wrong, or the champion cannot be used.

    A candidate that was kept because it is not better is no failure. A refusal counts until the
    model is judged again, ``alarms.promotion_days`` at most.
    """
    days = domain.alarms.promotion_days
    oldest = now - np.timedelta64(days, "D")
    level, found, where = Level.GREEN, "no candidate has been judged yet", champion_path(domain)
    if newest := _newest_by_model(domain):
        last = max(newest, key=lambda one: one.decided_at)
        found = f"the last candidate, {last.candidate}, was {last.verdict} {_when(last.decided_at)}"
    for decision in newest:
        if parse_time(decision.decided_at) < oldest:
            continue
        if decision.verdict == "postponed" and level is Level.GREEN:
            level, found = Level.YELLOW, f"{decision.candidate} waits: {decision.reason}"
        if decision.verdict == "refused":
            level, where = Level.RED, Workspace.of(domain).models / "decisions"
            found = f"the gate refused {decision.candidate} {_when(decision.decided_at)}: "
            found += decision.reason
    if fault := _champion_fault(domain, newest):
        level, found, where = Level.RED, fault, champion_path(domain)
    if level is Level.GREEN and not newest and not champion_path(domain).exists():
        level = Level.UNKNOWN
    return Finding(
        AlarmName.FAILED_PROMOTION,
        level,
        expected="candidates that the gate can judge, and a champion that is whole",
        found=found,
        where=str(where),
        remedy=f"lsntp models show {domain.reference} VERSION says what is wrong with a version; "
        f"lsntp train {domain.reference} judges again and completes what was cut short; lsntp "
        f"models rollback {domain.reference} --why TEXT returns to a sound {CHAMPION}",
        limits=PROMOTION_LIMITS.format(days=counted(days, "day")),
    )


def _champion_fault(domain: Domain, newest: list[Decision]) -> str:
    """Why the champion cannot be used, or is not the one the gate chose; empty where it is."""
    try:
        champion = champion_of(domain)
        open_champion(domain)
    except ModelError as error:
        return one_line(error)
    known = champion.decisions if champion else frozenset()
    for decision in newest:
        is_next = decision.champion == (champion.version if champion else None)
        if decision.verdict == "promoted" and is_next and decision.id not in known:
            return f"the promotion of {decision.candidate} was decided, but not carried out"
    return ""


def _newest_by_model(domain: Domain) -> list[Decision]:
    """The newest judgement of each model, oldest first."""
    newest = {one.candidate.rpartition("-")[0]: one for one in decisions_of(domain)}
    return sorted(newest.values(), key=lambda one: one.decided_at)


def _when(moment: dt.datetime) -> str:
    return f"on {format_time(parse_time(moment))}"
