"""From a source into the analysis archive: fetch, judge, regrid, publish.

The work list is what the archive does not hold as final, so a run that was lost, killed or
doubled costs nothing: the next one finds the same list, shorter by what was finished.
"""

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass

import numpy as np

from lsntp import worklist
from lsntp.archives.coverage import Coverage, coverage
from lsntp.archives.ledger import HourLedger
from lsntp.config import Domain
from lsntp.errors import DomainError, SourceDataError
from lsntp.intake import During, Intake, existing_archive
from lsntp.sources import Source, Upstream, open_source
from lsntp.times import LAST_INSTANT, Instant, Period, format_time, parse_time, utc_now
from lsntp.workspace import Workspace


@dataclass(frozen=True)
class IngestReport:
    """What an ingest did, in steps of the time axis unless said otherwise.

    Attributes:
        period: what was asked for.
        expected: steps of the period.
        already: steps that were usable before and stayed as they are.
        written: steps that held no field before.
        replaced: preliminary steps that hold a newer field now.
        quarantined: fields newly rejected; their reasons are in the quarantine.
        known_bad: steps for which the source still has only fields rejected earlier.
        absent: steps without a field that were asked for, or not offered, and did not come.
        left: steps without a field that a later tick asks for: over the budget, or resting.
        holes: steps that the source should have had and says it has not.
        conflicts: final steps for which another final field came; the stored one is kept.
        largest_change_k: largest change of a cell over the replaced steps, K.
        did_nothing: whether nothing was written, not even a reason.
    """

    period: Period
    expected: int
    already: int
    written: int
    replaced: int
    quarantined: int
    known_bad: int
    absent: int
    left: int
    holes: int
    conflicts: int
    largest_change_k: float
    did_nothing: bool


def ingest(
    domain: Domain,
    *,
    period: Period | None = None,
    clock: Callable[[], Instant] = utc_now,
    during: During = nullcontext,
) -> IngestReport:
    """Bring the analysis archive of a domain up to date; a second run does nothing.

    Every step of the period that is not final is fetched if the source has it, judged
    (:func:`lsntp.quality.assess`), moved to the domain's grid and published, block by block.
    Rejected fields go to the quarantine and their steps are marked, unless they hold a field.

    Without a period, a source beyond a network is asked within a budget: see
    :mod:`lsntp.worklist`. Its preliminary hours are then left to
    :func:`lsntp.reconcile.reconcile`.

    Args:
        domain: the resolved configuration.
        period: what to bring up to date, without a budget; by default from ``archive.start`` on.
            One that goes on to :data:`~lsntp.times.LAST_INSTANT` ends with the source's last
            time.
        clock: gives the time recorded as ``ingested_at``.
        during: what holds while one piece is taken, and while it is found out which there are.

    Raises:
        DomainError: if the period starts before the archive, or the domain's grid lies
            outside the source's.
        SourceDataError: if what the source says it has cannot be read; or, when all else is
            stored, if it delivered what cannot be used.
        SourceUnavailableError: if the source cannot be reached now.
        CredentialsError: if a key is missing or refused, or a licence is not accepted.
        ArchiveError: if the archive was made for another grid, start or cadence.
        StorageError: if the storage refuses a write.
        ClusterError: if the configured Dask cluster cannot be reached.
    """
    asked = period or Period(domain.start, parse_time(LAST_INSTANT))
    check_start(asked, domain)
    with during():
        archive = existing_archive(domain)
        source = open_source(domain, clock=clock)
        is_tick = period is None and isinstance(source, Upstream)
        now = clock()
        span = ended(asked, source, domain, now)
        before = coverage(archive, domain.start, domain.cadence, span)
        work = _work(domain, source, before, span, now, is_tick=is_tick)

    run = Intake(domain, archive, source, now)
    run.take_all(work.pieces, "ingest", total=work.size, during=during, only_gaps=is_tick)

    after = coverage(run.archive, domain.start, domain.cadence, span)
    touched = run.written + run.replaced
    without_field = np.setdiff1d(before.times, after.usable)
    left = np.intersect1d(work.left, without_field)
    return IngestReport(
        period=span,
        expected=before.times.size,
        already=after.usable.size - touched,
        written=run.written,
        replaced=run.replaced,
        quarantined=run.quarantined,
        known_bad=run.known_bad,
        absent=np.setdiff1d(np.setdiff1d(without_field, run.fetched), left).size,
        left=left.size,
        holes=run.holes,
        conflicts=run.conflicts,
        largest_change_k=run.largest_change_k,
        did_nothing=touched + run.quarantined + run.marked == 0,
    )


def _work(
    domain: Domain, source: Source, known: Coverage, span: Period, now: Instant, *, is_tick: bool
) -> worklist.WorkList:
    offered = source.available(span)
    if is_tick and isinstance(source, Upstream):
        return worklist.tick(
            domain,
            known,
            offered,
            pending=source.pending(span),
            ledger=HourLedger(Workspace.of(domain).quarantine, domain.cadence),
            now=now,
        )
    return worklist.everything(known, offered, domain.start)


def ended(period: Period, source: Source, domain: Domain, now: Instant) -> Period:
    """The period; one without end up to the last time that the source has.

    Of a start that a source beyond a network cannot have published by ``now``, one step: there
    is nothing to do yet.

    Raises:
        SourceDataError: if it has none, though it should.
    """
    if period.end < LAST_INSTANT:
        return period
    times = source.available(period)
    if times.size:
        return Period(period.start, times[-1] + domain.cadence)
    # The first step on the axis lies up to a cadence after the start.
    due = now - source.publication_latency - domain.cadence
    if isinstance(source, Upstream) and period.start > due:
        return Period(period.start, period.start + domain.cadence)
    is_start = " (archive.start)" if period.start == domain.start else ""
    remedy = "archive.start" if is_start else "the first time asked for"
    raise SourceDataError(
        f"Expected analyses from {format_time(period.start)}{is_start} on in source "
        f"{source.name}, found none; correct {remedy} or the source's paths."
    )


def check_start(period: Period, domain: Domain) -> None:
    """Refuse a period that begins before the archive.

    Raises:
        DomainError: with the remedy.
    """
    if period.start < domain.start:
        raise DomainError(
            f"Expected a period from {format_time(domain.start)} (archive.start) on, found "
            f"{period}; an archive's start never changes. For earlier data give the domain "
            "another name and an earlier archive.start."
        )
