"""Requests through the store's queue: submitted once, waited for, fetched, and noted all along."""

import datetime as dt
import logging
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol
from uuid import UUID

import numpy as np
from ecmwf.datastores import Remote

from lsntp.config import Era5Source
from lsntp.errors import CredentialsError, LsntpError, SourceDataError, SourceUnavailableError
from lsntp.sources.era5.delivery import Asset, ForbiddenError, fetch_asset, require_allowed
from lsntp.sources.era5.ledger import Entry, Ledger, md5_of
from lsntp.sources.era5.patience import Patience
from lsntp.sources.era5.request import Request
from lsntp.sources.era5.service import (
    JobFailedError,
    JobGoneError,
    JobRejectedError,
    NotYetError,
    Service,
    TooLargeError,
)
from lsntp.sources.transfer import AbsentError, Limits
from lsntp.times import Instant, Times, format_time

logger = logging.getLogger(__name__)

MOST_HALVINGS = 8
"""Of requests whose job failed, in one run: one bad day of a month is found by five; where every
job fails the fault is another, and the queue is spared."""


class Fetch(Protocol):
    """How a result comes to a file and is checked; returns the asked times it does not have."""

    def __call__(
        self, asset: Asset, request: Request, target: Path, *, limits: Callable[[int], Limits]
    ) -> Times:
        """See :func:`lsntp.sources.era5.delivery.fetch_asset`."""
        ...


@dataclass
class _Job:
    """One of our jobs at the store, as last seen."""

    request: Request
    remote: Remote
    status: str = ""


