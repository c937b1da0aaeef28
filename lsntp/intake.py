"""Fetch, judge, regrid, publish: what every run does with the hours it chose to ask for."""

import json
from collections.abc import Mapping, Sequence
from contextlib import closing
from typing import Any, Final

import numpy as np
import xarray as xr

import lsntp
from lsntp.archives.analysis import AnalysisArchive
from lsntp.archives.coverage import coverage
from lsntp.archives.layout import CONFIGURATION, frames_per_chunk
from lsntp.archives.ledger import HourLedger
from lsntp.archives.quarantine import DIGEST_LENGTH, LIMITS, Quarantine, Rejection
from lsntp.config import Domain
from lsntp.dask_cluster import on_cluster
from lsntp.errors import ArchiveNotFoundError, SourceDataError
from lsntp.grid import Grid
from lsntp.names import LATITUDE, LONGITUDE, SOURCE_DIGEST, STATUS, T2M, TIME, Status
from lsntp.progress import open_bar
from lsntp.quality import History, assess
from lsntp.regrid import conservative_weights, regrid
from lsntp.sources import Source, Upstream
from lsntp.times import Instant, Period, Times, format_time
from lsntp.workspace import Workspace

SOURCE_GRID = "lsntp_source_grid"
"""Archive attribute: the native cells its fields were made from, as JSON."""

BLOCK = np.timedelta64(30, "D")
"""Fetched and published together; whole chunks of the archive, counted from its start."""
HISTORY_MARGIN = np.timedelta64(8, "D")
"""Stored fields this far around a block are what its fields are compared with."""
USABLE: Final = [int(status) for status in Status if status.is_usable]


