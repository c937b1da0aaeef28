"""Geopotential and land-sea mask of ERA5: one small request to the Climate Data Store."""

import hashlib
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from lsntp.config import Era5Source, StaticEra5
from lsntp.errors import LsntpError, SourceDataError
from lsntp.grid import Grid
from lsntp.names import LAND_FRACTION, OROGRAPHY
from lsntp.sources.decoding import open_surface
from lsntp.sources.era5.delivery import Asset
from lsntp.sources.era5.jobs import Queue, refusal_of
from lsntp.sources.era5.ledger import Ledger
from lsntp.sources.era5.patience import Patience
from lsntp.sources.era5.request import Product, Request, asked_box
from lsntp.sources.era5.service import Service
from lsntp.sources.transfer import Limits, download, host_of
from lsntp.times import Instant, Times

VARIABLES = ("geopotential", "land_sea_mask")
YEAR = 2020
"""Any will do: neither field changes."""
MAX_BYTES = 2**26
"""Two global fields of 0.25 degrees in 32-bit numbers take 8 MB."""


class Era5Ground:
    """See :class:`lsntp.static.origins.Origin`.

    The job is noted before it is waited for: a run that was killed, or whose time was over, is
    followed by one that takes it up again.

    Args:
        config: dataset, hosts and patience.
        area: the domain's cells.
        folder: for the note and the file.
        clock: what time it is.
    """

    def __init__(
        self, config: StaticEra5, area: Grid, folder: Path, clock: Callable[[], Instant]
    ) -> None:
        self._config = Era5Source(**config.model_dump(exclude={"source"}))
        self._ledger = Ledger(folder)
        self._clock = clock
        product = Product(
            dataset=config.dataset,
            data_format="grib",
            area=asked_box(area),
            variables=VARIABLES,
        )
        self._request = Request(product=product, year=YEAR, month=1, days=(1,), hours=(0,))

    @property
    def description(self) -> str:
        """``ERA5 geopotential and land_sea_mask (reanalysis-era5-single-levels)``."""
        return f"ERA5 {' and '.join(VARIABLES)} ({self._config.dataset})"

    @property
    def digest(self) -> str:
        """Of the request: its answer does not change."""
        return hashlib.sha256(self._request.key.encode()).hexdigest()

    def paths(self) -> Sequence[Path]:
        """See :meth:`lsntp.static.origins.Origin.paths`.

        Raises:
            CredentialsError: if the key is missing or refused, or the licence not accepted.
            SourceUnavailableError: if the result cannot be had now; the job stays noted.
            SourceDataError: if the job failed and rests, the store refuses the request, or
                delivers something else.
        """
        target = self._ledger.file(self._request)
        with self._ledger.held():
            if not target.exists():  # it was checked before it got its name
                for error in self._fetch():
                    raise error
        return [target]

    def _fetch(self) -> list[LsntpError]:
        """Have the request answered; returns why it was not."""
        resting = self._ledger.resting(self._request.product, self._clock())
        if resting:
            return [refusal_of(resting[0])]
        patience = Patience(
            attempts=self._config.retries + 1,
            longest_pause_s=self._config.pause_s,
            deadline=time.monotonic() + 60.0 * self._config.deadline_minutes,
        )
        queue = Queue(
            self._config,
            self._ledger,
            Service(self._config.dataset, patience, self._config.timeout_s),
            patience,
            self._request.times,
            self._clock,
            fetch=_fetch_both,
        )
        return queue.run([self._request])


def _fetch_both(
    asset: Asset, request: Request, target: Path, *, limits: Callable[[int], Limits]
) -> Times:
    """Bring both fields to ``target``; see :func:`lsntp.sources.era5.delivery.fetch_asset`."""

    def check(path: Path) -> None:
        asset.check(path)
        kinds = sorted(field.kind for field in open_surface(path))
        if kinds != sorted((OROGRAPHY, LAND_FRACTION)):
            raise SourceDataError(
                f"Expected {' and '.join(VARIABLES)} from the Climate Data Store, found "
                f"{', '.join(kinds) or 'neither'}; the result is not used. Run again, and report "
                "it if it stays so."
            )

    hosts = frozenset({host_of(asset.url)})
    download(asset.url, target, hosts=hosts, limits=limits(MAX_BYTES), check=check)
    return request.times[:0]
