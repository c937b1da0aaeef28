"""What the analysis archive holds, read once for every alarm that asks about it."""

from dataclasses import dataclass, replace
from typing import Self

import numpy as np
import numpy.typing as npt

from lsntp.archives.ledger import HourLedger
from lsntp.config import Domain
from lsntp.intake import existing_archive
from lsntp.names import Status
from lsntp.places import Place
from lsntp.sources import open_source
from lsntp.times import DAY, Duration, Instant, Times, format_time
from lsntp.workspace import Workspace

WHY_LENGTH = 200


@dataclass(frozen=True, eq=False)
class Holdings:
    """Every stored time of a domain.

    Attributes:
        path: of the archive.
        times: (n,) regular; empty where there is no archive yet.
        status: (n,) :class:`~lsntp.names.Status` codes.
        ingested_at: (n,) when each was last written or marked; NaT where never.
        cadence: time between two.
        latency: how long after its time the source publishes an analysis.
        last_refusal: why the source was last asked in vain, and when; empty where it was not.
    """

    path: Place
    times: Times
    status: npt.NDArray[np.int8]
    ingested_at: Times
    cadence: Duration
    latency: Duration
    last_refusal: str = ""

    @classmethod
    def of(cls, domain: Domain) -> Self:
        """Those of a domain; asks no source.

        Raises:
            ArchiveError: if the archive is damaged or does not fit the domain.
        """
        workspace = Workspace.of(domain)
        archive = existing_archive(domain)
        nothing = np.array([], "datetime64[ns]")
        return cls(
            path=workspace.analysis,
            times=nothing if archive is None else archive.times,
            status=np.array([], np.int8) if archive is None else archive.status,
            ingested_at=nothing if archive is None else archive.ingested_at(archive.times),
            cadence=domain.cadence,
            latency=open_source(domain).publication_latency,
            last_refusal=_last_refusal(workspace.quarantine, domain.cadence),
        )

    @property
    def is_usable(self) -> npt.NDArray[np.bool_]:
        """Which times (n,) hold a true field."""
        return np.isin(self.status, [status for status in Status if status.is_usable])

    @property
    def newest(self) -> Instant | None:
        """The newest time with a true field."""
        usable = self.times[self.is_usable]
        return usable[-1] if usable.size else None

    def last_days(self, days: int, until: Instant) -> "Holdings":
        """The times of so many days up to ``until``, with it."""
        chosen = (self.times > until - days * DAY) & (self.times <= until)
        return replace(
            self,
            times=self.times[chosen],
            status=self.status[chosen],
            ingested_at=self.ingested_at[chosen],
        )


def _last_refusal(folder: Place, cadence: Duration) -> str:
    asked = HourLedger(folder, cadence).asked()
    if not asked:
        return ""
    last = max(asked, key=lambda entry: entry.at)
    why = f": {last.why[:WHY_LENGTH]}" if last.why else ""
    return f"asked in vain at {format_time(last.at)}{why}"
