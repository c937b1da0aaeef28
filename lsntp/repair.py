"""Repair damaged archives: withdraw what a verification found damaged, and make it again.

Hours come from the source again, forecasts from the models, scores from both. A final hour is
written again only because it is damaged. What cannot be made again stays missing, and is said.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import xarray as xr

from lsntp.archives.analysis import AnalysisArchive
from lsntp.archives.findings import ArchiveReport, Fault, Finding, Kind, VerifyReport, runs
from lsntp.archives.forecast import ForecastArchive
from lsntp.archives.layout import frames_per_chunk
from lsntp.archives.mending import is_mendable, mend, mend_metadata
from lsntp.archives.quarantine import Quarantine
from lsntp.archives.verification import archives_of, verify, verify_archive
from lsntp.config import Domain
from lsntp.errors import LsntpError, ModelError, StorageUnavailableError
from lsntp.guidance import RAW
from lsntp.ingest import ingest
from lsntp.intake import blocks
from lsntp.names import (
    CHAMPION,
    DIGEST_BYTES,
    SOURCE_DIGEST,
    STATUS,
    T2M,
    TIME,
    VERSION_PATTERN,
    Status,
    version_options,
)
from lsntp.places import Place
from lsntp.regrid import regrid
from lsntp.sources import open_source
from lsntp.times import Instant, Period, Times, format_time, utc_now
from lsntp.workspace import Workspace

_ROUNDS: Final = 5
"""Metadata, coordinates, status and fields can each hide damage of the next."""
Digests = npt.NDArray[np.uint8]
_NONE: Final[Times] = np.array([], "datetime64[ns]")


@dataclass(frozen=True)
class RepairReport:
    """What a repair found and did.

    Attributes:
        found: the verification before.
        done: one sentence for each thing that was made again; of a dry run, that would be.
        lost: one sentence for each thing that could not be made again, with its remedy.
        is_dry_run: whether nothing was changed.
    """

    found: VerifyReport
    done: tuple[str, ...] = ()
    lost: tuple[str, ...] = ()
    is_dry_run: bool = False

    @property
    def did_nothing(self) -> bool:
        """Whether every archive was whole."""
        return not self.found.findings

    def to_json(self) -> dict[str, Any]:
        """Ready for JSON."""
        return {
            "did_nothing": self.did_nothing,
            "is_dry_run": self.is_dry_run,
            "done": list(self.done),
            "lost": list(self.lost),
            "found": self.found.to_json(),
        }


def repair(
    domain: Domain, *, dry_run: bool = False, clock: Callable[[], Instant] = utc_now
) -> RepairReport:
    """Verify every object of a domain's archives and make again what is damaged.

    With an unchanged source the analysis archive is afterwards what it would be undisturbed,
    ``ingested_at`` apart. A second run does nothing. Killed in the middle, another run makes the
    archives whole; what was withdrawn by then is missing or preliminary until the next ingest,
    forecast or evaluate makes it.

    Args:
        domain: whose archives.
        dry_run: only say what would be done.
        clock: gives the time recorded as ``ingested_at``.

    Raises:
        ArchiveNotFoundError: if the domain has no archive.
        ArchiveBusyError: if a writer is at work.
        StorageError: if the storage refuses; run it again once it is cured.
    """
    found = verify(domain, sample=None)
    if dry_run or not found.findings:
        done, lost = _plan(found)
        return RepairReport(found, done, lost, is_dry_run=dry_run)
    work = _Repair(domain, clock)
    damaged = {archive.path for archive in found.archives if archive.findings}
    for kind, path in archives_of(domain):
        if path in damaged:
            work.mend(kind, path)
    work.refill()
    return RepairReport(found, tuple(work.done), tuple(work.lost))


def _plan(found: VerifyReport) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """What would be done, and what cannot be."""
    done: list[str] = []
    lost: list[str] = []
    for archive in found.archives:
        for finding in archive.findings:
            line = (
                f"{archive.path.name}: {finding.array or 'root metadata'} {finding.what} "
                f"({finding.where}): {finding.remedy}"
            )
            (done if is_mendable(finding, archive.kind) else lost).append(line)
    return tuple(done), tuple(lost)


@dataclass
class _Repair:
    """One repair: archives are mended first, then what they lost is made again in order."""

    domain: Domain
    clock: Callable[[], Instant]
    done: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    _mended: list[tuple[Kind, Place]] = field(default_factory=list)
    _hours: Times = field(default_factory=_NONE.copy)
    _digests: Digests = field(default_factory=lambda: np.zeros((0, DIGEST_BYTES), np.uint8))
    _forecasts: dict[str, Times] = field(default_factory=dict)
    _made_by: dict[Instant, str] = field(default_factory=dict)
    _models: set[str] = field(default_factory=set)

    def mend(self, kind: Kind, path: Place) -> None:
        """Make one archive whole, without what was damaged."""
        before: list[Finding] = []
        for _ in range(_ROUNDS):
            report = verify_archive(path, kind, domain=self.domain)
            todo = [found for found in report.findings if is_mendable(found, kind)]
            if (
                not todo
                or todo == before
                or any(found.fault == Fault.FOREIGN for found in report.findings)
            ):
                break
            before = todo
            if any(found.fault == Fault.METADATA for found in todo):
                mend_metadata(self.domain, path, kind)
                self.done.append(f"{path.name}: metadata written again")
                continue
            if kind == "forecast" and path.stem == CHAMPION:
                self._made_by = _versions_in(path) | self._made_by
            withdrawn = mend(self.domain, path, kind, now=self.clock())
            self.done.append(f"{path.name}: {_counted(todo)} mended")
            if kind == "analysis":
                self._remember(withdrawn.times, withdrawn.digests)
            elif kind == "forecast":
                known = self._forecasts.get(path.stem, _NONE)
                self._forecasts[path.stem] = np.union1d(known, withdrawn.times)
            else:
                self._models |= set(withdrawn.models)
        self._mended.append((kind, path))

    def _remember(self, times: Times, digests: Digests) -> None:
        """Hours withdrawn in several rounds: their digests as first found."""
        is_new = ~np.isin(times, self._hours)
        self._hours = np.concatenate([self._hours, times[is_new]])
        self._digests = np.concatenate([self._digests, digests[is_new]])

    def refill(self) -> None:
        """Make again what the archives lost."""
        gone = self._refill_analysis() if self._hours.size else False
        for model, init_times in self._forecasts.items():
            if init_times.size:
                self._refill_forecasts(model, init_times)
        if self._models or self._forecasts or gone:
            self._refill_scores()
        for kind, path in self._mended:
            self._report_rest(verify_archive(path, kind, domain=self.domain))

    def _refill_analysis(self) -> bool:
        """Fetch the hours again; whether some stay missing."""
        path = Workspace.of(self.domain).analysis
        remedy = "`lsntp ingest` fetches these hours later"
        self._attempt(self._restore_hours, remedy)
        for period in self._periods(self._hours):
            self._attempt(partial(ingest, self.domain, period=period, clock=self.clock), remedy)
        archive = AnalysisArchive.open(path)
        held = Quarantine(Workspace.of(self.domain).quarantine).held(
            self.domain.quality.model_dump_json()
        )
        never_fit = np.isin(self._hours, np.array(list(held), "datetime64[ns]"))
        rejected = self._hours[never_fit & ~self._digests.any(axis=1)]
        if rejected.size:
            archive.mark(rejected, Status.QUARANTINED, now=self.clock())
        status = archive.status_at(self._hours)
        absent = self._hours[status == Status.MISSING]
        has_digest = archive.digests_at(self._hours).any(axis=1)
        unsure = self._hours[(status == Status.PRELIMINARY) & ~has_digest]
        if again := self._hours.size - absent.size - unsure.size:
            self.done.append(f"{path.name}: {again} hours as the source has them")
        for times, text in (
            (absent, "missing (NaN): the source has no field for them"),
            (unsure, "kept as preliminary: their digest is lost and the source has no field"),
        ):
            if times.size:
                self.lost.append(
                    f"{path.name}: {times.size} hours, {_span(times)}, are {text}; restore the "
                    "source's files or the archive from a backup, then run `lsntp ingest`"
                )
        return bool(absent.size)

    def _restore_hours(self) -> None:
        """Publish the very fields that were stored: accepted before, they are not judged again.

        Alone, without the neighbours they came with, fields may look worse than among them.
        """
        stored = {
            (time, digest.tobytes())
            for time, digest in zip(self._hours, self._digests, strict=True)
            if digest.any()
        }
        if not stored:
            return
        times = np.unique(np.array([time for time, _ in stored], "datetime64[ns]"))
        archive = AnalysisArchive.open(Workspace.of(self.domain).analysis)
        source = open_source(self.domain, clock=self.clock)
        for block in blocks(times, self.domain.start):
            for frames in source.fetch(block, archive.grid):
                digests = frames[SOURCE_DIGEST].to_numpy()
                keys = list(
                    zip(frames[TIME].to_numpy(), map(np.ndarray.tobytes, digests), strict=True)
                )
                first = {key: place for place, key in reversed(list(enumerate(keys)))}
                places = sorted(first[key] for key in stored & first.keys())
                if places:
                    same = frames.isel({TIME: places})
                    self._publish(archive, same)

    def _publish(self, archive: AnalysisArchive, frames: xr.Dataset) -> None:
        chunk = frames_per_chunk(self.domain.cadence)
        fields = regrid(frames[T2M].chunk({TIME: chunk}), archive.grid).compute()
        variables = {T2M: fields, STATUS: frames[STATUS], SOURCE_DIGEST: frames[SOURCE_DIGEST]}
        archive.publish(xr.Dataset(variables), now=self.clock())

    def _refill_forecasts(self, model: str, init_times: Times) -> None:
        from lsntp.forecasting import forecast  # torch: only when it is needed

        path = Workspace.of(self.domain).forecast(model)
        remedy = self._remedy(model)
        absent = init_times
        if model == CHAMPION:
            absent = self._refill_by_their_makers(path, absent)
        for period in self._periods(absent) if absent.size else ():
            self._attempt(
                partial(forecast, self.domain, models=[model], period=period, clock=self.clock),
                f"{remedy} later",
            )
        still = np.setdiff1d(absent, ForecastArchive.open(path).written())
        if count := absent.size - still.size:
            how = "fetched again" if model == RAW else f"made again by {self._maker(model)}"
            self.done.append(f"{path.name}: {count} forecasts {how}")
        if still.size:
            self.lost.append(
                f"{path.name}: {still.size} forecasts, {_span(still)}, are missing now; {remedy}"
            )

    def _refill_by_their_makers(self, path: Place, init_times: Times) -> Times:
        """Make the champion's again, each by the version it was by; those that stay missing."""
        from lsntp.forecasting import forecast_by

        makers = np.array([self._made_by.get(time, "") for time in init_times])
        for version in sorted(set(makers) - {""}):
            before = ForecastArchive.open(path).written()
            try:
                for period in self._periods(init_times[makers == version]):
                    forecast_by(self.domain, CHAMPION, version, period)
            except ModelError as error:
                self.done.append(
                    f"{path.name}: {version}, champion of its time, cannot be used ({error})"
                )
            after = ForecastArchive.open(path).written()
            if count := after.size - before.size:
                self.done.append(
                    f"{path.name}: {count} forecasts made again by {version}, which made them"
                )
        return np.setdiff1d(init_times, ForecastArchive.open(path).written())

    def _maker(self, model: str) -> str:
        if VERSION_PATTERN.fullmatch(model):
            return "that version"
        return "today's champion" if model == CHAMPION else "the newest version"

    def _remedy(self, model: str) -> str:
        name = self.domain.domain
        if model in self.domain.guidance:
            return f"`lsntp forecast {name} --model {model} --from TIME --to TIME` has them again"
        if VERSION_PATTERN.fullmatch(model):
            again = f"`lsntp forecast {name} --model {model} --from TIME --to TIME`"
            return (
                f"restore that version and make sure the hours before them are there, then {again}"
            )
        need = "choose a champion (`lsntp models promote`)"
        if model != CHAMPION:
            need = f"run `lsntp train` for {model}"
        return f"{need} and make sure the hours before them are there, then `lsntp forecast`"

    def _refill_scores(self) -> None:
        path = Workspace.of(self.domain).evaluation
        if not path.is_dir():
            return
        from lsntp.evaluation.scoring import evaluate

        if self._attempt(partial(evaluate, self.domain), "`lsntp evaluate` scores them later"):
            self.done.append(f"{path.name}: scored again where forecast and truth are there")
        workspace = Workspace.of(self.domain)
        versions = sorted(filter(VERSION_PATTERN.fullmatch, self._models))
        made = [name for name in versions if workspace.forecast(name).is_dir()]
        if made:
            again = f"`lsntp evaluate{version_options(made)}` scores them later"
            self._attempt(partial(evaluate, self.domain, models=made), again)
        if gone := sorted(set(versions) - set(made)):
            self.lost.append(
                f"{path.name}: scores of {', '.join(gone)} in damaged months are gone; run `lsntp "
                f"forecast {self.domain.reference}{version_options(gone)} --from TIME --to TIME`, "
                "then `lsntp evaluate` likewise"
            )
        unknown = sorted(self._models - {*self.domain.model_names, CHAMPION, *versions})
        if unknown:
            self.lost.append(
                f"{path.name}: scores of {', '.join(unknown)} in damaged months are gone; add the "
                "model to the domain file and run `lsntp evaluate`"
            )

    def _attempt(self, step: Callable[[], object], remedy: str) -> bool:
        """Whether a step ended well; if not, why and what then is noted."""
        try:
            step()
        except LsntpError as error:
            self.lost.append(f"{error} Then {remedy}.")
            return False
        return True

    def _periods(self, times: Times) -> list[Period]:
        """Consecutive steps together."""
        slots = ((times - self.domain.start) // self.domain.cadence).astype(np.int64)
        flags = np.zeros(int(slots.max()) + 1, np.bool_)
        flags[slots] = True
        steps = [
            self.domain.start + np.array(bounds) * self.domain.cadence for bounds in runs(flags)
        ]
        return [Period(first, end) for first, end in steps]

    def _report_rest(self, report: ArchiveReport) -> None:
        for finding in report.findings:
            if finding.array == SOURCE_DIGEST:
                continue  # told with the hours
            self.lost.append(
                f"{report.path.name}: {finding.array or 'root metadata'} {finding.what} "
                f"({finding.where}): {finding.remedy}"
            )


def _versions_in(path: Place) -> dict[Instant, str]:
    """Who made each forecast, as far as it can be read."""
    try:
        archive = ForecastArchive.open(path)
        init_times = archive.init_times
        versions = archive.model_versions(init_times)
    except StorageUnavailableError:
        raise
    except Exception:  # damaged in whatever way: then nobody knows
        return {}
    return {time: version for time, version in zip(init_times, versions, strict=True) if version}


def _counted(findings: list[Finding]) -> str:
    counts = {fault: sum(found.fault == fault for found in findings) for fault in Fault}
    return ", ".join(f"{count} {fault.value}" for fault, count in counts.items() if count)


def _span(times: Times) -> str:
    first, last = format_time(times.min()), format_time(times.max())
    return first if first == last else f"{first} to {last}"
