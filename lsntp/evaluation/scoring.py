"""Score every forecast whose truth is there and that has no score from the same inputs yet."""

import hashlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lsntp.archives.analysis import AnalysisArchive
from lsntp.archives.evaluation import EvaluationArchive, ScoredFrames
from lsntp.archives.forecast import ForecastArchive
from lsntp.archives.layout import CONFIGURATION
from lsntp.archives.superseded import superseded
from lsntp.config import Domain
from lsntp.errors import ArchiveError, ArchiveNotFoundError, EvaluationError
from lsntp.evaluation.crps import quantile_sums
from lsntp.evaluation.maps import (
    blocks_of,
    is_usable,
    no_cell_sums,
    read_truth,
    truth_status,
    valid_times,
)
from lsntp.evaluation.reference import REFERENCE_DIGEST, Reference, training_reference
from lsntp.evaluation.sums import Sums, cell_sums, frame_sums, merge
from lsntp.grid import Grid
from lsntp.names import CHAMPION, VERSION_PATTERN, Status, version_options
from lsntp.progress import track
from lsntp.times import Instant, Times, format_time
from lsntp.workspace import Workspace

Flags = npt.NDArray[np.bool_]

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class FrameCounts:
    """Frames (init_time, lead_time) of one model's forecasts.

    Attributes:
        scored: scored now, or again because forecast, truth or climatology changed.
        already: scored before from the same inputs.
        waiting: without a truth yet.
        dropped: whose score was taken back, because forecast or truth was withdrawn.
        superseded: initial times (not frames) whose forecast started from preliminary analyses
            that are final now; their scores say so by ``analysis_status`` of the forecast.
    """

    scored: int
    already: int
    waiting: int
    dropped: int = 0
    superseded: int = 0


@dataclass(frozen=True)
class EvaluationReport:
    """What an evaluation did, model by model."""

    models: dict[str, FrameCounts]

    @property
    def did_nothing(self) -> bool:
        """Whether every frame with a truth was scored already."""
        return not any(counts.scored or counts.dropped for counts in self.models.values())


@dataclass(frozen=True, eq=False)
class _Work:
    """The forecasts of one model and which of their frames to score.

    ``init_times`` (n,) are all written ones, and those with a score whose forecast was
    withdrawn; ``is_written`` (n,) tells them apart. Status (of the truth), digests and flags
    are (n, K). A frame without forecast or truth has the digest 0, as one never scored.
    """

    model: str
    forecasts: ForecastArchive
    init_times: Times
    is_written: Flags
    status: npt.NDArray[np.int8]
    inputs: npt.NDArray[np.int64]
    is_due: Flags
    superseded: int

    @property
    def counts(self) -> FrameCounts:
        has_score = self.inputs != 0
        scored = int((self.is_due & has_score).sum())
        return FrameCounts(
            scored=scored,
            already=int(has_score.sum()) - scored,
            waiting=int((~has_score)[self.is_written].sum()),
            dropped=int((self.is_due & ~has_score).sum()),
            superseded=self.superseded,
        )

    @property
    def months(self) -> list[Instant]:
        """Months with a frame to score."""
        return list(np.unique(self.init_times[self.is_due.any(axis=1)].astype("datetime64[M]")))

    def in_month(self, month: Instant) -> "_Work":
        chosen = self.init_times.astype("datetime64[M]") == month
        return self._only(chosen)

    def in_block(self, block: slice) -> "_Work":
        return self._only(block)

    def _only(self, chosen: slice | Flags) -> "_Work":
        return _Work(
            self.model,
            self.forecasts,
            self.init_times[chosen],
            self.is_written[chosen],
            self.status[chosen],
            self.inputs[chosen],
            self.is_due[chosen],
            self.superseded,
        )


def evaluate(domain: Domain, *, models: Sequence[str] | None = None) -> EvaluationReport:
    """Score the frames that are due and recompute the maps of the months they are in.

    A frame is due when its truth is usable and it was never scored, or was scored from
    another forecast, truth (preliminary, now final) or climatology. A score whose forecast or
    truth was withdrawn is taken back. So the archive always equals that of scoring everything
    once, now (but for the order of the models); a second run does nothing.

    Args:
        domain: whose forecasts.
        models: which, also versions by their whole names; by default every model of the domain
            that has forecasts, the champion, whose scores are those of what users were given,
            and the versions that were scored with a truth that was preliminary. One of these
            whose archive is damaged is in nobody's way: its scores stay, and it is said.

    Raises:
        EvaluationError: if there is no forecast, no training archive, or they do not fit.
        ArchiveError: if an archive is missing, damaged or busy.
        StorageError: if the storage refuses; what was scored before stays as it was.
    """
    workspace = Workspace.of(domain)
    forecasts = _open_forecasts(domain, workspace, models)
    analysis = AnalysisArchive.open(workspace.analysis)
    reference = training_reference(domain, analysis)
    report = _score(domain, forecasts, analysis, reference)
    if models is None:
        for version in _provisional_versions(workspace):
            try:
                found = _open_forecasts(domain, workspace, [version])
                report |= _score(domain, found, analysis, reference)
            except (ArchiveError, EvaluationError) as error:
                _log.warning("The scores of %s stay as they are: %s", version, error)
    return EvaluationReport(report)


