"""What every source of analyses promises."""

from typing import Protocol

import xarray as xr

from lsntp.grid import Grid
from lsntp.times import Duration, Period, Times


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
        """The sorted, unique times in ``period`` that the source can deliver now.

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
        """
        ...
