"""Drift: has the champion been no better than persistence for days on end?"""

import logging
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np

from lsntp.archives.evaluation import MODEL
from lsntp.archives.forecast import ForecastArchive
from lsntp.config import Domain
from lsntp.errors import EvaluationError
from lsntp.evaluation.breakdown import DAY, skill_through_time
from lsntp.evaluation.selection import open_scores
from lsntp.evaluation.table import counted
from lsntp.grid import Floats
from lsntp.names import CHAMPION
from lsntp.times import DAY as ONE_DAY
from lsntp.times import LAST_INSTANT, Instant, Period, Times
from lsntp.workspace import Workspace

BAR: Final = "persistence"

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Drift:
    """A verdict with its numbers.

    Attributes:
        is_drifting: whether the skill was below ``threshold`` on each of the last ``for_days``.
        days_below: days in a row, up to the last, on which it was.
        for_days: how many it takes.
        skill: 1 - MAE / MAE of persistence over the window that ends on the last day; NaN where
            nothing was scored.
        threshold: below which it is too low.
        window_days: days over which a skill is taken.
        last_day: the last with a skill; None where there is none.
        why_none: why there is none, as far as that is known.
    """

    is_drifting: bool
    days_below: int
    for_days: int
    skill: float
    threshold: float
    window_days: int
    last_day: Instant | None
    why_none: str = ""

    @property
    def verdict(self) -> str:
        """In words."""
        if self.last_day is None:
            return (
                f"No skill of the {CHAMPION} against {BAR} over {counted(self.window_days, 'day')} "
                f"yet. {self.why_none}"
            ).rstrip()
        state = "has drifted" if self.is_drifting else "holds"
        return (
            f"The {CHAMPION} {state}: skill against {BAR} {self.skill:+.3f} over the "
            f"{counted(self.window_days, 'day')} to {self.last_day.astype('datetime64[D]')}, below "
            f"{self.threshold:g} for {counted(self.days_below, 'day')} in a row; drift begins at "
            f"{counted(self.for_days, 'day')}."
        )

    def to_dict(self) -> dict[str, Any]:
        """Ready for JSON; None stands for NaN."""
        return {
            "is_drifting": self.is_drifting,
            "verdict": self.verdict,
            "skill": self.skill if np.isfinite(self.skill) else None,
            "threshold": self.threshold,
            "window_days": self.window_days,
            "days_below": self.days_below,
            "for_days": self.for_days,
            "last_day": None
            if self.last_day is None
            else str(self.last_day.astype("datetime64[D]")),
        }


def judge_drift(
    days: Times, skill: Floats, *, threshold: float, for_days: int, window_days: int
) -> Drift:
    """The rule: below ``threshold`` on each of the last ``for_days`` days.

    A day without a skill breaks the row: nothing is known of it.

    Args:
        days: (n,) every day, ascending.
        skill: (n,) of the window that ends on each; NaN where it holds no forecast.
        threshold: below which a skill is too low; equal is not below.
        for_days: days in a row that make a drift.
        window_days: days of a window; the first ``window_days - 1`` days have none that is whole
            and do not count.
    """
    days, skill = days[window_days - 1 :], skill[window_days - 1 :]
    known = np.flatnonzero(np.isfinite(skill))
    below = 0
    for value in skill[::-1]:
        if not value < threshold:
            break
        below += 1
    return Drift(
        is_drifting=below >= for_days,
        days_below=below,
        for_days=for_days,
        skill=float(skill[known[-1]]) if known.size else float("nan"),
        threshold=threshold,
        window_days=window_days,
        last_day=days[known[-1]] if known.size else None,
    )


def drift_of(domain: Domain, champion: str | None = None) -> Drift:
    """The verdict on the domain's champion, from its newest forecasts and their scores.

    After a promotion it starts afresh: forecasts of another version than the present champion
    say nothing about this one. Before champion and persistence have scores over common initial
    times nothing drifts.

    Args:
        domain: whose champion.
        champion: the present champion's version; None for that of the newest forecast.

    Raises:
        ArchiveError: if the evaluation archive is damaged.
    """
    rule, why_none = domain.drift, ""
    days, skill = np.array([], "datetime64[ns]"), np.array([], np.float64)
    try:
        if BAR not in domain.baselines:
            raise EvaluationError(  # noqa: TRY301
                f"Expected {BAR} under baselines in the domain file, to measure drift against, "
                f"found {', '.join(domain.baselines) or 'none'}; add it and train it."
            )
        trend = skill_through_time(
            domain,
            window_days=rule.window_days,
            baseline=BAR,
            models=[CHAMPION],
            period=_recent(domain, champion),
        )
    except EvaluationError as error:
        _log.info("No skill of the %s yet: %s", CHAMPION, error)
        why_none = str(error)
    else:
        days, skill = trend[DAY].values, trend["skill"].sel({MODEL: CHAMPION}).values
    found = judge_drift(
        days,
        skill,
        threshold=rule.threshold,
        for_days=rule.for_days,
        window_days=rule.window_days,
    )
    return replace(found, why_none=why_none)


def _recent(domain: Domain, champion: str | None) -> Period | None:
    """As many of the last days with a score as the rule looks at, and one more; None for none.

    None of them before the present champion's forecasts begin.

    Raises:
        EvaluationError: if nothing was ever scored, or nothing by the present champion.
    """
    scored = open_scores(domain).scored(CHAMPION)
    if not scored.size:
        return None
    days = domain.drift.window_days + domain.drift.for_days
    midnight = scored[-1].astype("datetime64[D]").astype("datetime64[ns]")
    start = max(midnight - days * ONE_DAY, _reign_begins(domain, scored, champion))
    return Period(start, LAST_INSTANT)


def _reign_begins(domain: Domain, scored: Times, champion: str | None) -> Instant:
    """The first of the newest of these initial times that are all by the present champion.

    Raises:
        EvaluationError: if the last one is by another version.
    """
    archive = ForecastArchive.open(Workspace.of(domain).forecast(CHAMPION))
    versions = np.array(archive.model_versions(scored), str)
    present = champion or archive.model_versions(archive.written()[-1:])[0]
    others = np.flatnonzero(versions != present)
    first = int(others[-1]) + 1 if others.size else 0
    if first == scored.size:
        raise EvaluationError(
            f"Expected scored forecasts by the present {CHAMPION} {present}, found none; the last "
            f"is by {versions[-1]}."
        )
    return Instant(scored[first])
