"""Geopotential and land-sea mask of ERA5: one small request to the Climate Data Store."""

import datetime as dt
import hashlib
import logging
import time
from collections.abc import Sequence
from pathlib import Path

from ecmwf.datastores import Remote

from lsntp.config import StaticEra5
from lsntp.errors import SourceDataError, SourceUnavailableError
from lsntp.grid import Grid
from lsntp.names import LAND_FRACTION, OROGRAPHY
from lsntp.sources.decoding import open_surface
from lsntp.sources.era5.delivery import Asset, require_allowed
from lsntp.sources.era5.ledger import Entry, Ledger
from lsntp.sources.era5.patience import Patience
from lsntp.sources.era5.request import Product, Request, asked_box
from lsntp.sources.era5.service import JobFailedError, JobGoneError, Service
from lsntp.sources.transfer import AbsentError, Limits, download, host_of

logger = logging.getLogger(__name__)

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
    """

    def __init__(self, config: StaticEra5, area: Grid, folder: Path) -> None:
        self._config = config
        self._ledger = Ledger(folder)
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
            SourceDataError: if the store refuses the request, or delivers something else.
        """
        target = self._ledger.file(self._request)
        with self._ledger.held():
            if target.exists():  # it was checked before it got its name
                return [target]
            patience = Patience(
                attempts=self._config.retries + 1,
                longest_pause_s=self._config.pause_s,
                deadline=time.monotonic() + 60.0 * self._config.deadline_minutes,
            )
            service = Service(self._config.dataset, patience, self._config.timeout_s)
            try:
                self._bring_or_ask_anew(service, patience, target)
            except (JobFailedError, JobGoneError, SourceDataError):
                self._ledger.remove(self._request)  # the next run asks anew
                raise
        return [target]

    def _bring_or_ask_anew(self, service: Service, patience: Patience, target: Path) -> None:
        try:
            self._bring(service, patience, target)
        except JobGoneError as error:
            logger.warning("%s: submitted anew. %s", self.description, error)
            self._ledger.remove(self._request)
            self._bring(service, patience, target)

    def _bring(self, service: Service, patience: Patience, target: Path) -> None:
        remote = self._job(service)
        pause_s = min(1.0, self._config.pause_s)
        while (status := service.status(remote)) in ("accepted", "running"):
            if pause_s >= patience.remaining_s:
                raise SourceUnavailableError(
                    f"Expected {self.description} within {self._config.deadline_minutes:g} "
                    f"minutes, found job {remote.request_id} {status}; it stays queued and the "
                    "next run picks it up."
                )
            time.sleep(pause_s)
            pause_s = min(1.5 * pause_s, self._config.pause_s)
        asset = Asset.of(service.results(remote))
        require_allowed(asset.url, self._config.hosts, service.url)
        limits = Limits(
            retries=self._config.retries,
            pause_s=self._config.pause_s,
            stall_s=self._config.timeout_s,
            deadline_s=patience.remaining_s,
            max_bytes=MAX_BYTES,
        )
        try:
            download(
                asset.url,
                target,
                hosts=frozenset({host_of(asset.url)}),
                limits=limits,
                check=lambda path: _check(path, asset),
            )
        except AbsentError as error:
            raise JobGoneError(f"{error} The result has expired.") from error

    def _job(self, service: Service) -> Remote:
        """The job of an earlier run, or a new one, noted."""
        entry = self._ledger.find(self._request)
        if entry is not None and entry.job is not None:
            return service.attach(entry.job)
        noted = entry or Entry(
            request=self._request, state="submitting", submitted_at=dt.datetime.now(dt.UTC)
        )
        self._ledger.put(noted)
        job = service.submit(self._request, since=noted.submitted_at, is_unsure=entry is not None)
        self._ledger.put(noted.model_copy(update={"state": "queued", "job": job}))
        logger.info("%s: submitted as job %s", self.description, job)
        return service.attach(job)


def _check(path: Path, asset: Asset) -> None:
    """Refuse what is damaged, and what was not asked for."""
    asset.check(path)
    kinds = sorted(field.kind for field in open_surface(path))
    if kinds != sorted((OROGRAPHY, LAND_FRACTION)):
        raise SourceDataError(
            f"Expected {' and '.join(VARIABLES)} from the Climate Data Store, found "
            f"{', '.join(kinds) or 'neither'}; the result is not used. Run again, and report it "
            "if it stays so."
        )