def _score(
    domain: Domain,
    forecasts: Sequence[tuple[str, ForecastArchive]],
    analysis: AnalysisArchive,
    reference: Reference,
) -> dict[str, FrameCounts]:
    """Score what is due of some forecast archives."""
    work = [_work_list(domain, archive, name, analysis, reference) for name, archive in forecasts]
    jobs = [(item, month) for item in work for month in item.months]
    if jobs:
        archive = _create(domain, Workspace.of(domain), reference)
        for item, month in track(jobs, "scoring"):
            _score_month(archive, item.in_month(month), month, analysis, reference)
    return {item.model: item.counts for item in work}


def _open_forecasts(
    domain: Domain, workspace: Workspace, models: Sequence[str] | None
) -> list[tuple[str, ForecastArchive]]:
    """The forecast archives to score; every named one must be there."""
    known = (*domain.model_names, CHAMPION)
    unknown = [
        name for name in models or () if name not in known and not VERSION_PATTERN.fullmatch(name)
    ]
    if unknown:
        raise EvaluationError(
            f"Expected models of the domain {domain.domain} ({', '.join(known)}) or whole names "
            f"of versions, found {', '.join(unknown)}."
        )
    found, absent = [], []
    for name in models or known:
        try:
            found.append((name, ForecastArchive.open(workspace.forecast(name))))
        except ArchiveNotFoundError:
            absent.append(name)
    if not found or (models and absent):
        raise EvaluationError(
            f"Expected forecasts of {', '.join(absent)} in {workspace.forecasts}, found none; run "
            f"`lsntp forecast {domain.reference}{version_options(absent)}`."
        )
    for name, archive in found:
        if not np.array_equal(archive.lead_times, domain.lead_times) or not archive.grid.matches(
            domain.target_grid
        ):
            raise EvaluationError(
                f"Expected the forecasts of {name} in {archive.path} on the domain's grid "
                f"({domain.target_grid}) with {domain.horizon} leads, found {archive.grid} with "
                f"{archive.lead_times.size}; give the changed domain a new name."
            )
    return found


def _provisional_versions(workspace: Workspace) -> list[str]:
    """The versions with a score that a final truth will change, and forecasts of their own."""
    try:
        stored = EvaluationArchive.open(workspace.evaluation)
    except ArchiveNotFoundError:
        return []
    versions = [name for name in stored.models if VERSION_PATTERN.fullmatch(name)]
    return [
        name
        for name in versions
        if workspace.forecast(name).is_dir() and stored.is_provisional(name)
    ]


def _work_list(
    domain: Domain,
    forecasts: ForecastArchive,
    model: str,
    analysis: AnalysisArchive,
    reference: Reference,
) -> _Work:
    written = forecasts.written()
    try:
        stored = EvaluationArchive.open(Workspace.of(domain).evaluation)
        scored = stored.scored(model)
    except ArchiveNotFoundError:
        stored, scored = None, written[:0]
    init_times = np.union1d(written, scored)
    is_written = np.isin(init_times, written)
    status = truth_status(analysis, init_times, forecasts.lead_times)
    inputs = _inputs_digest(forecasts, analysis, init_times, reference)
    inputs = np.where(is_usable(status) & is_written[:, None], inputs, 0)
    known = np.zeros_like(inputs) if stored is None else stored.inputs_at(model, init_times)
    return _Work(
        model,
        forecasts,
        init_times,
        is_written=is_written,
        status=status,
        inputs=inputs,
        is_due=known != inputs,
        superseded=superseded(domain, forecasts, analysis).size,
    )


def _inputs_digest(
    forecasts: ForecastArchive, analysis: AnalysisArchive, init_times: Times, reference: Reference
) -> npt.NDArray[np.int64]:
    """The identity (n, K) of what each frame is scored from; never 0.

    The exclusive or of a digest of the forecast (version, status of its analysis, reference)
    and one of the truth (source digest, status).
    """
    times, where = valid_times(init_times, forecasts.lead_times)
    of_truth = [
        _int64(digest.tobytes() + bytes([status]))
        for digest, status in zip(
            analysis.digests_at(times), analysis.status_at(times).astype(np.uint8), strict=True
        )
    ]
    of_forecast = [
        _int64(f"{version} {status} {reference.digest}".encode())
        for version, status in zip(
            forecasts.model_versions(init_times),
            forecasts.analysis_status_at(init_times),
            strict=True,
        )
    ]
    truth, forecast = np.array(of_truth, np.int64), np.array(of_forecast, np.int64)
    digest: npt.NDArray[np.int64] = forecast[:, None] ^ truth[where]
    return np.where(digest == 0, np.int64(1), digest)


