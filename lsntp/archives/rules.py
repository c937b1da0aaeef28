"""What must hold in each kind of archive: which objects are needed, which values agree.

A slot's own arrays say whether it holds a field; the field must be there exactly then.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from lsntp.archives.evaluation import (
    COUNT,
    ENSEMBLE_SUMS,
    FRAME_DIMS,
    INPUTS,
    MAP_COUNT,
    MAP_DIMS,
    MODEL,
    MONTH,
    TRUTH_STATUS,
)
from lsntp.archives.findings import Kind
from lsntp.archives.forecast import (
    ANALYSIS_STATUS,
    EXPECTED_LEADS,
    MODEL_VERSION,
    WRITTEN_LEADS,
    WRITTEN_QUANTILES,
)
from lsntp.archives.inspection import Flags, Job, Look
from lsntp.archives.layout import Axis
from lsntp.config import Domain
from lsntp.names import (
    DIGEST_BYTE,
    FIELD_DIMS,
    FORECAST_DIMS,
    INGESTED_AT,
    INIT_TIME,
    LATITUDE,
    LEAD_TIME,
    LONGITUDE,
    QUANTILE,
    QUANTILES,
    SOURCE_DIGEST,
    STATUS,
    T2M,
    T2M_QUANTILE,
    TIME,
    VALID_TIME,
    Status,
)

USABLE: Final = [int(status) for status in Status if status.is_usable]
STATIC: Final = (LATITUDE, LONGITUDE, LEAD_TIME, QUANTILE)
"""Coordinates that never grow; quantiles only where there are any."""
DERIVED: Final = (TIME, INIT_TIME, VALID_TIME, EXPECTED_LEADS, MONTH)
"""Arrays that grow and follow from the start, the cadence and the lead times."""
SLOT_DIM: Final[dict[Kind, str]] = {
    "analysis": TIME,
    "forecast": INIT_TIME,
    "evaluation": INIT_TIME,
}
REQUIRED: Final[dict[Kind, dict[str, tuple[str, ...]]]] = {
    "analysis": {
        **{name: (name,) for name in (LATITUDE, LONGITUDE, TIME)},
        T2M: FIELD_DIMS,
        SOURCE_DIGEST: (TIME, DIGEST_BYTE),
        **dict.fromkeys((STATUS, INGESTED_AT), (TIME,)),
    },
    "forecast": {
        **{name: (name,) for name in (LATITUDE, LONGITUDE, LEAD_TIME, INIT_TIME)},
        VALID_TIME: (INIT_TIME, LEAD_TIME),
        T2M: FORECAST_DIMS,
        **dict.fromkeys(
            (MODEL_VERSION, ANALYSIS_STATUS, EXPECTED_LEADS, WRITTEN_LEADS), (INIT_TIME,)
        ),
    },
    "evaluation": {
        **{name: (name,) for name in (LATITUDE, LONGITUDE, LEAD_TIME, INIT_TIME, MONTH, MODEL)},
        MODEL_VERSION: (MODEL, INIT_TIME),
        **dict.fromkeys((COUNT, TRUTH_STATUS, INPUTS), FRAME_DIMS),
        MAP_COUNT: MAP_DIMS[:3],
    },
}
"""name -> dimensions of the arrays without which an archive says nothing."""
SSIM_WINDOW: Final = 7
FIELD_WITHOUT_STATUS: Final = "a field, though no status says so"


@dataclass(frozen=True)
class Fields:
    """Chunks to decode by sample, and what is to be found in them.

    Attributes:
        jobs: every chunk that is there.
        holds: by array: the slots (or models and slots) that must hold finite values.
        knows: by array: those whose status could be read.
        is_exclusive: whether the other slots must hold nothing.
    """

    jobs: list[Job]
    holds: dict[str, Flags]
    knows: dict[str, Flags]
    is_exclusive: bool


def survey(look: Look, kind: Kind, axis: Axis) -> Fields:
    """Check everything but fields: coordinates, status, digests, and that no chunk is missing."""
    lead_times = look.whole(LEAD_TIME) if LEAD_TIME in look.snapshot.arrays else None
    steps = axis.clock.decode_durations(lead_times.values) if lead_times else None
    if lead_times and not (lead_times.known.all() and look.snapshot.has(LEAD_TIME, (0,))):
        steps = None
    for name, values in derived_values(kind, axis, look.snapshot.size, steps).items():
        look.expect_values(name, values)
    if kind == "analysis":
        return _analysis(look)
    return _forecast(look) if kind == "forecast" else _evaluation(look, axis)


def static_values(domain: Domain, kind: Kind) -> dict[str, npt.NDArray[Any]]:
    """What the coordinates that never grow hold, by the domain file."""
    values: dict[str, npt.NDArray[Any]] = {
        LATITUDE: domain.target_grid.latitude,
        LONGITUDE: domain.target_grid.longitude,
    }
    if kind != "analysis":
        clock = Axis(domain.start, domain.cadence).clock
        values[LEAD_TIME] = clock.encode_durations(domain.lead_times)
        values[QUANTILE] = np.array(QUANTILES)
    return values


def derived_values(
    kind: Kind,
    axis: Axis,
    size: Callable[[str], int],
    lead_times: npt.NDArray[np.timedelta64] | None,
) -> dict[str, npt.NDArray[Any]]:
    """What the arrays of :data:`DERIVED` hold; those of unknown lead times are left out.

    Args:
        kind: of archive.
        axis: its time axis.
        size: gives the extent of a dimension.
        lead_times: (K,), or None where they cannot be read.
    """
    times = axis.times(size(SLOT_DIM[kind]))
    if kind == "analysis":
        return {TIME: axis.clock.encode(times)}
    values: dict[str, npt.NDArray[Any]] = {INIT_TIME: axis.clock.encode(times)}
    if kind == "forecast":
        values[EXPECTED_LEADS] = np.full(times.size, size(LEAD_TIME))
        if lead_times is not None:
            values[VALID_TIME] = axis.clock.encode(times[:, None] + lead_times)
    else:
        months = axis.start.astype("datetime64[M]") + np.arange(size(MONTH)).astype(
            "timedelta64[M]"
        )
        values[MONTH] = months.astype("datetime64[D]").astype(np.int64)
    return values


def month_positions(axis: Axis, size: int) -> npt.NDArray[np.int64]:
    """The position (n,) of each initial time's month on the axis of months."""
    origin = axis.start.astype("datetime64[M]")
    months = axis.times(size).astype("datetime64[M]") - origin
    return np.asarray(months.astype(np.int64))


