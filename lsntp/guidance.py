"""Forecasts that the source itself makes: fetched as they are, and corrected for their bias.

They lie in the forecast archive like those of any model, from the same initial times and at
the same leads, and are scored by the same code: ``gfs`` is the source's forecast on the
domain's grid, ``gfs-bias-corrected`` the same less a mean error (K, H, W),

    x̂(t + L) = g(t, L) - mean over the training block of [g(s, L) - x(s + L)],

per lead and cell. Only truth inside the training block goes in. The mean error is a model
version of its own, named by all that decides it.
"""

import hashlib
import json
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lsntp.archives.analysis import AnalysisArchive
from lsntp.archives.forecast import ForecastArchive
from lsntp.archives.lease import writer_lease
from lsntp.config import GUIDANCE, Domain, GfsSource
from lsntp.errors import TrainingDataError
from lsntp.given_up import GivenUp
from lsntp.grid import Fields, Grid
from lsntp.names import LATITUDE, LONGITUDE, Status
from lsntp.progress import track
from lsntp.publication import ForecastReport, create_forecasts, written_forecasts
from lsntp.regrid import ConservativeWeights, conservative_weights
from lsntp.sources import ForecastingSource, open_source
from lsntp.times import Instant, Period, Times, format_time, hours, utc_now
from lsntp.training.provenance import (
    DIGEST_LENGTH,
    Provenance,
    Recipe,
    hardware,
    now_utc,
    recipe_for,
    source_commit,
)
from lsntp.training.versions import (
    ModelVersion,
    check_tensors,
    is_stored,
    save_version,
    time_of_making,
)
from lsntp.workspace import Workspace

RAW, CORRECTED = GUIDANCE
BATCH = 8
"""Initial times fetched and published together."""
FEWEST_SHARE = 0.9
"""Of the training block's initial times that must have a forecast: fewer may be one season's."""

_MEAN_ERROR = "mean_error"

_log = logging.getLogger(__name__)


def fetch_guidance(
    domain: Domain,
    asked: Times,
    *,
    latest: bool = False,
    limit: int | None = None,
    clock: Callable[[], Instant] = utc_now,
) -> ForecastReport:
    """Fetch the source's own forecasts from the asked initial times that have none yet.

    The newest first. A run that lacks a step, or whose values are not plausible, once it is
    ``source.give_up_h`` old is not asked for again, unless there is no ``limit``.

    Args:
        domain: whose source.
        asked: initial times, ascending; those between the source's runs are passed over.
        latest: only the newest of them.
        limit: fetch from so many at most and leave the rest to the next run; None for all.
        clock: what time it is.

    Raises:
        SourceDataError: if the source's forecasts cannot be used.
        SourceUnavailableError: if it cannot be reached.
        CredentialsError: if it refuses us.
        ArchiveBusyError: if another process is writing the same forecasts.
        StorageError: if the storage refuses.
    """
    source = open_source(domain, clock=clock)
    if not isinstance(source, ForecastingSource):
        raise TypeError(f"{source.name} makes no forecasts")
    version = raw_version(domain)
    asked = _runs(source, asked, domain)[-1 if latest else 0 :]
    written, made_by = written_forecasts(domain, RAW)
    missing = asked[~np.isin(asked, written)]
    given_up = GivenUp(Workspace.of(domain).work / f"{RAW}-given-up.json", version)
    due = missing if limit is None else np.setdiff1d(missing, given_up.runs())
    chosen = due if limit is None else due[-limit:]
    new: list[Times] = [missing[:0]]
    weights: ConservativeWeights | None = None
    ends = range(chosen.size, 0, -BATCH)
    for batch in track([chosen[max(0, end - BATCH) : end] for end in ends], f"fetch {RAW}"):
        found = source.fetch_forecasts(batch, domain.lead_times, domain.target_grid)
        init_times = batch[:0]
        if found is not None:
            native = Grid(found[LATITUDE].to_numpy(), found[LONGITUDE].to_numpy())
            if weights is None or not weights.source.matches(native):
                weights = conservative_weights(native, domain.target_grid)
            fields = _moved(found.to_numpy(), weights)
            is_sound = _sound(domain, found.init_time.to_numpy(), fields)
            init_times = found.init_time.to_numpy()[is_sound]
            if init_times.size:
                _publish(domain, RAW, init_times, fields[is_sound], version)
                new.append(init_times)
        lost = np.setdiff1d(batch, init_times)
        given_up.remember(lost[clock() - lost >= hours(_config(domain).give_up_h)])
    fetched = np.sort(np.concatenate(new))
    waiting = due.size - chosen.size
    return ForecastReport(
        model=RAW,
        version=version,
        written=fetched,
        already=asked.size - missing.size,
        older=int(np.isin(asked, written[made_by != version]).sum()),
        incomplete=missing.size - fetched.size - waiting,
        waiting=waiting,
    )