class Queue:
    """The requests of one run.

    Args:
        config: how many jobs at once, and where results may come from.
        ledger: what is noted; held by the caller.
        service: the store.
        patience: where to give up.
        wanted: the times that this run is about (n,); jobs of earlier runs for others are looked
            after, since they take places in the queue, but neither waited for nor submitted anew.
        clock: what time it is.
        advance: called with the number of times that need no more waiting for.
        fetch: brings the result of a job, as :func:`~lsntp.sources.era5.delivery.fetch_asset`.
    """

    def __init__(
        self,
        config: Era5Source,
        ledger: Ledger,
        service: Service,
        patience: Patience,
        wanted: Times,
        clock: Callable[[], Instant],
        *,
        advance: Callable[[int], object] = lambda _count: None,
        fetch: Fetch = fetch_asset,
    ) -> None:
        self._config = config
        self._ledger = ledger
        self._service = service
        self._patience = patience
        self._wanted = wanted
        self._clock = clock
        self._advance = advance
        self._fetch = fetch
        self._waiting: deque[Request] = deque()
        self._jobs: dict[str, _Job] = {}
        self._lost: Counter[str] = Counter()
        self._halvings = 0
        self._failures: list[LsntpError] = []
        self.why_absent: dict[Instant, str] = {}
        """By time of what was wanted, why it did not come."""

    def run(self, requests: Iterable[Request]) -> list[LsntpError]:
        """Bring what is wanted to its end; returns why some of it did not come.

        If the store does not answer, or not in time, that is why; the jobs stay queued and noted.

        Raises:
            CredentialsError: if the key is refused or a licence is missing.
            OSError: if something cannot be written.
        """
        self._waiting.extend(requests)
        try:
            self._run()
        except SourceUnavailableError as error:
            jobs = (job.request for job in self._jobs.values())
            for request in (*self._waiting, *jobs):
                self.why_absent |= dict.fromkeys(request.times, str(error))
            self._failures.append(error)
        return self._failures

    def _run(self) -> None:
        pause_s = first_pause_s = min(1.0, self._config.pause_s)
        while self._is_anything_wanted():
            while self._waiting and len(self._jobs) < self._config.max_jobs:
                self._start(self._waiting.popleft())
            before = len(self._waiting), [job.status for job in self._jobs.values()]
            for job in list(self._jobs.values()):
                self._look_after(job)
            after = len(self._waiting), [job.status for job in self._jobs.values()]
            pause_s = min(1.5 * pause_s, self._config.pause_s) if before == after else first_pause_s
            if self._jobs and self._is_anything_wanted():
                self._pause(pause_s)

    def _pause(self, pause_s: float) -> None:
        if pause_s >= self._patience.remaining_s:
            first = next(iter(self._jobs.values()))
            raise SourceUnavailableError(
                f"Expected results of the Climate Data Store within "
                f"{self._config.deadline_minutes:g} minutes, found {len(self._jobs)} jobs not done "
                f"(first: {first.request}, {first.status}) and {len(self._waiting)} requests "
                "waiting; the jobs stay queued and the next run picks them up."
            )
        time.sleep(pause_s)

    def _start(self, request: Request) -> None:
        """Take up the job of an earlier run, or submit a request; split what is too large."""
        entry = self._ledger.find(request)
        try:
            if entry is not None and entry.job is not None:
                self._jobs[request.key] = _Job(request, self._service.attach(entry.job))
                logger.info("%s: found again as job %s", request, entry.job)
                return
            if entry is None:
                self._service.require_affordable(request)
            self._submit(request, entry)
        except TooLargeError as error:
            self._ledger.remove(request)
            self._split(request, error)
        except JobGoneError as error:
            self._submit_anew(request, error)
        except NotYetError as error:
            self._ledger.remove(request)
            self._advance(request.times.size)
            logger.info("%s: not yet there. %s", request, error)
        except SourceDataError as error:
            self._give_up(request, error)

    def _submit(self, request: Request, entry: Entry | None) -> None:
        """Note that a request is about to be submitted, submit it, note its job."""
        noted = entry or Entry(
            request=request, state="submitting", submitted_at=dt.datetime.now(dt.UTC)
        )
        if entry is None:
            self._ledger.put(noted)
        try:
            job = self._service.submit(
                request, since=noted.submitted_at, is_unsure=entry is not None
            )
        except CredentialsError:
            if entry is None:
                self._ledger.remove(request)
            raise
        self._ledger.put(noted.model_copy(update={"state": "queued", "job": job}))
        logger.info("%s: submitted as job %s", request, job)
        self._jobs[request.key] = _Job(request, self._service.attach(job))

    def _split(self, request: Request, error: TooLargeError) -> None:
        halves = request.halves()
        if halves is None:
            found = f"{error} It asks for a single time; make the domain's box smaller."
            self._fail(request, SourceDataError(found))
            return
        logger.info("%s: split in two. %s", request, error)
        self._waiting.extendleft(reversed(halves))

    def _look_after(self, job: _Job) -> None:
        """See how far a job is; fetch what it made."""
        try:
            status = self._service.status(job.remote)
            if status in ("accepted", "running"):
                if status != job.status:
                    logger.info("%s: %s", job.request, "queued" if status == "accepted" else status)
                job.status = status
                return
            self._deliver(job)
        except JobGoneError as error:
            self._submit_anew(job.request, error)
        except JobFailedError as error:
            self._halve_or_rest(job.request, error)
        except JobRejectedError as error:
            self._rest(job.request, error)
        del self._jobs[job.request.key]

    def _deliver(self, job: _Job) -> None:
        request, target = job.request, self._ledger.file(job.request)
        results = self._service.results(job.remote)
        try:
            asset = Asset.of(results)
            require_allowed(asset.url, self._config.hosts, self._service.url)
            absent = self._fetch(asset, request, target, limits=self._limits)
        except ForbiddenError as error:
            self._fail(request, error)
            return
        except AbsentError as error:
            raise JobGoneError(f"{error} The result has expired.") from error
        except SourceDataError as error:
            self._service.withdraw(UUID(job.remote.request_id))
            self._rest(request, error)
            return
        except SourceUnavailableError as error:
            self._fail(request, error)
            return
        entry = self._ledger.find(request)
        if entry is not None:
            delivered = {
                "state": "delivered",
                "delivered_at": str(self._clock()),
                "absent": tuple(str(time) for time in absent),
                "md5": md5_of(target),
            }
            self._ledger.put(entry.model_copy(update=delivered))
        self._advance(request.times.size)
        logger.info("%s: downloaded, %d bytes", request, asset.size)
        if absent.size:
            logger.warning(
                "%s: %d times did not come (first: %s)",
                *(request, absent.size, format_time(absent[0])),
            )

    def _limits(self, max_bytes: int) -> Limits:
        return Limits(
            retries=self._config.retries,
            pause_s=self._config.pause_s,
            stall_s=self._config.timeout_s,
            deadline_s=self._patience.remaining_s,
            max_bytes=max_bytes,
        )

    def _submit_anew(self, request: Request, error: JobGoneError) -> None:
        """Forget a job that the store has forgotten, and queue its request again, not for ever."""
        self._lost[request.key] += 1
        if not self._is_wanted(request):
            self._give_up(request, error)
            return
        if self._lost[request.key] > self._config.retries:
            self._rest(request, error)
            return
        logger.warning("%s: submitted anew. %s", request, error)
        self._ledger.remove(request)
        self._waiting.append(request)

    def _halve_or_rest(self, request: Request, error: JobFailedError) -> None:
        """Look for the days that can be had, so that one bad day does not block a month."""
        halves = request.halves() if len(request.days) > 1 else None
        if halves is None or self._halvings >= MOST_HALVINGS or not self._is_wanted(request):
            self._rest(request, error)
            return
        self._halvings += 1
        self._ledger.remove(request)
        logger.warning("%s: split in two. %s", request, error)
        self._waiting.extendleft(reversed(halves))

    def _rest(self, request: Request, error: LsntpError) -> None:
        """Note why a request brought nothing; until it has rested it is not submitted anew."""
        entry = self._ledger.find(request)
        self._ledger.remove(request)
        if entry is not None:
            failed = {
                "state": "failed",
                "failed_at": str(self._clock()),
                "words": str(error),
                "is_passing": error.is_transient,
            }
            self._ledger.put(entry.model_copy(update=failed))
        self._fail(request, error)

    def _give_up(self, request: Request, error: LsntpError) -> None:
        """Forget a request that brings nothing; the next run that wants it asks again."""
        self._ledger.remove(request)
        self._fail(request, error)

    def _fail(self, request: Request, error: LsntpError) -> None:
        if self._is_wanted(request):
            self.why_absent |= dict.fromkeys(request.times, str(error))
            self._failures.append(error)
        else:
            logger.warning("%s, of an earlier run: %s", request, error)

    def _is_anything_wanted(self) -> bool:
        requests = [*self._waiting, *(job.request for job in self._jobs.values())]
        return any(self._is_wanted(request) for request in requests)

    def _is_wanted(self, request: Request) -> bool:
        return bool(np.isin(request.times, self._wanted).any())


def refusal_of(entry: Entry) -> LsntpError:
    """Why a request that rests is not submitted now."""
    kind = JobRejectedError if entry.is_passing else JobFailedError
    until = format_time(entry.rests_until)
    return kind(f"{entry.words} It rests, and is asked for again from {until} on.")