def check_field(look: Look, fields: Fields, job: Job) -> None:
    """Decode one chunk and compare it with what its slots say."""
    name, index = job
    block = look.decode(name, index)
    if block is None or name not in fields.holds or block.dtype.kind != "f":
        return
    holds, knows = fields.holds[name], fields.knows[name]
    region = look.snapshot.region(name, index)[: holds.ndim]
    within = tuple(range(holds.ndim, block.ndim))
    finite, blank = np.isfinite(block).all(axis=within), np.isnan(block).all(axis=within)
    right = np.ones(holds.shape, np.bool_)
    right[region] = ~knows[region] | ~holds[region] | finite
    look.expect_rows(name, right, "not a number, though a field is said to be there")
    if fields.is_exclusive:
        right = np.ones(holds.shape, np.bool_)
        right[region] = ~knows[region] | holds[region] | blank
        look.expect_rows(name, right, FIELD_WITHOUT_STATUS)


def _analysis(look: Look) -> Fields:
    status, digest, ingested = (look.whole(name) for name in (STATUS, SOURCE_DIGEST, INGESTED_AT))
    vouched, vouched_known = _any(digest.values != 0), _all(digest.known)
    usable = np.isin(status.values, USABLE)
    known = status.known.copy()
    look.expect_chunks(STATUS, vouched | (ingested.values != 0), known)
    look.expect_chunks(SOURCE_DIGEST, usable & known, vouched_known)
    look.expect_chunks(INGESTED_AT, known & (status.values != Status.MISSING))
    look.expect_rows(STATUS, ~known | np.isin(status.values, list(Status)), "no status code")
    both = known & vouched_known
    look.expect_rows(SOURCE_DIGEST, ~both | ~usable | vouched, "no digest of a field that is there")
    look.expect_rows(SOURCE_DIGEST, ~both | usable | ~vouched, "a digest, though there is no field")
    look.expect_chunks(T2M, usable & known)
    return Fields(_present(look, T2M), {T2M: usable}, {T2M: known}, is_exclusive=True)


def _forecast(look: Look) -> Fields:
    leads = look.snapshot.size(LEAD_TIME)
    names = (WRITTEN_LEADS, MODEL_VERSION, ANALYSIS_STATUS)
    written, version, status = (look.whole(name) for name in names)
    complete, named = written.values == leads, np.asarray(version.values != "")
    known, version_known, status_known = (
        values.known.copy() for values in (written, version, status)
    )
    look.expect_chunks(WRITTEN_LEADS, named, known)
    look.expect_chunks(MODEL_VERSION, complete & known, version_known)
    look.expect_chunks(ANALYSIS_STATUS, complete & known, status_known)
    whole_or_none = complete | (written.values == 0)
    look.expect_rows(WRITTEN_LEADS, ~known | whole_or_none, f"neither 0 nor {leads}")
    both = known & version_known
    look.expect_rows(MODEL_VERSION, ~both | ~complete | named, "no version of a forecast")
    look.expect_rows(MODEL_VERSION, ~both | complete | ~named, "a version without a forecast")
    usable = np.isin(status.values, USABLE)
    look.expect_rows(
        ANALYSIS_STATUS, ~(known & status_known) | ~complete | usable, "no status of a forecast"
    )
    look.expect_chunks(T2M, complete & known)
    fields = Fields(_present(look, T2M), {T2M: complete}, {T2M: known}, is_exclusive=True)
    if T2M_QUANTILE in look.snapshot.arrays and WRITTEN_QUANTILES in look.snapshot.arrays:
        _quantiles(look, fields, complete, known)
    return fields


