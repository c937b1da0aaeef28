"""Kinds of reasons for which a field is rejected, so that they can be counted."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from lsntp.archives.quarantine import QuarantineEntry
from lsntp.times import Instant

OTHER = "other"

_KINDS = (
    ("another grid", r"cells of the grid of the earlier fields"),
    ("off the time axis", r"a time on the axis"),
    ("several fields for one time", r"one field for .* with different content"),
    ("NaN", r"\) NaN;"),
    ("zeros", r"exactly 0 K"),
    ("infinite values", r"\) infinite;"),
    ("degrees Celsius", r"degrees Celsius labelled as kelvin"),
    ("a spread or difference", r"looks like an ensemble spread"),
    ("implausible values", r"\.\.-?[0-9.]+ K, found .* cells outside"),
    ("constant, or partly so", r"a field that varies"),
    ("repeated or frozen", r"looks like a repeated field|frozen for"),
    ("upside down", r"latitude from north to south|latitude looks reversed"),
    ("displaced", r"it lies too far"),
    ("wrong time", r"time looks wrong|the times look"),
    ("out of season or place", r"another season"),
    ("a jump in time", r"most cells within .* of the (previous|usual) field|a jump in time"),
    ("a jump in space", r"a jump in space"),
)
"""Kind and what its sentences say (see :mod:`lsntp.quality`), the more telling first."""


@dataclass(frozen=True)
class ReasonCount:
    """How often one kind of reason was given, and from when to when."""

    kind: str
    count: int
    first: Instant
    last: Instant


def kind_of(reason: str) -> str:
    """The kind of one sentence; :data:`OTHER` for one that is not known."""
    return next((kind for kind, pattern in _KINDS if re.search(pattern, reason)), OTHER)


def count_reasons(entries: Sequence[QuarantineEntry]) -> list[ReasonCount]:
    """The kinds, most frequent first; a field with two reasons of a kind counts once for it."""
    times: dict[str, list[Instant]] = {}
    for entry in entries:
        for kind in dict.fromkeys(kind_of(reason) for reason in entry.rejection.reasons):
            times.setdefault(kind, []).append(entry.rejection.time)
    counts = [
        ReasonCount(kind, len(found), min(found), max(found)) for kind, found in times.items()
    ]
    return sorted(counts, key=lambda count: (-count.count, count.kind))
