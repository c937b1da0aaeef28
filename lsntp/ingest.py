"""From a source into the analysis archive: fetch, judge, regrid, publish.

The work list is what the archive does not hold as final, so a run that was lost, killed or
doubled costs nothing: the next one finds the same list, shorter by what was finished.
"""

import json
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

import lsntp
from lsntp.archives.analysis import AnalysisArchive
from lsntp.archives.coverage import coverage
from lsntp.archives.layout import CONFIGURATION, frames_per_chunk
from lsntp.archives.quarantine import DIGEST_LENGTH, LIMITS, Quarantine, Rejection
from lsntp.config import Domain
from lsntp.dask_cluster import on_cluster
from lsntp.errors import ArchiveNotFoundError, DomainError, SourceDataError
from lsntp.grid import Grid
from lsntp.names import LATITUDE, LONGITUDE, SOURCE_DIGEST, STATUS, T2M, TIME, Status
from lsntp.progress import track
from lsntp.quality import History, assess
from lsntp.regrid import conservative_weights, regrid
from lsntp.sources import Source, open_source
from lsntp.times import LAST_INSTANT, Instant, Period, Times, format_time, parse_time, utc_now
from lsntp.workspace import Workspace

SOURCE_GRID = "lsntp_source_grid"
"""Archive attribute: the native cells its fields were made from, as JSON."""

BLOCK = np.timedelta64(30, "D")
"""Fetched and published together; whole chunks of the archive, counted from its start."""
HISTORY_MARGIN = np.timedelta64(8, "D")
"""Stored fields this far around a block are what its fields are compared with."""


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
        absent: steps without a field, which the source does not have.
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
    conflicts: int
    largest_change_k: float
    did_nothing: bool


def ingest(
    domain: Domain, *, period: Period | None = None, clock: Callable[[], Instant] = utc_now
) -> IngestReport:
    """Bring the analysis archive of a domain up to date; a second run does nothing.

    Every step of the period that is not final is fetched if the source has it, judged
    (:func:`lsntp.quality.assess`), moved to the domain's grid and published, block by block.
    Rejected fields go to the quarantine and their steps are marked, unless they hold a field.

    Args:
        domain: the resolved configuration.
        period: what to bring up to date, by default from ``archive.start`` on; one that goes
            on to :data:`~lsntp.times.LAST_INSTANT` ends with the source's last time.
        clock: gives the time recorded as ``ingested_at``.

    Raises:
        DomainError: if the period starts before the archive, or the domain's grid lies
            outside the source's.
        SourceDataError: if a file of the source cannot be used; nothing stored is changed, but
            for whole blocks of true fields that were published before the fault came to light.
        SourceUnavailableError: if the source cannot be reached now.
        ArchiveError: if the archive was made for another grid, start or cadence.
        StorageError: if the storage refuses a write.
        ClusterError: if the configured Dask cluster cannot be reached.
    """
    archive = _existing_archive(domain)
    source = open_source(domain, clock=clock)
    period = period or Period(domain.start, parse_time(LAST_INSTANT))
    _check_start(period, domain)
    period = _ended(period, source, domain)
    before = coverage(archive, domain.start, domain.cadence, period)
    unfinished = before.times[before.status != Status.FINAL]
    offered = np.intersect1d(unfinished, source.available(period))

    run = _Run(domain, archive, source, clock())
    work = blocks(offered, domain.start)
    with on_cluster(domain.dask) if work else nullcontext():
        for block in track(work, f"ingest {domain.domain}"):
            run.ingest_block(block)

    after = coverage(run.archive, domain.start, domain.cadence, period)
    touched = run.written + run.replaced
    return IngestReport(
        period=period,
        expected=before.times.size,
        already=after.usable.size - touched,
        written=run.written,
        replaced=run.replaced,
        quarantined=run.quarantined,
        known_bad=run.known_bad,
        absent=np.setdiff1d(np.setdiff1d(before.times, after.usable), run.fetched).size,
        conflicts=run.conflicts,
        largest_change_k=run.largest_change_k,
        did_nothing=touched + run.quarantined + run.marked == 0,
    )


