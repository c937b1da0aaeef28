"""Are analyses and forecasts as new as they can be?"""

from typing import Final

import numpy as np

from lsntp.alarms.finding import AlarmName, Finding, Level
from lsntp.alarms.holdings import Holdings
from lsntp.alarms.thresholds import Pair, Thresholds
from lsntp.archives.forecast import ForecastArchive
from lsntp.config import Domain
from lsntp.errors import ArchiveNotFoundError
from lsntp.names import CHAMPION
from lsntp.times import Instant, Times, format_time, hours, in_hours
from lsntp.training.champion import champion_path
from lsntp.workspace import Workspace

INGEST_REMEDY: Final = (
    "lsntp doctor {domain} says what the source, the disk or the scheduler lacks, lsntp status "
    "{domain} why the last hours are missing; then lsntp ingest {domain}, and see that a worker "
    "and the ingest deployment run"
)
FORECAST_REMEDY: Final = (
    "run lsntp forecast {domain} and read what it says; see that a worker and the forecast "
    "deployment run, and that lsntp models show {domain} finds the champion whole"
)


def analysis_freshness(domain: Domain, held: Holdings, limits: Thresholds, now: Instant) -> Finding:
    """Whether the newest analysis is as new as the source's publication latency allows.

    Args:
        domain: whose.
        held: its archive.
        limits: hours beyond the latency.
        now: the time.
    """
    published = now - held.latency
    if held.newest is None:
        age_h, found = np.inf, "none yet"
    else:
        age_h = in_hours(published - held.newest)
        found = f"the newest is of {format_time(held.newest)}"
        if age_h > in_hours(held.cadence):
            found += f", {in_words(age_h)} behind what the source should have published"
    level = Level.rising(age_h, limits.analysis_h.yellow, limits.analysis_h.red)
    if not limits.is_watched:
        level, found = Level.UNKNOWN, f"{found}; {domain.source.name} promises no new ones"
    elif level is not Level.GREEN and held.last_refusal:
        found = f"{found}; {held.last_refusal}"
    oldest = published - hours(limits.analysis_h.red)
    return Finding(
        AlarmName.STALE_ANALYSIS,
        level,
        expected=f"an analysis of {format_time(oldest)} or newer: {domain.source.name} publishes "
        f"{in_words(in_hours(held.latency))} late",
        found=found,
        where=str(held.path),
        remedy=INGEST_REMEDY.format(domain=domain.reference),
        limits=_limits(limits.analysis_h, "beyond the source’s publication latency"),
    )


def forecast_freshness(domain: Domain, held: Holdings, limits: Thresholds, now: Instant) -> Finding:
    """Whether a forecast that the stored analyses allow has been made.

    What counts is how long its last analysis has been there, not how old it is: hours that
    arrive in bulk are not late the moment they are stored.

    Raises:
        ArchiveError: if the champion's forecasts are damaged.
    """
    written = champion_forecasts(domain)
    path = Workspace.of(domain).forecast(CHAMPION)
    waiting = _waiting_since(domain, held, written)
    waited_h = 0.0 if waiting is None else max(0.0, in_hours(now - waiting))
    found = f"the last starts at {format_time(written[-1])}" if written.size else "none yet"
    if waiting is not None:
        found += f", though later analyses have been there for {in_words(waited_h)}"
    level = Level.rising(waited_h, limits.forecast_h.yellow, limits.forecast_h.red)
    if not champion_path(domain).exists() and not written.size:
        level, found = Level.UNKNOWN, "no champion yet: train a model first"
    return Finding(
        AlarmName.STALE_FORECAST,
        level,
        expected="the champion's forecast within "
        f"{in_words(limits.forecast_h.red)} of the analyses it starts from",
        found=found,
        where=str(path),
        remedy=FORECAST_REMEDY.format(domain=domain.reference),
        limits=_limits(limits.forecast_h, "after the analyses it starts from"),
    )


def champion_forecasts(domain: Domain) -> Times:
    """The initial times of the forecasts that users read, ascending.

    Raises:
        ArchiveError: if their archive is damaged.
    """
    try:
        return ForecastArchive.open(Workspace.of(domain).forecast(CHAMPION)).written()
    except ArchiveNotFoundError:
        return np.array([], "datetime64[ns]")


def in_words(number_h: float) -> str:
    """``3 h``, ``1.5 h``; days from four on: ``5 days``."""
    if not np.isfinite(number_h):
        return "for ever"
    if number_h < 96:
        return f"{number_h:.3g} h" if number_h >= 1 else f"{60 * number_h:.0f} min"
    return f"{round(number_h / 24, 1):g} days"


def _limits(pair: Pair, what: str) -> str:
    return f"green up to {in_words(pair.yellow)}, red beyond {in_words(pair.red)} {what}"


def _waiting_since(domain: Domain, held: Holdings, written: Times) -> Instant | None:
    """Since when the earliest forecast after the last one could have been made; None if none can.

    Every model can start where a day before, and the longest history, are there.
    """
    steps = max(domain.history - 1, domain.steps_per_day)
    usable = held.is_usable.astype(np.int64)
    if usable.size <= steps:
        return None
    ready = np.zeros(usable.size, np.bool_)
    ready[steps:] = np.convolve(usable, np.ones(steps + 1, np.int64), "valid") == steps + 1
    ready &= held.times >= domain.split.test.period.start
    if written.size:
        ready &= held.times > written[-1]
    at = held.ingested_at[ready]
    at = at[~np.isnat(at)]
    return at.min() if at.size else None