class Intake:
    """One run: counts what it did; the archive is made when the first judged field needs it.

    Args:
        domain: the resolved configuration.
        archive: the archive of the domain, if there is one yet.
        source: what to fetch from.
        now: the time recorded as ``ingested_at``.

    Attributes:
        archive: the archive, once there is one.
        written: steps that held no field before.
        replaced: preliminary steps that hold a newer field now.
        conflicts: final steps for which another final field came; the stored one is kept.
        quarantined: fields newly rejected; their reasons are in the quarantine.
        known_bad: steps for which the source still has only fields rejected earlier.
        marked: steps newly marked as rejected or as holes.
        holes: steps that the source said it does not have and should have had.
        largest_change_k: largest change of a cell over the replaced steps, K.
        fetched: times of the fields that came.
    """

    def __init__(
        self, domain: Domain, archive: AnalysisArchive | None, source: Source, now: Instant
    ) -> None:
        self.archive = archive
        self.written = self.replaced = self.conflicts = 0
        self.quarantined = self.known_bad = self.marked = self.holes = 0
        self.largest_change_k = 0.0
        self.fetched: Times = np.array([], "datetime64[ns]")
        self._domain = domain
        self._grid = domain.target_grid
        self._source = source
        self._now = now
        self._native = _remembered_grid(archive)
        self._ledger = HourLedger(Workspace.of(domain).quarantine, domain.cadence)
        self._quarantine = Quarantine(Workspace.of(domain).quarantine)
        self._limits = domain.quality.model_dump_json()
        self._judged = self._quarantine.held(self._limits)
        self._released = self._quarantine.released()
        self._is_current = False

    def take_all(self, pieces: Sequence[Times], what: str) -> None:
        """Fetch, judge and store piece by piece, with a progress bar and an estimate."""
        if not pieces:
            return
        total = sum(piece.size for piece in pieces)
        with (
            on_cluster(self._domain.dask),
            closing(open_bar(f"{what} {self._domain.domain}", total=total)) as bar,
        ):
            for piece in pieces:
                self.take(piece)
                bar.update(piece.size)

    def take(self, times: Times) -> None:
        """Fetch, judge and store some steps, and note those that stay without a field.

        Raises:
            SourceDataError: if the source delivered what cannot be used; noted as the reason.
        """
        try:
            self._take(times)
        except SourceDataError as error:
            self._note(times, dict.fromkeys(times, str(error)))
            raise
        holes = self._new_holes(times)
        self.holes += len(holes)
        self._mark(np.array(sorted(holes), "datetime64[ns]"), Status.UPSTREAM_HOLE)
        self._note(times, holes)

    def _new_holes(self, times: Times) -> dict[Instant, str]:
        """The times among those asked for that upstream should have and has not, and why."""
        if not isinstance(self._source, Upstream):
            return {}
        return {hole.time: hole.why for hole in self._source.holes() if hole.time in times}

    def _note(self, times: Times, why: Mapping[Instant, str]) -> None:
        """Note what a source beyond a network was asked for in vain; files need no memory."""
        if isinstance(self._source, Upstream):
            in_vain = times
            if self.archive is not None:
                in_vain = times[~np.isin(self.archive.status_at(times), USABLE)]
            self._ledger.note_asked(times, in_vain=in_vain, why=why, now=self._now)

    def _take(self, times: Times) -> None:
        taken: Times = np.array([], "datetime64[ns]")
        for frames in self._source.fetch(times, self._grid):
            self.fetched = np.union1d(self.fetched, frames[TIME].to_numpy())
            # Two cuts of a preliminary field differ in digest: they would replace each other.
            is_preliminary = frames[STATUS].to_numpy() == Status.PRELIMINARY
            is_spare = is_preliminary & np.isin(frames[TIME].to_numpy(), taken)
            frames = frames.isel({TIME: np.flatnonzero(~is_spare)})
            is_judged = self._is_judged(frames)
            self._mark(frames[TIME].to_numpy()[is_judged], Status.QUARANTINED)
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
        self._mark(assessment.rejected[TIME].to_numpy(), Status.QUARANTINED)
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
        archive = self._current_archive()
        self._note_change(archive, frames)
        report = archive.publish(frames, now=self._now)
        self.written += report.written.size
        self.replaced += report.replaced.size
        self.conflicts += report.conflicts.size
        self.largest_change_k = max(self.largest_change_k, report.largest_change_k)

    def _note_change(self, archive: AnalysisArchive, frames: xr.Dataset) -> None:
        """Note how much the preliminary fields that are about to be replaced will change."""
        times = frames[TIME].to_numpy()
        is_other = (archive.digests_at(times) != frames[SOURCE_DIGEST].to_numpy()).any(axis=1)
        is_raised = frames[STATUS].to_numpy() == Status.FINAL
        was_preliminary = archive.status_at(times) == Status.PRELIMINARY
        replaced = np.flatnonzero(was_preliminary & (is_other | is_raised))
        if replaced.size:
            new = frames[T2M].isel({TIME: replaced}).sortby(TIME)
            hours = new[TIME].to_numpy()
            change = np.abs(new.to_numpy() - archive.read(hours)).max()
            self._ledger.note_replaced(hours, float(change), now=self._now)

    def _reject(self, rejection: Rejection, frame: xr.Dataset) -> None:
        judged_by = {LIMITS: self._limits, CONFIGURATION: self._domain.to_yaml()}
        if self._quarantine.put(rejection, frame.assign_attrs(judged_by)):
            self.quarantined += 1
        else:
            self.known_bad += 1

    def _mark(self, times: Times, status: Status) -> None:
        """Say in the archive why steps are missing; one that holds a field keeps it."""
        if self.archive is not None:
            times = times[self.archive.status_at(times) == Status.MISSING]
        if times.size:
            archive = self._current_archive()
            self.marked += archive.mark(times, status, now=self._now)

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


def existing_archive(domain: Domain) -> AnalysisArchive | None:
    """The archive of the domain, if there is one yet."""
    try:
        archive = AnalysisArchive.open(Workspace.of(domain).analysis)
    except ArchiveNotFoundError:
        return None
    archive.require(grid=domain.target_grid, start=domain.start, cadence=domain.cadence)
    return archive


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