class _Run:
    """One ingest: the archive is made when the first judged field needs it."""

    def __init__(
        self, domain: Domain, archive: AnalysisArchive | None, source: Source, now: Instant
    ) -> None:
        self.archive = archive
        self.written = self.replaced = self.conflicts = 0
        self.quarantined = self.known_bad = self.marked = 0
        self.largest_change_k = 0.0
        self.fetched: Times = np.array([], "datetime64[ns]")
        self._domain = domain
        self._grid = domain.target_grid
        self._source = source
        self._now = now
        self._native = _remembered_grid(archive)
        self._quarantine = Quarantine(Workspace.of(domain).quarantine)
        self._limits = domain.quality.model_dump_json()
        self._judged = self._quarantine.held(self._limits)
        self._released = self._quarantine.released()
        self._is_current = False

    def ingest_block(self, times: Times) -> None:
        """Fetch, judge and store some steps."""
        taken: Times = np.array([], "datetime64[ns]")
        for frames in self._source.fetch(times, self._grid):
            self.fetched = np.union1d(self.fetched, frames[TIME].to_numpy())
            # Two cuts of a preliminary field differ in digest: they would replace each other.
            is_preliminary = frames[STATUS].to_numpy() == Status.PRELIMINARY
            is_spare = is_preliminary & np.isin(frames[TIME].to_numpy(), taken)
            frames = frames.isel({TIME: np.flatnonzero(~is_spare)})
            is_judged = self._is_judged(frames)
            self._mark(frames[TIME].to_numpy()[is_judged])
            self.known_bad += int(is_judged.sum())
            if not is_judged.all():
                accepted = self._judge(frames.isel({TIME: np.flatnonzero(~is_judged)}))
                taken = np.union1d(taken, accepted)

    def _is_judged(self, frames: xr.Dataset) -> np.ndarray[Any, np.dtype[np.bool_]]:
        """Which fields were rejected in an earlier run by the same limits and come unchanged.

        They are not judged again: alone, without the neighbours they came with, a field may
        look better than it did among them.
        """
        offered: dict[Instant, set[str]] = {}
        times = frames[TIME].to_numpy()
        for time, digest in zip(times, frames[SOURCE_DIGEST].to_numpy(), strict=True):
            offered.setdefault(time, set()).add(digest.tobytes().hex()[:DIGEST_LENGTH])
        return np.array(
            [self._judged.get(time, set()) == offered[time] for time in times], np.bool_
        )

    def _judge(self, frames: xr.Dataset) -> Times:
        """Store the fit fields and reject the others; returns the times of the fit ones."""
        native = Grid(frames[LATITUDE].to_numpy(), frames[LONGITUDE].to_numpy())
        assessment = assess(
            frames,
            expected_grid=self._native,
            history=self._history(frames[TIME].to_numpy(), native),
            limits=self._domain.quality,
            cadence=self._domain.cadence,
            origin=self._domain.start,
            vouched=self._released,
        )
        if assessment.accepted.sizes[TIME]:
            self._publish(assessment.accepted, native)
        for index, rejection in enumerate(assessment.rejections):
            self._reject(rejection, assessment.rejected.isel({TIME: [index]}))
        self._mark(assessment.rejected[TIME].to_numpy())
        accepted: Times = assessment.accepted[TIME].to_numpy()
        return accepted

    def _publish(self, accepted: xr.Dataset, native: Grid) -> None:
        chunk = frames_per_chunk(self._domain.cadence)
        fields = regrid(accepted[T2M].chunk({TIME: chunk}), self._grid).compute()
        frames = xr.Dataset(
            {T2M: fields, STATUS: accepted[STATUS], SOURCE_DIGEST: accepted[SOURCE_DIGEST]}
        )
        if self._native is None:
            self._native, self._is_current = native, False
        report = self._current_archive().publish(frames, now=self._now)
        self.written += report.written.size
        self.replaced += report.replaced.size
        self.conflicts += report.conflicts.size
        self.largest_change_k = max(self.largest_change_k, report.largest_change_k)

    def _reject(self, rejection: Rejection, frame: xr.Dataset) -> None:
        judged_by = {LIMITS: self._limits, CONFIGURATION: self._domain.to_yaml()}
        if self._quarantine.put(rejection, frame.assign_attrs(judged_by)):
            self.quarantined += 1
        else:
            self.known_bad += 1

    def _mark(self, times: Times) -> None:
        """Note rejected steps in the archive; one that holds a field keeps it."""
        if self.archive is not None:
            times = times[self.archive.status_at(times) == Status.MISSING]
        if times.size:
            archive = self._current_archive()
            self.marked += archive.mark(times, Status.QUARANTINED, now=self._now)

    def _current_archive(self) -> AnalysisArchive:
        """The archive, made or brought up to this configuration once a run."""
        if self.archive is None or not self._is_current:
            self.archive = AnalysisArchive.create(
                Workspace.of(self._domain).analysis,
                grid=self._grid,
                start=self._domain.start,
                cadence=self._domain.cadence,
                attrs=self._attrs(),
            )
            self._is_current = True
        return self.archive

    def _attrs(self) -> dict[str, str]:
        attrs = {
            "title": f"2 m temperature analyses of the domain {self._domain.domain}",
            "summary": self._domain.description,
            "source": self._source.name,
            "synthetic": str(self._source.is_synthetic).lower(),
            "history": f"{format_time(self._now)} made by lsntp {lsntp.__version__}",
            CONFIGURATION: self._domain.to_yaml(),
        }
        return attrs if self._native is None else {**attrs, SOURCE_GRID: _to_json(self._native)}

    def _history(self, times: Times, native: Grid) -> History | None:
        """What the archive holds around some frames; None if it holds nothing there."""
        if self.archive is None:
            return None
        around = Period(times.min() - HISTORY_MARGIN, times.max() + HISTORY_MARGIN)
        usable = coverage(self.archive, self._domain.start, self._domain.cadence, around).usable
        if not usable.size:
            return None
        grid = self._grid
        return History(
            grid,
            usable,
            self.archive.read(usable),
            lambda fields: conservative_weights(native, grid).apply(fields),
        )


