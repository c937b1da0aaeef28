"""Fetch, judge, regrid, publish: what every run does with the hours it chose to ask for."""

import json
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, closing, nullcontext
from typing import Any, Final

import numpy as np
import xarray as xr

import lsntp
from lsntp.archives.analysis import AnalysisArchive, markable_as
from lsntp.archives.coverage import coverage
from lsntp.archives.layout import CONFIGURATION, frames_per_chunk
from lsntp.archives.ledger import HourLedger
from lsntp.archives.quarantine import DIGEST_LENGTH, LIMITS, Quarantine, Rejection
from lsntp.config import Domain
from lsntp.dask_cluster import compute_blocks, on_cluster
from lsntp.errors import ArchiveNotFoundError, BlockError, SourceDataError, SourceUnavailableError
from lsntp.grid import Grid
from lsntp.names import FIELD_DIMS, LATITUDE, LONGITUDE, SOURCE_DIGEST, STATUS, T2M, TIME, Status
from lsntp.progress import open_bar
from lsntp.quality import History, assess
from lsntp.regrid import conservative_weights
from lsntp.sources import Explaining, Source, Upstream
from lsntp.times import Instant, Period, Times, format_time
from lsntp.workspace import Workspace

SOURCE_GRID = "lsntp_source_grid"
"""Archive attribute: the native cells its fields were made from, as JSON."""

