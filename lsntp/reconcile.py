"""Preliminary hours become final: ask again for those old enough, and note what changed."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass

import numpy as np

from lsntp.archives.analysis import AnalysisArchive
from lsntp.config import Domain
from lsntp.errors import ArchiveNotFoundError
from lsntp.ingest import check_start
from lsntp.intake import During, Intake, existing_archive
from lsntp.names import Status
from lsntp.sources import Upstream, open_source
from lsntp.times import DAY, Instant, Period, Times, utc_now
from lsntp.workspace import Workspace


@dataclass(frozen=True)
class ReconcileReport:
    """What a reconciliation did, in steps of the time axis.

    Attributes:
        preliminary: steps that were preliminary before.
        asked: those of them that the source was asked for.
        finalised: steps that are final now.
        replaced: steps that hold another field or status now.
        quarantined: fields newly rejected; the preliminary ones stay.
        largest_change_k: largest change of a cell over the replaced steps, K.
    """

    preliminary: int
    asked: int
    finalised: int
    replaced: int
    quarantined: int
    largest_change_k: float

    @property
    def did_nothing(self) -> bool:
        """Whether nothing was written."""
        return self.replaced + self.quarantined == 0


def reconcile(
    domain: Domain,
    *,
    period: Period | None = None,
    clock: Callable[[], Instant] = utc_now,
    during: During = nullcontext,
) -> ReconcileReport:
    """Replace preliminary hours by the final ones that have appeared; a second run does nothing.

    Without a period, a source beyond a network is asked for hours older than
    ``ingest.final_after_days``, month by month from the oldest: first for one day, then for the
    rest of the month. The first month whose day is not final yet ends the run, for finals appear
    in order of time; so a run with nothing to replace asks for one day. A final field that was
    rejected or cannot be used is not such a sign: it would stop every later run.

    How much the hours changed is kept in the ledger beside the quarantine
    (:class:`lsntp.archives.ledger.HourLedger`). Forecasts from them are superseded from now on
    (:mod:`lsntp.archives.superseded`), scores against them are due again.

    Args:
        domain: the resolved configuration.
        period: the hours to ask for, whatever their age.
        clock: gives the time recorded as ``ingested_at``.
        during: what holds while one piece is taken, and while it is found out which there are.

    Raises:
        ArchiveNotFoundError: if there is no analysis archive yet.
        DomainError: if the period starts before the archive.
        SourceDataError: if the source delivered what cannot be used; told when all else is done.
        SourceUnavailableError: if the source cannot be reached now.
        CredentialsError: if a key is missing or refused, or a licence is not accepted.
        ArchiveError: if the archive was made for another grid, start or cadence.
        StorageError: if the storage refuses a write.
    """
    if period is not None:
        check_start(period, domain)
    archive = existing_archive(domain)
    if archive is None:
        raise ArchiveNotFoundError(
            f"Expected analyses of {domain.domain} in {Workspace.of(domain).analysis}, found none; "
            "run `lsntp ingest` first."
        )
    with during():
        source = open_source(domain, clock=clock)
        now = clock()
        preliminary = _preliminary(archive)
        asked = preliminary[period.contains(preliminary)] if period else preliminary
        is_careful = period is None and isinstance(source, Upstream)
        if is_careful:
            age = np.timedelta64(round(domain.ingest.final_after_days * 86400), "s")
            asked = asked[now - asked >= age]
        if asked.size:
            offered = source.available(Period(asked[0], asked[-1] + domain.cadence))
            asked = np.intersect1d(asked, offered)

    run = Intake(domain, archive, source, now)
    months = _months(asked)
    pieces = _up_to_preliminary(run, months) if is_careful else months
    run.take_all(pieces, "reconcile", total=asked.size, during=during)
    still = _preliminary(archive)
    return ReconcileReport(
        preliminary=preliminary.size,
        asked=run.asked,
        finalised=np.setdiff1d(preliminary, still).size,
        replaced=run.replaced,
        quarantined=run.quarantined,
        largest_change_k=run.largest_change_k,
    )


def _up_to_preliminary(run: Intake, months: Sequence[Times]) -> Iterator[Times]:
    """A day of each month, then its rest, up to the first month that is not final yet."""
    for month in months:
        is_probe = month < month[0] + DAY
        probe, rest = month[is_probe], month[~is_probe]
        yield probe
        if _is_preliminary_still(run, probe):
            return
        if rest.size:
            yield rest


def _is_preliminary_still(run: Intake, probe: Times) -> bool:
    """Whether the answer shows it: fields came preliminary or not at all, and none final.

    Of what cannot be used and of holes upstream nobody knows.
    """
    told = np.setdiff1d(probe, np.union1d(run.unusable, run.not_upstream))
    return bool(told.size) and not np.isin(told, run.final).any()


def _preliminary(archive: AnalysisArchive) -> Times:
    preliminary: Times = archive.times[archive.status == Status.PRELIMINARY]
    return preliminary


def _months(times: Times) -> Sequence[Times]:
    """Sorted times, a calendar month each."""
    if not times.size:
        return []
    cuts = np.flatnonzero(np.diff(times.astype("datetime64[M]").astype(np.int64))) + 1
    return np.split(times, cuts)
