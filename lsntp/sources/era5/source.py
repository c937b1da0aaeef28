"""The source ``era5``: what is on disk answers, the rest is asked of the store."""

import glob
import logging
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import xarray as xr

from lsntp.config import Era5Source
from lsntp.errors import LsntpError, SourceDataError
from lsntp.grid import Grid
from lsntp.progress import open_bar
from lsntp.sources.base import Hole
from lsntp.sources.era5.jobs import Queue, refusal_of
from lsntp.sources.era5.ledger import Entry, Ledger
from lsntp.sources.era5.patience import Patience
from lsntp.sources.era5.request import Product, Request, asked_box, requests_for
from lsntp.sources.era5.service import Service
from lsntp.sources.files import FileSource
from lsntp.times import Duration, Instant, Period, Times, hours

logger = logging.getLogger(__name__)

GIVE_UP = np.timedelta64(92, "D")
"""Older than this, final ERA5 is published: a time that does not come then is a hole."""

_NONE: Times = np.array([], "datetime64[ns]")


class CdsSource:
    """ERA5 of the Climate Data Store; see :class:`lsntp.sources.base.Upstream`.

    Nothing is asked before the first :meth:`fetch`, and nothing that a run before this one has
    fetched within half a day. The deadline counts from the first question of each fetch.

    Args:
        config: the ``source`` section of a domain.
        start: the first time of the domain's axis.
        cadence: the step of the domain's axis.
        folder: where jobs and files are noted; made when it is needed.
        clock: what time it is.
    """

    name = "era5"
    is_synthetic = False

    def __init__(
        self,
        config: Era5Source,
        *,
        start: Instant,
        cadence: Duration,
        folder: Path,
        clock: Callable[[], Instant],
    ) -> None:
        self.publication_latency: Duration = hours(24 * config.publication_days)
        self._config = config
        self._start = start
        self._cadence = cadence
        self._ledger = Ledger(folder)
        self._clock = clock
        self._holes: dict[Instant, Hole] = {}
        self._why_absent: dict[Instant, str] = {}

    def available(self, period: Period) -> Times:
        """The whole hours of the domain's axis that are old enough to be published."""
        first = max(period.start, self._start)
        end = min(period.end, self._clock() - self.publication_latency + np.timedelta64(1, "ns"))
        if first >= end:
            return _NONE
        steps = Period(first, end).steps(self._cadence, self._start)
        whole: Times = steps[steps == steps.astype("datetime64[h]")]
        return whole

    def fetch(self, times: Times, area: Grid) -> list[xr.Dataset]:
        """See :meth:`lsntp.sources.base.Source.fetch`.

        What came is returned even if some requests failed, which are logged; only if nothing
        came their error is raised.
        """
        product = Product(
            dataset=self._config.dataset,
            data_format=self._config.data_format,
            area=asked_box(area),
        )
        times = np.unique(times)
        if not times.size:
            return []
        with self._ledger.held():
            self._ledger.sweep(self._clock())
            self._why_absent = {}
            failures = self._complete(times, product)
            delivered = self._ledger.deliveries(product, times)
            self._note_holes(delivered)
            held = _held(delivered)
            if failures and not np.isin(times, held).any():
                raise max(failures, key=lambda error: error.is_transient)
            for failure in failures:
                logger.warning("%s", failure)
            return self._read(delivered, times, area)

    def pending(self, period: Period) -> Times:
        """See :meth:`lsntp.sources.base.Upstream.pending`."""
        asked = [entry.request.times for entry in self._ledger.open_entries()]
        times: Times = np.unique(np.concatenate([_NONE, *asked]))
        return times[period.contains(times)]

    def holes(self) -> list[Hole]:
        """See :meth:`lsntp.sources.base.Upstream.holes`."""
        return [self._holes[time] for time in sorted(self._holes)]

    def why_absent(self) -> dict[Instant, str]:
        """See :meth:`lsntp.sources.base.Explaining.why_absent`."""
        return dict(self._why_absent)

    def _complete(self, times: Times, product: Product) -> list[LsntpError]:
        """Ask for what is not on disk; returns why something did not come."""
        delivered = self._ledger.deliveries(product, times)
        self._note_holes(delivered)
        known = np.array(list(self._holes), "datetime64[ns]")
        missing = np.setdiff1d(np.setdiff1d(times, _held(delivered)), known)
        missing, failures = self._without_resting(missing, product)
        if not missing.size:
            return failures
        underway = self._underway(product, missing)
        asked = np.concatenate([_NONE, *(request.times for request in underway)])
        requests = [*underway, *requests_for(np.setdiff1d(missing, asked), product)]
        total = sum(request.times.size for request in requests)
        patience = Patience(
            attempts=self._config.retries + 1,
            longest_pause_s=self._config.pause_s,
            deadline=time.monotonic() + 60.0 * self._config.deadline_minutes,
        )
        with open_bar("era5 times", total=total) as bar:
            service = Service(self._config.dataset, patience, self._config.timeout_s)
            queue = Queue(
                self._config,
                self._ledger,
                service,
                patience,
                missing,
                self._clock,
                advance=bar.update,
            )
            failures += queue.run(requests)
            self._why_absent |= queue.why_absent
            return failures

    def _without_resting(self, missing: Times, product: Product) -> tuple[Times, list[LsntpError]]:
        """The times that may be asked for now, and why the others may not."""
        failures: list[LsntpError] = []
        for entry in self._ledger.resting(product, self._clock()):
            if np.isin(entry.request.times, missing).any():
                missing = np.setdiff1d(missing, entry.request.times)
                refusal = refusal_of(entry)
                self._why_absent |= dict.fromkeys(entry.request.times, str(refusal))
                failures.append(refusal)
        return missing, failures

    def _underway(self, product: Product, missing: Times) -> list[Request]:
        """The requests of earlier runs that have a job, or are wanted still; others are dropped."""
        kept: list[Request] = []
        for entry in self._ledger.open_entries():
            is_wanted = entry.job is not None or np.isin(entry.request.times, missing).any()
            if entry.request.product == product and is_wanted:
                kept.append(entry.request)
            else:
                self._ledger.remove(entry.request)
        return kept

    def _read(self, delivered: list[Entry], times: Times, area: Grid) -> list[xr.Dataset]:
        """The asked frames of some deliveries; one that cannot be decoded is asked for anew."""
        if not delivered:
            return []
        paths = [glob.escape(str(self._ledger.file(entry.request))) for entry in delivered]
        files = FileSource(paths, origin=self._start, cadence=self._cadence)
        try:
            frames = files.fetch(times, area)
        except SourceDataError:
            for entry in delivered:
                self._ledger.remove(entry.request)
            raise
        return [frame.assign_attrs(source=self.name) for frame in frames]

    def _note_holes(self, delivered: list[Entry]) -> None:
        oldest_expected = self._clock() - GIVE_UP
        for entry in delivered:
            for absent in entry.absent_times[entry.absent_times < oldest_expected]:
                why = (
                    f"the Climate Data Store left it out of {entry.request}, job {entry.job}, "
                    "though final ERA5 is published by then"
                )
                self._holes[absent] = Hole(absent, why)


def _held(delivered: list[Entry]) -> Times:
    """The times that some deliveries have (n,)."""
    return np.concatenate([_NONE, *(entry.held_times for entry in delivered)])