def _existing_archive(domain: Domain) -> AnalysisArchive | None:
    """The archive of the domain, if there is one yet."""
    try:
        archive = AnalysisArchive.open(Workspace.of(domain).analysis)
    except ArchiveNotFoundError:
        return None
    archive.require(grid=domain.target_grid, start=domain.start, cadence=domain.cadence)
    return archive


def _ended(period: Period, source: Source, domain: Domain) -> Period:
    """The period; one without end up to the last time that the source has."""
    if period.end < LAST_INSTANT:
        return period
    times = source.available(period)
    if not times.size:
        is_start = " (archive.start)" if period.start == domain.start else ""
        remedy = "archive.start" if is_start else "the first time asked for"
        raise SourceDataError(
            f"Expected analyses from {format_time(period.start)}{is_start} on in source "
            f"{source.name}, found none; correct {remedy} or the source's paths."
        )
    return Period(period.start, times[-1] + domain.cadence)


def _check_start(period: Period, domain: Domain) -> None:
    if period.start < domain.start:
        raise DomainError(
            f"Expected a period from {format_time(domain.start)} (archive.start) on, found "
            f"{period}; an archive's start never changes. For earlier data give the domain "
            "another name and an earlier archive.start."
        )


def blocks(times: Times, origin: Instant) -> Sequence[Times]:
    """Sorted times cut at multiples of :data:`BLOCK` after ``origin``."""
    if not times.size:
        return []
    cuts = np.flatnonzero(np.diff((times - origin) // BLOCK)) + 1
    return np.split(times, cuts)


def _to_json(grid: Grid) -> str:
    axes = {LATITUDE: grid.latitude, LONGITUDE: grid.longitude}
    return json.dumps({name: axis.round(4).tolist() for name, axis in axes.items()})


def _remembered_grid(archive: AnalysisArchive | None) -> Grid | None:
    if archive is None or SOURCE_GRID not in archive.attrs:
        return None
    axes = json.loads(archive.attrs[SOURCE_GRID])
    return Grid(np.array(axes[LATITUDE]), np.array(axes[LONGITUDE]))
