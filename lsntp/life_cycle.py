"""What every expected hour of a domain is now, since when, and why: the scheduler's truth."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np
import numpy.typing as npt

from lsntp.archives.coverage import coverage
from lsntp.archives.ledger import HourLedger, Replacement
from lsntp.archives.quarantine import Quarantine
from lsntp.config import Domain
from lsntp.errors import ArchiveError
from lsntp.intake import existing_archive
from lsntp.names import Status
from lsntp.sources import Upstream, open_source
from lsntp.times import Duration, Instant, Period, Times, format_time, parse_time, utc_now
from lsntp.workspace import Workspace

ASKED_IN_VAIN = "asked for, and not delivered"
UNDER_WAY = "asked for, not delivered yet"


class HourState(StrEnum):
    """What an expected hour is: its status in the archive, or under way."""

    MISSING = "missing"
    PENDING = "pending"
    PRELIMINARY = "preliminary"
    FINAL = "final"
    QUARANTINED = "quarantined"
    UPSTREAM_HOLE = "upstream_hole"

    @property
    def is_usable(self) -> bool:
        """Whether the hour holds a true field."""
        return self in (HourState.PRELIMINARY, HourState.FINAL)


STATES = tuple(HourState)
_CODES = {state: code for code, state in enumerate(STATES)}


@dataclass(frozen=True)
class Span:
    """Consecutive hours ``[start, end)`` in one state for one reason.

    Attributes:
        start: the first hour.
        end: the hour after the last.
        state: what they are.
        since: when the first of them was written, marked or asked for; NaT where never.
        until: when the last of them was.
        why: why there is no field; empty where there is one, or nobody knows.
    """

    start: Instant
    end: Instant
    state: HourState
    since: Instant
    until: Instant
    why: str

    def to_json(self) -> dict[str, Any]:
        """Ready for JSON."""
        return {
            "start": format_time(self.start),
            "end": format_time(self.end),
            "state": self.state.value,
            "since": None if np.isnat(self.since) else format_time(self.since),
            "until": None if np.isnat(self.until) else format_time(self.until),
            "why": self.why,
        }


@dataclass(frozen=True, eq=False)
class LifeCycle:
    """Every expected hour.

    Attributes:
        times: (n,) regular.
        codes: (n,) positions in :data:`STATES`.
        at: (n,) when each was last written, marked or asked for; NaT where never.
        why: (n,) why there is no field, in words; empty where there is one.
        replaced: preliminary hours that gave way to newer fields, and how much they changed.
        cadence: time between two hours.
    """

    times: Times
    codes: npt.NDArray[np.int8]
    at: Times
    why: npt.NDArray[np.object_]
    replaced: tuple[Replacement, ...]
    cadence: Duration

    @property
    def counts(self) -> dict[HourState, int]:
        """How many hours are in each state."""
        return {state: int((self.codes == code).sum()) for code, state in enumerate(STATES)}

    def spans(self) -> list[Span]:
        """Spans of equal state and reason, in order."""
        if not self.times.size:
            return []
        differs = (self.codes[1:] != self.codes[:-1]) | (self.why[1:] != self.why[:-1])
        firsts = np.concatenate([[0], np.flatnonzero(differs) + 1])
        lasts = np.concatenate([firsts[1:], [self.times.size]]) - 1
        return [
            Span(
                self.times[first],
                self.times[last] + self.cadence,
                STATES[self.codes[first]],
                np.fmin.reduce(self.at[first : last + 1]),
                np.fmax.reduce(self.at[first : last + 1]),
                str(self.why[first]),
            )
            for first, last in zip(firsts, lasts, strict=True)
        ]

    def to_json(self) -> dict[str, Any]:
        """Every span and replacement, ready for JSON."""
        spans = self.spans()
        return {
            "start": format_time(spans[0].start) if spans else None,
            "end": format_time(spans[-1].end) if spans else None,
            "expected": int(self.times.size),
            "usable": sum(count for state, count in self.counts.items() if state.is_usable),
            **{state.value: count for state, count in self.counts.items()},
            "spans": [span.to_json() for span in spans],
            "replaced": [
                {
                    "start": format_time(one.start),
                    "end": format_time(one.end),
                    "at": format_time(one.at),
                    "largest_change_k": one.largest_change_k,
                }
                for one in self.replaced
            ],
        }


def life_cycle(
    domain: Domain, *, period: Period | None = None, clock: Callable[[], Instant] = utc_now
) -> LifeCycle:
    """The state of every expected hour of a domain; changes nothing and asks nobody.

    Args:
        domain: the resolved configuration.
        period: by default from ``archive.start`` to the end of the archive, or to what a source
            beyond a network should have published by now; without either to the end of the split.
        clock: what time it is.

    Raises:
        ArchiveError: if the archive is damaged or was made for another grid, start or cadence.
    """
    workspace = Workspace.of(domain)
    archive = existing_archive(domain)
    source = open_source(domain, clock=clock)
    upstream = source if isinstance(source, Upstream) else None
    ledger = HourLedger(workspace.quarantine, domain.cadence)
    if period is None:
        ends = [] if archive is None else [archive.start + archive.times.size * domain.cadence]
        if upstream is not None:
            ends.append(clock() - upstream.publication_latency + domain.cadence)
        end = max(ends) if ends else parse_time(domain.split.test.end)
        period = Period(domain.start, max(end, domain.start + domain.cadence))

    known = coverage(archive, domain.start, domain.cadence, period)
    times = known.times
    codes = np.array([_CODES[HourState(Status(code).name.lower())] for code in range(5)], np.int8)[
        known.status
    ]
    why = np.full(times.size, "", dtype=object)
    at = np.full(times.size, np.datetime64("NaT", "ns"), "datetime64[ns]")
    if archive is not None:
        at = archive.ingested_at(times)
    is_empty = ~np.isin(known.status, [int(status) for status in Status if status.is_usable])
    for asked in ledger.asked():
        chosen = is_empty & Period(asked.start, asked.end).contains(times)
        at[chosen] = asked.at
        why[chosen] = asked.why or ASKED_IN_VAIN
    is_rejected = known.status == Status.QUARANTINED
    if is_rejected.any():
        try:
            reasons = _reasons(Quarantine(workspace.quarantine), period)
        except ArchiveError as error:  # one damaged entry must not hide the state of all hours
            why[is_rejected] = str(error)
        else:
            for time, words in reasons.items():
                why[is_rejected & (times == time)] = words
    if upstream is not None:
        is_pending = is_empty & np.isin(times, upstream.pending(period))
        codes[is_pending] = _CODES[HourState.PENDING]
        why[is_pending] = UNDER_WAY
    return LifeCycle(times, codes, at, why, tuple(ledger.replaced()), domain.cadence)


def _reasons(quarantine: Quarantine, period: Period) -> dict[Instant, str]:
    """The reasons of the newest rejected field of each time."""
    return {
        entry.rejection.time: "; ".join(entry.rejection.reasons)
        for entry in quarantine.entries(period)
    }