def _quantiles(look: Look, fields: Fields, complete: Flags, known: Flags) -> None:
    """Quantiles lie beside a complete forecast that is said to have them, nowhere else."""
    counts = look.whole(WRITTEN_QUANTILES)
    both = known & counts.known
    expected = (counts.values == len(QUANTILES)) & complete
    right = expected | (counts.values == 0)
    look.expect_rows(WRITTEN_QUANTILES, ~both | right, f"neither 0 nor {len(QUANTILES)}")
    look.expect_chunks(T2M_QUANTILE, expected & both)
    fields.jobs.extend(_present(look, T2M_QUANTILE))
    fields.holds[T2M_QUANTILE], fields.knows[T2M_QUANTILE] = expected, both


def _evaluation(look: Look, axis: Axis) -> Fields:
    snapshot = look.snapshot
    models = look.whole(MODEL)
    named = np.asarray(models.values != "")
    look.expect_chunks(MODEL, np.ones(named.shape, np.bool_), models.known)
    look.expect_rows(MODEL, ~models.known | named, "no name")

    inputs, count, truth = (look.whole(name) for name in (INPUTS, COUNT, TRUTH_STATUS))
    seen = _all(inputs.known)
    look.expect_chunks(INPUTS, _any(count.values != 0), seen)
    is_scored = inputs.values != 0
    scored = _any(is_scored)
    both = seen & _all(count.known) & _all(truth.known)
    says = (count.values > 0) & np.isin(truth.values, USABLE)
    says_nothing = (count.values == 0) & (truth.values == 0)
    for name in (COUNT, TRUTH_STATUS):
        look.expect_chunks(name, scored & seen, both)
    look.expect_rows(COUNT, ~both | _all(~is_scored | says), "no count of a scored frame")
    look.expect_rows(
        INPUTS, ~both | _all(is_scored | says_nothing), "sums, though not said to be scored"
    )
    month_of = month_positions(axis, snapshot.size(INIT_TIME))
    in_month = np.zeros((named.size, snapshot.size(MONTH)), np.bool_)
    for month in np.unique(month_of[month_of < in_month.shape[1]]):
        in_month[:, month] = (scored & seen)[:, month_of == month].any(axis=1)
    holds = {INIT_TIME: scored & seen, MONTH: in_month}

    # The window of SSIM is wider than some grids.
    is_small = min(snapshot.size(LATITUDE), snapshot.size(LONGITUDE)) < SSIM_WINDOW
    fields = Fields([], {}, {}, is_exclusive=False)
    for name, second in _by_model(look):
        if name in ENSEMBLE_SUMS:
            look.expect_chunks(name, _members(look) & holds[second])
        elif not (is_small and name.startswith("ssim_")):
            look.expect_chunks(name, holds[second])
        fields.jobs.extend(_present(look, name))
        if name.endswith("error_sum") and second == INIT_TIME:
            # A sum of every lead that was scored: of the others it is not a number.
            fields.holds[name] = is_scored & seen[:, :, None]
            fields.knows[name] = np.broadcast_to(both[:, :, None], is_scored.shape)
    return fields


def _members(look: Look) -> Flags:
    """Which models and initial times lie in a chunk of any of :data:`ENSEMBLE_SUMS`.

    These come together or not at all.
    """
    snapshot = look.snapshot
    found = np.zeros((snapshot.size(MODEL), snapshot.size(INIT_TIME)), np.bool_)
    for name in ENSEMBLE_SUMS.keys() & snapshot.arrays.keys():
        for _, index in _present(look, name):
            found[snapshot.region(name, index)[:2]] = True
    return found


def _by_model(look: Look) -> Iterator[tuple[str, str]]:
    """Arrays by model and initial time, or model and month, that were not checked before."""
    for name in sorted(look.snapshot.arrays):
        dims = look.snapshot.dims(name)
        is_by_model = len(dims) > 1 and dims[0] == MODEL and dims[1] in (INIT_TIME, MONTH)
        if is_by_model and name not in (INPUTS, COUNT, TRUTH_STATUS):
            yield name, dims[1]


def _any(flags: Flags) -> Flags:
    return np.asarray(flags.any(axis=-1))


def _all(flags: Flags) -> Flags:
    return np.asarray(flags.all(axis=-1))


def _present(look: Look, name: str) -> list[Job]:
    return [(name, index) for index in look.snapshot.chunks(name) if look.snapshot.has(name, index)]
