"""The outcome of one check."""

from dataclasses import asdict, dataclass
from enum import StrEnum


class Health(StrEnum):
    """How a check ended."""

    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"
    SKIPPED = "skipped"


@dataclass(frozen=True)
class Check:
    """One thing that was looked at.

    Attributes:
        name: what, in a word or two.
        health: how it is.
        found: what was found.
        expected: what should have been found; empty where all is well.
        remedy: what to do; empty where all is well.
    """

    name: str
    health: Health
    found: str
    expected: str = ""
    remedy: str = ""

    def to_json(self) -> dict[str, str]:
        """Ready for JSON."""
        return {key: str(value) for key, value in asdict(self).items()}


def passed(name: str, found: str) -> Check:
    """A check that found what it should."""
    return Check(name, Health.OK, found)


def failed(name: str, *, expected: str, found: str, remedy: str) -> Check:
    """A check that found something else."""
    return Check(name, Health.FAILED, found, expected, remedy)


def warned(name: str, *, expected: str, found: str, remedy: str) -> Check:
    """A check that found something else, without which a run does nevertheless."""
    return Check(name, Health.WARNING, found, expected, remedy)


def skipped(name: str, why: str) -> Check:
    """A check that does not apply, or could not be made."""
    return Check(name, Health.SKIPPED, why)
