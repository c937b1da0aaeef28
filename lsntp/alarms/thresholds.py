"""Where yellow and red begin for a domain, with what its file leaves open."""

from dataclasses import dataclass
from typing import Final, Self

from lsntp.config import Domain, Era5Source, NcepR1Source, PluginSource
from lsntp.config.source import GfsSource, SyntheticSource

DAILY: Final = (Era5Source, NcepR1Source)
"""Sources that publish a day at a time: their newest hour is up to a day late on a good day."""
PROMISING: Final = (*DAILY, GfsSource, PluginSource)
"""Sources that promise to be up to date; files and made-up weather that ends promise nothing."""


@dataclass(frozen=True)
class Pair:
    """Yellow beyond the first, red beyond the second."""

    yellow: float
    red: float


@dataclass(frozen=True)
class Thresholds:
    """What depends on cadence and source; everything else is as it stands in the domain file.

    Attributes:
        analysis_h: age of the newest analysis beyond the publication latency, hours.
        forecast_h: how long a forecast has been possible and not made, hours.
        is_watched: whether the source is expected to be up to date at all.
    """

    analysis_h: Pair
    forecast_h: Pair
    is_watched: bool

    @classmethod
    def of(cls, domain: Domain) -> Self:
        """Those of a domain: set ones as they are, a red one never below its yellow one."""
        given = domain.alarms
        batch_h = 24.0 if isinstance(domain.source, DAILY) else 0.0
        return cls(
            analysis_h=_pair(
                given.analysis_late_h, given.analysis_overdue_h, 2 * domain.cadence_h + batch_h, 2
            ),
            forecast_h=_pair(
                given.forecast_late_h, given.forecast_overdue_h, max(domain.cadence_h, 2.0), 3
            ),
            is_watched=isinstance(domain.source, PROMISING)
            or (isinstance(domain.source, SyntheticSource) and domain.source.live)
            or given.analysis_late_h is not None
            or given.analysis_overdue_h is not None,
        )


def _pair(yellow: float | None, red: float | None, default: float, factor: float) -> Pair:
    if yellow is None:
        yellow = default if red is None else min(default, red)
    return Pair(yellow, factor * yellow if red is None else red)
