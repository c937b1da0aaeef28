"""What every source of analyses promises."""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import xarray as xr

from lsntp.grid import Grid
from lsntp.times import Duration, Instant, LeadTimes, Period, Times


class Source(Protocol):
    """Delivers 2 m temperature analyses in one canonical form.

    Attributes:
        name: the name it is registered under.
        is_synthetic: whether everything made from it must be labelled synthetic.
        publication_latency: how long after its time an analysis can be had.
    """

    name: str
    is_synthetic: bool
    publication_latency: Duration

    def available(self, period: Period) -> Times:
        """The sorted, unique times in ``period`` that are worth asking the source for now.

        Raises:
            SourceDataError: if what the source holds cannot be used.
            SourceUnavailableError: if it cannot be reached or is not ready yet.
        """
        ...

    def fetch(self, times: Times, area: Grid) -> list[xr.Dataset]:
        """Canonical frames for the asked times, one dataset per native grid found.

        Each dataset holds ``t2m(time, latitude, longitude)`` float32 in kelvin,
        north to south and -180..180, on the native cells that cover ``area`` and one
        more on each side where the source has them; ``status(time)`` int8;
        ``source_digest(time, digest_byte)`` uint8. NaN is a masked value. Times keep
        the order of the source and may repeat; a time it does not have is left out.

        Raises:
            DomainError: if ``area`` does not lie inside the source's cells.
            SourceDataError: if what the source holds cannot be used.
            SourceUnavailableError: if it cannot be reached or is not ready yet.
            CredentialsError: if a key is missing or refused, or a licence is not accepted.
        """
        ...


@dataclass(frozen=True)
class Hole:
    """A time that the upstream does not have and should have had, and why we say so."""

    time: Instant
    why: str


@runtime_checkable
class Upstream(Source, Protocol):
    """A source beyond a network, which knows more of a time than whether it is there."""

    def pending(self, period: Period) -> Times:
        """The times in ``period`` that were asked for and have not been delivered yet.

        Asks nobody: what a run before this one left in the working folder decides.
        """
        ...

    def holes(self) -> list[Hole]:
        """The times found missing upstream since this source was opened, past their hour."""
        ...


@runtime_checkable
class Explaining(Protocol):
    """A source that also tells why some of the asked times did not come when others did."""

    def why_absent(self) -> dict[Instant, str]:
        """By time, why it did not come when it was last asked for; holes may be left out."""
        ...


@runtime_checkable
class ForecastingSource(Source, Protocol):
    """A source that also has forecasts of its own, which ours are compared with."""

    def fetch_forecasts(
        self, init_times: Times, lead_times: LeadTimes, area: Grid
    ) -> xr.DataArray | None:
        """``t2m(init_time, lead_time, latitude, longitude)`` float32, K, on native cells.

        Only initial times of which every lead is there; None if there is none.

        Raises:
            DomainError: if ``area`` does not lie inside the source's cells.
            SourceDataError: if what the source holds cannot be used.
            SourceUnavailableError: if it cannot be reached or is not ready yet.
            CredentialsError: if it refuses us.
        """
        ...