def _int64(content: bytes) -> int:
    return int.from_bytes(hashlib.sha256(content).digest()[:8], "little", signed=True)


def _create(domain: Domain, workspace: Workspace, reference: Reference) -> EvaluationArchive:
    value_range = reference.value_range
    return EvaluationArchive.create(
        workspace.evaluation,
        grid=domain.target_grid,
        start=domain.start,
        cadence=domain.cadence,
        lead_times=domain.lead_times,
        attrs={
            "title": f"Scores of 2 m temperature forecasts, domain {domain.domain}",
            "source": domain.source.name,
            "synthetic": str(domain.is_synthetic).lower(),
            "training_period": str(reference.period),
            REFERENCE_DIGEST: reference.digest,
            "data_range_k": repr(float(value_range.width)),
            "data_minimum_k": repr(float(value_range.minimum)),
            CONFIGURATION: domain.to_yaml(),
        },
    )


def _score_month(
    archive: EvaluationArchive,
    work: _Work,
    month: Instant,
    analysis: AnalysisArchive,
    reference: Reference,
) -> None:
    """Score the due frames of one month and sum its maps over all frames with a truth."""
    leads = archive.lead_times
    maps = no_cell_sums(leads.size, archive.grid)
    parts: list[Sums] = []
    for block in blocks_of(work.init_times, leads, archive.grid):
        part = work.in_block(block)
        counts = (part.inputs != 0)[:, :, None, None]
        truth = np.where(counts, read_truth(analysis, part.init_times, leads), np.nan)
        prediction = np.where(counts, work.forecasts.read(part.init_times), np.nan)
        maps = merge(maps, cell_sums(prediction=prediction, target=truth))
        parts.append(_score_block(archive, part, prediction, truth, reference))
    due = work.is_due.any(axis=1)
    inputs = work.inputs[due]
    versions = work.forecasts.model_versions(work.init_times[due])
    scored = ScoredFrames(
        init_times=work.init_times[due],
        is_scored=work.is_due[due],
        sums={name: np.concatenate([part[name] for part in parts]) for name in parts[0]},
        truth_status=np.where(inputs != 0, work.status[due], Status.MISSING).astype(np.int8),
        inputs=inputs,
        model_version=[
            version if row.any() else "" for version, row in zip(versions, inputs, strict=True)
        ],
    )
    archive.publish(work.model, scored, {month: maps})


def _score_block(
    archive: EvaluationArchive,
    work: _Work,
    prediction: npt.NDArray[np.float32],
    truth: npt.NDArray[np.float32],
    reference: Reference,
) -> Sums:
    """The sums of the init_times with a due frame; the other frames of those are NaN."""
    due = work.is_due.any(axis=1)
    is_due = work.is_due[due]
    times, where = valid_times(work.init_times[due], archive.lead_times)
    sums = frame_sums(
        prediction=np.where(is_due[:, :, None, None], prediction[due], np.nan),
        target=truth[due],
        climatology=reference.climatology.at(times)[where],
        weights=archive.grid.area_weights,
        value_range=reference.value_range,
    )
    broken = is_due & (work.inputs[due] != 0) & (sums["count"] == 0)
    if broken.any():
        row = int(np.flatnonzero(broken.any(axis=1))[0])
        raise EvaluationError(
            f"Expected finite fields in {work.forecasts.path} and its truth, found NaN or infinity "
            f"in the forecast from {format_time(work.init_times[due][row])}; run `lsntp forecast` "
            "again, or restore the archive."
        )
    if work.forecasts.has_quantiles:
        true = np.where(is_due[:, :, None, None], truth[due], np.nan)
        sums |= _quantile_sums(work.forecasts, work.init_times[due], true, archive.grid)
    return sums


def _quantile_sums(
    forecasts: ForecastArchive, init_times: Times, truth: npt.NDArray[np.float32], grid: Grid
) -> Sums:
    """Those of the quantiles, of which one forecast's are in memory at a time."""
    rows = [slice(row, row + 1) for row in range(init_times.size)] or [slice(0, 0)]
    parts = [
        quantile_sums(
            quantiles=forecasts.read_quantiles(init_times[row]),
            target=truth[row],
            weights=grid.area_weights,
        )
        for row in rows
    ]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