def correct_guidance(
    domain: Domain, analysis: AnalysisArchive, asked: Times, *, latest: bool = False
) -> ForecastReport:
    """Correct every fetched forecast from the asked initial times that is not corrected yet.

    The mean error is taken anew where its training pairs changed; what was corrected before
    stays as it was made.

    Raises:
        TrainingDataError: if the training block has too few forecasts with their truth.
        ModelError: if the stored mean error is damaged.
        ArchiveBusyError: if another process is at the same work.
        StorageError: if the storage refuses.
    """
    version = _correction(domain, analysis)
    tensors = version.tensors()
    expected = {_MEAN_ERROR: (domain.horizon, *domain.target_grid.shape)}
    check_tensors(tensors, expected, version.path)
    raw, _ = written_forecasts(domain, RAW)
    there = asked[np.isin(asked, raw)][-1 if latest else 0 :]
    written, made_by = written_forecasts(domain, CORRECTED)
    missing = there[~np.isin(there, written)]
    starts = range(0, missing.size, BATCH)
    for batch in track([missing[i : i + BATCH] for i in starts], f"forecast {CORRECTED}"):
        fields = ForecastArchive.open(Workspace.of(domain).forecast(RAW)).read(batch)
        _publish(domain, CORRECTED, batch, fields - tensors[_MEAN_ERROR], version.version)
    return ForecastReport(
        model=CORRECTED,
        version=version.version,
        written=missing,
        already=there.size - missing.size,
        older=int(np.isin(there, written[made_by != version.version]).sum()),
        incomplete=asked.size - there.size,
    )


def raw_version(domain: Domain) -> str:
    """``gfs-<digest>`` of where the forecasts come from and the grid they are moved to."""
    source = _config(domain)
    origin = {
        "bucket": source.bucket,
        "resolution": source.resolution,
        "grid": domain.target_grid.digest,
        "horizon": domain.horizon,
        "cadence_h": domain.cadence_h,
    }
    digest = hashlib.sha256(json.dumps(origin, sort_keys=True).encode()).hexdigest()
    return f"{RAW}-{digest[:DIGEST_LENGTH]}"


def _config(domain: Domain) -> GfsSource:
    if not isinstance(domain.source, GfsSource):
        raise TypeError(f"{domain.source.name} makes no forecasts")
    return domain.source


def _runs(source: ForecastingSource, asked: Times, domain: Domain) -> Times:
    """Those of ``asked`` at which the source starts a forecast that is due by now."""
    if not asked.size:
        return asked
    runs = source.available(Period(asked[0], asked[-1] + domain.cadence))
    return np.asarray(asked[np.isin(asked, runs)])


def _moved(fields: Fields, weights: ConservativeWeights) -> Fields:
    """Forecasts (n, K, H, W) on the domain's grid."""
    moved: Fields = weights.apply(fields.reshape(-1, *fields.shape[2:]))
    return moved.reshape(*fields.shape[:2], *moved.shape[1:])


def _sound(domain: Domain, init_times: Times, fields: Fields) -> npt.NDArray[np.bool_]:
    """Which forecasts (n, K, H, W) are whole and plausible; the others are told."""
    limits = domain.quality
    with np.errstate(invalid="ignore"):
        is_plausible = (fields >= limits.minimum_k) & (fields <= limits.maximum_k)
    is_sound = np.asarray(is_plausible.all(axis=(1, 2, 3)))
    if not is_sound.all():
        _log.warning(
            "Expected forecasts within %g to %g K in every cell, found others from %s: left out; "
            "widen the limits under quality if they are true.",
            *(limits.minimum_k, limits.maximum_k),
            ", ".join(map(format_time, init_times[~is_sound])),
        )
    return is_sound


def _publish(domain: Domain, model: str, init_times: Times, fields: Fields, version: str) -> None:
    create_forecasts(domain, model, f"guidance {model}").publish(
        init_times,
        np.ascontiguousarray(fields, np.float32),
        model_version=version,
        analysis_status=np.full(init_times.size, Status.FINAL, np.int8),
    )


# --- the mean error ------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class _Pairs:
    """The forecasts of the training block, and which of their leads have truth inside it."""

    init_times: Times
    has_truth: npt.NDArray[np.bool_]
    digest: str


