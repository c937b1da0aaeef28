"""What one alarm found."""

from dataclasses import dataclass
from enum import StrEnum


class Level(StrEnum):
    """How it stands: well, worth a look, an alarm; or nothing to judge yet."""

    GREEN = "green"
    YELLOW = "yellow"
    RED = "red"
    UNKNOWN = "unknown"

    @classmethod
    def rising(cls, value: float, yellow: float, red: float) -> "Level":
        """The level of what is better the smaller; a limit itself is still well."""
        if value > red:
            return cls.RED
        return cls.YELLOW if value > yellow else cls.GREEN

    @classmethod
    def falling(cls, value: float, yellow: float, red: float) -> "Level":
        """The level of what is better the larger; a limit itself is still well."""
        return cls.rising(-value, -yellow, -red)


class AlarmName(StrEnum):
    """Every alarm there is; also the last part of its event's name."""

    STALE_ANALYSIS = "stale-analysis"
    STALE_FORECAST = "stale-forecast"
    LOW_COVERAGE = "low-coverage"
    QUALITY_REJECTIONS = "quality-rejections"
    SKILL_DRIFT = "skill-drift"
    FAILED_PROMOTION = "failed-promotion"
    DISK_SPACE = "disk-space"


@dataclass(frozen=True)
class Finding:
    """How one thing stands that somebody is called for when it goes wrong.

    Attributes:
        name: which alarm it is.
        level: how it stands; red is an alarm.
        expected: what should be there.
        found: what is.
        where: the archive, folder or file that was looked at.
        remedy: what to do where it is yellow or red.
        limits: where yellow and red begin, in words.
    """

    name: AlarmName
    level: Level
    expected: str
    found: str
    where: str
    remedy: str
    limits: str

    @property
    def is_alarm(self) -> bool:
        """Whether somebody has to be called."""
        return self.level is Level.RED
