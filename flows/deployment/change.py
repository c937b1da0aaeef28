"""How a thing on a server differs from what the files say, field by field."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol

from prefect.client.orchestration import SyncPrefectClient

from lsntp.secrets import shown

SHOWN_LENGTH = 80
"""Characters of a value that are shown."""

Fields = dict[str, Any]


class Thing(Protocol):
    """One thing that a domain has on a server.

    Attributes:
        kind: what it is, in words.
        name: what it is called there.
    """

    @property
    def kind(self) -> str: ...  # noqa: D102

    @property
    def name(self) -> str: ...  # noqa: D102

    def expected(self, client: SyncPrefectClient, /) -> Fields:
        """What the files say, ids of other things on the server filled in."""

    def found(self, client: SyncPrefectClient, /) -> Fields | None:
        """The same fields as the server has them; None where it has no such thing."""

    def write(self, client: SyncPrefectClient, /) -> None:
        """Create it, or make it as expected."""


class Outcome(StrEnum):
    """What became of a thing, or would: shown to people."""

    CREATED = "created"
    UPDATED = "updated"
    UNCHANGED = "unchanged"
    WAITING = "waiting"
    STRAY = "not in the files"


@dataclass(frozen=True)
class Difference:
    """One field that is not as it should be."""

    field: str
    found: Any
    expected: Any

    def __str__(self) -> str:
        return f"{self.field}: {_short(self.found)} -> {_short(self.expected)}"


@dataclass(frozen=True)
class Change:
    """One thing, and what became of it.

    Attributes:
        kind: what it is, in words.
        name: what it is called on the server.
        outcome: what became of it; of a check, what a deploy would make of it.
        differences: the fields that were not as they should be.
        why: of one that waits or is in no file, what to do.
    """

    kind: str
    name: str
    outcome: Outcome
    differences: tuple[Difference, ...] = ()
    why: str = ""

    @property
    def is_drift(self) -> bool:
        """Whether server and files differ in it."""
        return self.outcome in (Outcome.CREATED, Outcome.UPDATED, Outcome.STRAY)


def differences(found: Fields, expected: Fields) -> tuple[Difference, ...]:
    """The fields that differ, named with dots."""
    here, there = _flat(found), _flat(expected)
    return tuple(
        Difference(field, here.get(field), there.get(field))
        for field in sorted(here.keys() | there.keys())
        if here.get(field) != there.get(field)
    )


def _flat(value: Any, path: str = "") -> Fields:
    """``{"a": [{"b": 1}]}`` -> ``{"a.0.b": 1}``; empty containers count as absent."""
    if isinstance(value, Mapping):
        items = [(str(key), inner) for key, inner in value.items()]
    elif isinstance(value, list | tuple):
        items = [(str(index), inner) for index, inner in enumerate(value)]
    else:
        return {path: value}
    flat: Fields = {}
    for key, inner in items:
        flat |= _flat(inner, f"{path}.{key}" if path else key)
    return flat


def _short(value: Any) -> str:
    text = "nothing" if value is None else shown(str(value))
    return text if len(text) <= SHOWN_LENGTH else f"{text[: SHOWN_LENGTH - 1]}…"