BLOCK = np.timedelta64(30, "D")
"""Fetched and published together; whole chunks of the archive, counted from its start."""
HISTORY_MARGIN = np.timedelta64(8, "D")
"""Stored fields this far around a block are what its fields are compared with."""
During = Callable[[], AbstractContextManager[None]]
"""Makes what holds while one piece is taken, such as the right to ask the source and to write."""
_log = logging.getLogger(__name__)
_NONE: Final[Times] = np.array([], "datetime64[ns]")
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
        asked: steps that the source was asked for.
        fetched: times of the fields that came.
        final: times of the final fields among them, fit or not.
        unusable: times for which the source delivered what cannot be used.
        not_upstream: times of the holes.
    """

    def __init__(
        self, domain: Domain, archive: AnalysisArchive | None, source: Source, now: Instant
    ) -> None:
        self.archive = archive
        self.written = self.replaced = self.conflicts = 0
        self.quarantined = self.known_bad = self.marked = self.holes = 0
        self.largest_change_k = 0.0
        self.asked = 0
        self.fetched = self.final = self.unusable = self.not_upstream = _NONE
        self._first_error: SourceDataError | None = None
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

    def take_all(
        self,
        pieces: Iterable[Times],
        what: str,
        *,
        total: int,
        during: During = nullcontext,
        only_gaps: bool = False,
    ) -> None:
        """Fetch, judge and store piece by piece, with a progress bar and an estimate.

        What cannot be used stops neither the steps around it nor the pieces after it.

        Args:
            pieces: ascending steps each; the next is asked for once the one before is stored.
            what: the word beside the bar.
            total: how many steps they are, at most.
            during: what holds while one piece is taken. Another run may write between two.
            only_gaps: whether to leave out steps that hold a field by then.

        Raises:
            SourceDataError: when all else is stored, if the source delivered what cannot be used.
            SourceUnavailableError: at once; the steps it was asked for are noted with the reason.
        """
        if not total:
            return
        with (
            on_cluster(self._domain.dask),
            closing(open_bar(f"{what} {self._domain.domain}", total=total)) as bar,
        ):
            for piece in pieces:
                with during():
                    self._look_again()
                    self._take(self._without_field(piece) if only_gaps else piece)
                bar.update(piece.size)
        if self._first_error is not None:
            raise SourceDataError(
                f"{self._first_error} Found so for {self.unusable.size} of {self.asked} steps "
                f"asked for, from {format_time(self.unusable.min())} to "
                f"{format_time(self.unusable.max())}; this did not stop the others."
            ) from self._first_error

    def _look_again(self) -> None:
        """Notice an archive that another run has made since."""
        if self.archive is None:
            self.archive = existing_archive(self._domain)
            self._native = _remembered_grid(self.archive)

    def _without_field(self, times: Times) -> Times:
        if self.archive is None:
            return times
        return times[~np.isin(self.archive.status_at(times), USABLE)]

    def _take(self, times: Times) -> None:
        """Fetch, judge and store some steps, and note those that stay without a field, and why.

        If they cannot be used together, they are taken day by day, and those of a bad day one by
        one. A day without a single good step shows that it is not about single steps: the bad
        days after it are not divided.
        """
        if not times.size:
            return
        self.asked += times.size
        error = self._attempt(times)
        if error is None:
            return
        is_divisible = True
        for day in _days(times):
            if day.size < times.size:
                error = self._attempt(day)
            if error is None:
                continue
            refused = [(day, error)]
            if is_divisible and day.size > 1:
                steps = [(step, self._attempt(step)) for step in np.split(day, day.size)]
                refused = [(step, why) for step, why in steps if why is not None]
                is_divisible = len(refused) < day.size
            for bad, why in refused:
                self._give_up(bad, why)

    def _attempt(self, times: Times) -> SourceDataError | None:
        """Take some steps together; the error if that cannot be done."""
        try:
            self._store(times)
        except SourceDataError as error:
            return error
        except SourceUnavailableError as error:
            self._note(times, dict.fromkeys(times, str(error)))
            raise
        holes = self._new_holes(times)
        self.holes += len(holes)
        hole_times = np.array(sorted(holes), "datetime64[ns]")
        self.not_upstream = np.union1d(self.not_upstream, hole_times)
        self._mark(hole_times, Status.UPSTREAM_HOLE)
        self._note(times, {**self._why_absent(), **holes})
        return None

    def _give_up(self, times: Times, error: SourceDataError) -> None:
        """Keep the error for the end, and its reason for whoever asks for these steps next."""
        self._first_error = self._first_error or error
        self.unusable = np.union1d(self.unusable, times)
        self._note(times, dict.fromkeys(times, str(error)), is_unusable=True)

    def _new_holes(self, times: Times) -> dict[Instant, str]:
        """The times among those asked for that upstream should have and has not, and why."""
        if not isinstance(self._source, Upstream):
            return {}
        return {hole.time: hole.why for hole in self._source.holes() if hole.time in times}

    def _why_absent(self) -> dict[Instant, str]:
        return self._source.why_absent() if isinstance(self._source, Explaining) else {}

    def _note(self, times: Times, why: Mapping[Instant, str], *, is_unusable: bool = False) -> None:
        """Note what a source beyond a network was asked for in vain; files need no memory."""
        if isinstance(self._source, Upstream):
            self._ledger.note_asked(
                times,
                in_vain=self._without_field(times),
                why=why,
                now=self._now,
                is_unusable=is_unusable,
            )

    def _store(self, times: Times) -> None:
        taken = _NONE
        for frames in self._source.fetch(times, self._grid):
            came = frames[TIME].to_numpy()
            self.fetched = np.union1d(self.fetched, came)
            # Two cuts of a preliminary field differ in digest: they would replace each other.
            is_preliminary = frames[STATUS].to_numpy() == Status.PRELIMINARY
            self.final = np.union1d(self.final, came[~is_preliminary])
            is_spare = is_preliminary & np.isin(came, taken)
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
        fields = _regridded(accepted[T2M], self._grid, chunk, accepted.attrs.get("files"))
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
            times = times[np.isin(self.archive.status_at(times), markable_as(status))]
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


def _days(times: Times) -> Sequence[Times]:
    """Sorted times, a calendar day each."""
    return np.split(
        times, np.flatnonzero(np.diff(times.astype("datetime64[D]").astype(np.int64))) + 1
    )


def _regridded(fields: xr.DataArray, grid: Grid, chunk: int, files: str | None) -> xr.DataArray:
    """Fields on the domain's grid, computed ``chunk`` frames a block.

    Raises:
        SourceDataError: if a block cannot be computed; says which times and files it is of.
    """
    native = Grid(fields[LATITUDE].to_numpy(), fields[LONGITUDE].to_numpy())
    times, values = fields[TIME].to_numpy(), fields.to_numpy()
    blocks = {}
    for first in range(0, times.size, chunk):
        span = times[first : first + chunk]
        name = f"{format_time(span[0])}..{format_time(span[-1])} of {files or T2M} ({first})"
        blocks[name] = values[first : first + chunk]
    try:
        computed = compute_blocks(conservative_weights(native, grid).apply, blocks)
    except BlockError as error:
        _log.warning("%s", error)
        raise SourceDataError(str(error)) from error
    coords = {TIME: times, LATITUDE: grid.latitude, LONGITUDE: grid.longitude}
    return xr.DataArray(np.concatenate(list(computed.values())), coords, FIELD_DIMS, T2M)


def _to_json(grid: Grid) -> str:
    axes = {LATITUDE: grid.latitude, LONGITUDE: grid.longitude}
    return json.dumps({name: axis.round(4).tolist() for name, axis in axes.items()})


def _remembered_grid(archive: AnalysisArchive | None) -> Grid | None:
    if archive is None or SOURCE_GRID not in archive.attrs:
        return None
    axes = json.loads(archive.attrs[SOURCE_GRID])
    return Grid(np.array(axes[LATITUDE]), np.array(axes[LONGITUDE]))
