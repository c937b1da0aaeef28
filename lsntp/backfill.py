"""Fill any period with what a source has of it, in pieces, from either end."""

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass

import numpy as np

from lsntp import worklist
from lsntp.archives.coverage import coverage
from lsntp.config import Domain
from lsntp.ingest import check_start, ended
from lsntp.intake import During, Intake, existing_archive
from lsntp.sources import open_source
from lsntp.times import LAST_INSTANT, Instant, Period, parse_time, utc_now

CELL_BYTES = np.dtype(np.float32).itemsize


@dataclass(frozen=True)
class BackfillReport:
    """What a backfill found and did, in steps of the time axis.

    Attributes:
        period: what was asked for.
        expected: steps of the period.
        already: steps that held a field and stayed as they were.
        offered: steps without a field that the source could be asked for.
        pieces: in how many pieces they are fetched and published.
        stored_bytes: what their fields take in the archive, uncompressed.
        written: steps that hold a field now and did not before.
        quarantined: fields newly rejected.
        holes: steps that the source should have had and says it has not.
        without_field: steps that still hold no field.
        is_dry_run: whether nothing was asked for.
    """

    period: Period
    expected: int
    already: int
    offered: int
    pieces: int
    stored_bytes: int
    written: int = 0
    quarantined: int = 0
    holes: int = 0
    without_field: int = 0
    is_dry_run: bool = False


def backfill(
    domain: Domain,
    *,
    period: Period | None = None,
    newest_first: bool = False,
    dry_run: bool = False,
    clock: Callable[[], Instant] = utc_now,
    during: During = nullcontext,
) -> BackfillReport:
    """Ask for every hour of a period that holds no field; hours that hold one stay as they are.

    Each piece (:data:`lsntp.intake.BLOCK`) is published before the next is fetched, so a killed
    backfill goes on where it was. There is no budget, and gaps need no rest. What cannot be used
    stops neither the hours around it nor the pieces after it; it is counted and told at the end.

    Args:
        domain: the resolved configuration.
        period: by default all that the source has from ``archive.start`` on; so ends one that
            goes on to :data:`~lsntp.times.LAST_INSTANT`, too.
        newest_first: whether to begin with the newest piece.
        dry_run: only say what would be asked for.
        clock: gives the time recorded as ``ingested_at``.
        during: what holds while one piece is taken, and while it is found out which there are.

    Raises:
        DomainError: if the period starts before the archive.
        SourceDataError: if the source has nothing of it, though it should have published some;
            or, when all else is stored, if it delivered what cannot be used.
        SourceUnavailableError: if the source cannot be reached now.
        CredentialsError: if a key is missing or refused, or a licence is not accepted.
        ArchiveError: if the archive was made for another grid, start or cadence.
        StorageError: if the storage refuses a write.
    """
    period = period or Period(domain.start, parse_time(LAST_INSTANT))
    check_start(period, domain)
    with during():
        archive = existing_archive(domain)
        source = open_source(domain, clock=clock)
        period = ended(period, source, domain, clock())
        before = coverage(archive, domain.start, domain.cadence, period)
        offered = source.available(period)
    work = worklist.gaps(before, offered, domain.start, newest_first=newest_first)
    run = Intake(domain, archive, source, clock())
    if not dry_run:
        run.take_all(work.pieces, "backfill", total=work.size, during=during, only_gaps=True)
    after = coverage(run.archive, domain.start, domain.cadence, period)
    return BackfillReport(
        period=period,
        expected=before.times.size,
        already=before.usable.size,
        offered=work.size,
        pieces=len(work.pieces),
        stored_bytes=work.size * domain.target_grid.area_weights.size * CELL_BYTES,
        written=run.written,
        quarantined=run.quarantined,
        holes=run.holes,
        without_field=after.without_field.size,
        is_dry_run=dry_run,
    )
