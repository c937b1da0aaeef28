"""What the analysis archive cannot tell of its hours: asked for in vain and why, or replaced.

One small JSON file beside the rejected fields. It is written aside and renamed; consecutive hours
with the same story are one entry, so it stays small, and there is at most one entry an hour.
"""

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from lsntp.archives.lease import writer_lease
from lsntp.archives.right import Lease
from lsntp.archives.staging import storage_errors
from lsntp.errors import DomainError, LsntpError
from lsntp.places import Place
from lsntp.times import Duration, Instant, Period, Times, format_time, parse_time

FILE = "ledger.json"
REASON_LENGTH: Final = 400
"""Longer reasons are cut: some repeat a whole answer of a server."""
ASKED: Final = "asked"
REPLACED: Final = "replaced"

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Asked:
    """Consecutive hours ``[start, end)`` that a source was asked for in vain.

    Attributes:
        start: the first hour.
        end: the hour after the last.
        at: when they were asked for last.
        why: why there is no field; empty where nobody knows.
        is_unusable: whether the source answered with what cannot be used; waiting will not help.
    """

    start: Instant
    end: Instant
    at: Instant
    why: str
    is_unusable: bool = False


@dataclass(frozen=True)
class Replacement:
    """Preliminary hours within ``[start, end)`` that gave way to newer fields.

    Attributes:
        start: the first hour.
        end: the hour after the last.
        at: when they were replaced.
        largest_change_k: the largest absolute change of a cell, K.
    """

    start: Instant
    end: Instant
    at: Instant
    largest_change_k: float


class HourLedger:
    """The notes about the hours of one analysis archive.

    Args:
        folder: of the rejected fields of the domain; made when the first note is taken.
        cadence: time between two hours.
    """

    def __init__(self, folder: Place, cadence: Duration) -> None:
        self.path = folder / FILE
        self._cadence = cadence

    def asked(self) -> list[Asked]:
        """Hours asked for in vain, in order."""
        return self._content()[0]

    def replaced(self) -> list[Replacement]:
        """Replacements, in order of their hours."""
        return self._content()[1]

    def asked_at(self, times: Times) -> Times:
        """When each hour (n,) was last asked for in vain; NaT where it was not."""
        found = np.full(times.size, np.datetime64("NaT", "ns"), "datetime64[ns]")
        for entry in self.asked():
            found[Period(entry.start, entry.end).contains(times)] = entry.at
        return found

    def is_unusable(self, times: Times) -> npt.NDArray[np.bool_]:
        """Of which hours (n,) the last answer could not be used."""
        found = np.zeros(times.size, np.bool_)
        for entry in self.asked():
            if entry.is_unusable:
                found |= Period(entry.start, entry.end).contains(times)
        return found

    def note_asked(
        self,
        times: Times,
        *,
        in_vain: Times,
        why: Mapping[Instant, str],
        now: Instant,
        is_unusable: bool = False,
    ) -> None:
        """Note that some hours were asked for; older notes about them are dropped.

        Args:
            times: all that were asked for.
            in_vain: those of them that still hold no usable field.
            why: reasons, where they are known.
            now: when they were asked for.
            is_unusable: whether the answer was what cannot be used.

        Raises:
            ArchiveBusyError: if another process keeps writing here.
            StorageError: if the storage refuses; the notes of before stay.
        """
        if not in_vain.size and not self.path.exists():
            return
        with writer_lease(self.path.parent) as lease:
            asked, replaced = self._content()
            stories = {
                time: (entry.at, entry.why, entry.is_unusable)
                for entry in asked
                for time in np.arange(entry.start, entry.end, self._cadence)
            }
            for time in times:
                stories.pop(time, None)
            for time in in_vain:
                stories[time] = (now, why.get(time, "")[:REASON_LENGTH], is_unusable)
            self._write(lease, self._runs(stories), replaced)

    def note_replaced(self, times: Times, change_k: float, *, now: Instant) -> None:
        """Note that hours are about to be replaced; notes that overlap become one.

        Taken before the fields are put: the run after a kill measures no change any more.

        Args:
            times: the hours, ascending, not empty.
            change_k: largest change of a cell over them, K.
            now: when.

        Raises:
            ArchiveBusyError: if another process keeps writing here.
            StorageError: if the storage refuses; the notes of before stay.
        """
        start, end = times[0], times[-1] + self._cadence
        with writer_lease(self.path.parent) as lease:
            asked, replaced = self._content()
            kept = [entry for entry in replaced if entry.end <= start or entry.start >= end]
            joined = [entry for entry in replaced if entry not in kept]
            note = Replacement(
                min([start, *(entry.start for entry in joined)]),
                max([end, *(entry.end for entry in joined)]),
                now,
                max([change_k, *(entry.largest_change_k for entry in joined)]),
            )
            self._write(lease, asked, sorted([*kept, note], key=lambda entry: entry.start))

    def _runs(self, stories: Mapping[Instant, tuple[Instant, str, bool]]) -> list[Asked]:
        """Consecutive hours with the same story together."""
        runs: list[Asked] = []
        for time in sorted(stories):
            start, story = time, stories[time]
            if runs and (runs[-1].end, *_story(runs[-1])) == (time, *story):
                start = runs.pop().start
            runs.append(Asked(start, time + self._cadence, *story))
        return runs

    def _content(self) -> tuple[list[Asked], list[Replacement]]:
        """What is noted; nothing, and a warning, where the file cannot be read."""
        try:
            content = json.loads(self.path.read_text("utf-8"))
            return (
                [
                    Asked(*_span(entry), str(entry["why"]), entry.get("is_unusable") is True)
                    for entry in content[ASKED]
                ],
                [
                    Replacement(*_span(entry), float(entry["largest_change_k"]))
                    for entry in content[REPLACED]
                ],
            )
        except (FileNotFoundError, NotADirectoryError):
            return [], []
        except LsntpError:
            raise  # of the storage: the notes may be whole
        except (OSError, ValueError, KeyError, TypeError, DomainError) as error:
            _log.warning(
                "Expected notes about hours in %s, found none that can be read (%s); hours without "
                "a field are asked for again, their reasons are lost.",
                *(self.path, error),
            )
            return [], []

    def _write(self, lease: Lease, asked: Sequence[Asked], replaced: Sequence[Replacement]) -> None:
        """Put the notes, if they say anything new."""
        content: dict[str, list[dict[str, Any]]] = {
            ASKED: [_entry(one, why=one.why, is_unusable=one.is_unusable) for one in asked],
            REPLACED: [_entry(one, largest_change_k=one.largest_change_k) for one in replaced],
        }
        text = json.dumps(content, indent=1) + "\n"
        with storage_errors(str(self.path)):
            if self.path.exists() and self.path.read_text("utf-8", errors="replace") == text:
                return
            self.path.parent.mkdir(parents=True, exist_ok=True)
            lease.replace(self.path, text.encode())


def _story(one: Asked) -> tuple[Instant, str, bool]:
    return one.at, one.why, one.is_unusable


def _span(entry: Mapping[str, Any]) -> tuple[Instant, Instant, Instant]:
    return parse_time(entry["start"]), parse_time(entry["end"]), parse_time(entry["at"])


def _entry(one: Asked | Replacement, **rest: str | float | bool) -> dict[str, Any]:
    moments = {"start": one.start, "end": one.end, "at": one.at}
    return {**{name: format_time(moment) for name, moment in moments.items()}, **rest}