def _correction(domain: Domain, analysis: AnalysisArchive) -> ModelVersion:
    """The version of the mean error over the training block; made if there is none."""
    pairs = _training_pairs(domain, analysis)
    recipe = recipe_for(
        domain,
        model=CORRECTED,
        kind="baseline",
        training_data=pairs.digest,
        settings={"guidance": raw_version(domain)},
    )
    workspace = Workspace.of(domain)
    path = workspace.models / recipe.version
    with writer_lease(workspace.work / "training" / recipe.version):
        if is_stored(path):
            return ModelVersion.open(path)
        started = time.perf_counter()
        mean_error = _mean_error(domain, analysis, pairs)
        return save_version(
            workspace.models,
            _provenance(domain, recipe, mean_error, time.perf_counter() - started),
            tensors={_MEAN_ERROR: mean_error},
            config=domain.to_yaml(),
            statistics={"init_times": pairs.init_times.size},
            scores={"windows": 0, "training_bias_k": mean_error.mean(axis=(1, 2)).tolist()},
        )


def _provenance(domain: Domain, recipe: Recipe, mean_error: Fields, seconds: float) -> Provenance:
    return Provenance(
        version=recipe.version,
        recipe=recipe,
        grid=str(domain.target_grid),
        parameters=mean_error.size,
        is_synthetic=domain.is_synthetic,
        commit=source_commit(),
        hardware=hardware(),
        durations_s={"fit": round(seconds, 3)},
        created_at=time_of_making(Workspace.of(domain).models, recipe.model, now_utc()),
    )


def _training_pairs(domain: Domain, analysis: AnalysisArchive) -> _Pairs:
    """What the training block has.

    Raises:
        TrainingDataError: if it is too little.
    """
    block = domain.split.train.period
    init_times = block.steps(domain.cadence, domain.start)
    valid = init_times[:, None] + domain.lead_times
    status = analysis.status_at(valid.ravel()).reshape(valid.shape)
    is_usable = np.isin(status, [Status.PRELIMINARY, Status.FINAL]) & block.contains(valid)
    runs = _runs_in(domain, init_times) & is_usable.any(axis=1)
    written, made_by = written_forecasts(domain, RAW)
    is_there = runs & np.isin(init_times, written[made_by == raw_version(domain)])
    _check_enough(domain, int(is_there.sum()), int(runs.sum()))
    chosen, has_truth = init_times[is_there], is_usable[is_there]
    digest = hashlib.sha256(chosen.astype("<i8").tobytes() + has_truth.tobytes())
    digest.update(analysis.digests_at(np.unique(valid[is_there][has_truth])).tobytes())
    return _Pairs(chosen, has_truth, digest.hexdigest())


def _runs_in(domain: Domain, init_times: Times) -> npt.NDArray[np.bool_]:
    """Which initial times of a block the source has runs for."""
    source = open_source(domain)
    runs = source.available(Period(init_times[0], init_times[-1] + domain.cadence))
    return np.isin(init_times, runs)


def _check_enough(domain: Domain, found: int, possible: int) -> None:
    fewest = max(_config(domain).correction_init_times, int(np.ceil(FEWEST_SHARE * possible)))
    if found < fewest:
        block = domain.split.train.period
        first, end = (
            format_time(time).removesuffix("T00:00Z") for time in (block.start, block.end)
        )
        raise TrainingDataError(
            f"Expected forecasts of {RAW} from at least {fewest} initial times of the training "
            f"block {block} (source.correction_init_times, and {FEWEST_SHARE:.0%} of the "
            f"{possible} with truth), found {found}; fetch them once with `lsntp forecast "
            f"{domain.reference} --model {RAW} --from {first} --to {end}`, or move split.train."
        )


def _mean_error(domain: Domain, analysis: AnalysisArchive, pairs: _Pairs) -> Fields:
    """Mean of forecast minus analysis (K, H, W), K; float64 sums.

    Raises:
        TrainingDataError: if a lead has no pair.
    """
    archive = ForecastArchive.open(Workspace.of(domain).forecast(RAW))
    shape = (domain.horizon, *domain.target_grid.shape)
    total, count = np.zeros(shape), pairs.has_truth.sum(axis=0)
    if not count.all():
        raise TrainingDataError(
            f"Expected truth for every lead inside the training block {domain.split.train.period}, "
            f"found none for {(count == 0).sum()} of {domain.horizon}; lengthen split.train."
        )
    starts = range(0, pairs.init_times.size, BATCH)
    for batch in track([slice(i, i + BATCH) for i in starts], f"fit {CORRECTED}"):
        init_times, has_truth = pairs.init_times[batch], pairs.has_truth[batch]
        valid = init_times[:, None] + domain.lead_times
        times, where = np.unique(valid, return_inverse=True)
        truth = analysis.read(times)[where.reshape(valid.shape)]
        error = archive.read(init_times).astype(np.float64) - truth
        total += np.where(has_truth[:, :, None, None], error, 0.0).sum(axis=0)
    mean: Fields = (total / count[:, None, None]).astype(np.float32)
    return mean
