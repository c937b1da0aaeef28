"""The evaluation archive: sums of every scored forecast frame, and monthly maps of errors.

``(model, init_time, lead_time)`` hold the sums of each frame, ``(model, month, lead_time,
latitude, longitude)`` those of each cell over the init_times of a month. What was never
scored is NaN with count 0. Sums add up, so every score is computed from them afterwards.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from zarr.abc.store import Store

from lsntp.archives import layout
from lsntp.archives.lease import DEFAULT_TIMEOUT_S
from lsntp.archives.published import LeadTimeArchive
from lsntp.archives.staging import (
    ArraySpec,
    Slots,
    Staging,
    as_slots,
    decoding,
)
from lsntp.errors import ArchiveError
from lsntp.grid import Grid
from lsntp.names import INIT_TIME, LATITUDE, LEAD_TIME, LONGITUDE, QUANTILE, QUANTILES, Status
from lsntp.times import Instant, Times

MODEL: Final = "model"
MONTH: Final = "month"
COUNT: Final = "count"
TRUTH_STATUS: Final = "truth_status"
INPUTS: Final = "inputs_digest"
MODEL_VERSION: Final = "model_version"
MAP_COUNT: Final = "map_count"
FRAME_DIMS: Final = (MODEL, INIT_TIME, LEAD_TIME)
MAP_DIMS: Final = (MODEL, MONTH, LEAD_TIME, LATITUDE, LONGITUDE)

_FRAME_CHUNK: Final = 2**13
"""Init_times in a chunk of sums: a year of hourly ones."""
_MODEL_CHUNK: Final = 2**10
_ERROR: Final = "of prediction minus truth over the cells of the frame"

FRAME_SUMS: Final[dict[str, tuple[str, str]]] = {
    "count": ("cells in the sums; 0 where not scored", "1"),
    "error_sum": (f"sum {_ERROR}", "K"),
    "absolute_error_sum": (f"sum of the absolute value {_ERROR}", "K"),
    "squared_error_sum": (f"sum of the square {_ERROR}", "K2"),
    "anomaly_product_sum": ("sum of forecast anomaly times truth anomaly", "K2"),
    "forecast_anomaly_square_sum": ("sum of the squared forecast anomaly", "K2"),
    "truth_anomaly_square_sum": ("sum of the squared truth anomaly", "K2"),
    "area_error_sum": (f"area-weighted sum {_ERROR}", "K"),
    "area_absolute_error_sum": (f"area-weighted sum of the absolute value {_ERROR}", "K"),
    "area_squared_error_sum": (f"area-weighted sum of the square {_ERROR}", "K2"),
    "area_anomaly_product_sum": (
        "area-weighted sum of forecast anomaly times truth anomaly",
        "K2",
    ),
    "area_forecast_anomaly_square_sum": (
        "area-weighted sum of the squared forecast anomaly",
        "K2",
    ),
    "area_truth_anomaly_square_sum": ("area-weighted sum of the squared truth anomaly", "K2"),
    "ssim_paper": ("SSIM of kelvin fields with data_range 2, 7x7 uniform window", "1"),
    "ssim_data_range": (
        "SSIM of fields minus the training minimum with data_range of the training period",
        "1",
    ),
    "psnr_paper": ("PSNR with data_range 255 K, decibel", "1"),
    "psnr_data_range": ("PSNR with data_range of the training period, decibel", "1"),
}
"""name -> (long name, unit) of each frame's sums; area weights have mean 1."""

BELOW_SUM: Final = "area_below_quantile_sum"
ENSEMBLE_SUMS: Final[dict[str, tuple[str, str]]] = {
    "crps_sum": ("sum of the CRPS of the quantiles over the cells of the frame", "K"),
    "area_crps_sum": ("area-weighted sum of the CRPS of the quantiles", "K"),
    "spread_square_sum": ("sum of the variance of the quantiles over the cells", "K2"),
    "area_spread_square_sum": ("area-weighted sum of the variance of the quantiles", "K2"),
    BELOW_SUM: ("area-weighted number of cells whose truth is no higher than the quantile", "1"),
}
"""As :data:`FRAME_SUMS`, of forecasts with quantiles only: an archive has these arrays from the
first publish on that brings them, NaN for every frame without. The last has a dimension more:
:data:`~lsntp.names.QUANTILE`."""

CELL_SUMS: Final[dict[str, tuple[str, str]]] = {
    "map_error_sum": ("sum of prediction minus truth over the month's frames", "K"),
    "map_absolute_error_sum": ("sum of |prediction minus truth| over the month's frames", "K"),
    "map_squared_error_sum": ("sum of (prediction minus truth)^2 over the month's frames", "K2"),
}
"""name -> (long name, unit) of each cell's monthly sums."""


@dataclass(frozen=True, eq=False)
class ScoredFrames:
    """Frames of one model to store, by init_time.

    Attributes:
        init_times: (n,) ascending, unique.
        is_scored: (n, K), the frames to store; what is stored of the others is kept.
        sums: each of :data:`FRAME_SUMS`, (n, K); any of :data:`ENSEMBLE_SUMS` as well.
        truth_status: (n, K) status of the truth used.
        inputs: (n, K) int64, identity of forecast, truth and climatology; 0 takes a score back,
            with ``count`` 0 and NaN for the other sums.
        model_version: (n,) the version that made each forecast; empty where no lead is scored.
    """

    init_times: Times
    is_scored: npt.NDArray[np.bool_]
    sums: Mapping[str, npt.NDArray[Any]]
    truth_status: npt.NDArray[np.int8]
    inputs: npt.NDArray[np.int64]
    model_version: Sequence[str]


class EvaluationArchive(LeadTimeArchive):
    """Scores of one domain at ``path``; models are appended as they come.

    Writing takes the archive's writer lease; reading needs none.
    """

    _seals = (COUNT, TRUTH_STATUS, INPUTS)
    """Put last: a frame counts as scored once its sums and its month's maps are there."""

    @staticmethod
    def _specs(grid: Grid, axis: layout.Axis, leads: int) -> list[ArraySpec]:
        return _arrays(grid, axis, leads)

    @property
    def models(self) -> tuple[str, ...]:
        """In the order they were first scored."""
        return _names(self._whole(MODEL))

    @property
    def init_times(self) -> Times:
        """Every init_time of the extent, scored or not."""
        return self._extent(INIT_TIME)

    def scored(self, model: str) -> Times:
        """The init_times with a scored frame of the model; none of a model never scored."""
        init_times = self.init_times
        found: Times = init_times[(self.inputs_at(model, init_times) != 0).any(axis=1)]
        return found

    def is_provisional(self, model: str) -> bool:
        """Whether a frame of the model was scored with a truth that is preliminary."""
        names = self.models
        if model not in names:
            return False
        with decoding(str(self.path)):
            status = np.asarray(self._array(TRUTH_STATUS)[names.index(model)])
        return bool((status == Status.PRELIMINARY).any())

    def inputs_at(self, model: str, init_times: Times) -> npt.NDArray[np.int64]:
        """What each frame (n, K) was scored from; 0 where it was not."""
        found = np.zeros((init_times.size, self.lead_times.size), np.int64)
        names = self.models
        if model not in names:
            return found
        stored = self._array(INPUTS)
        slots = self._axis.slots(init_times)
        inside = (slots >= 0) & (slots < stored.shape[1])
        if inside.any():
            first, last = int(slots[inside].min()), int(slots[inside].max())
            with decoding(str(self.path)):
                rows = np.asarray(stored[names.index(model), first : last + 1])
            found[inside] = rows[slots[inside] - first]
        return found

    def publish(
        self,
        model: str,
        frames: ScoredFrames,
        maps: Mapping[Instant, Mapping[str, npt.NDArray[Any]]],
        *,
        timeout_s: float = DEFAULT_TIMEOUT_S,
    ) -> None:
        """Store scored frames and the maps of their months; the same twice is the same as once.

        Args:
            model: appended to the model axis when it is new.
            frames: what was scored.
            maps: by month (its first instant), ``map_count`` (K,) and each of
                :data:`CELL_SUMS` (K, H, W): of all scored frames of the month.
            timeout_s: how long to wait for another writer.

        Raises:
            ArchiveError: if a frame's time or month does not fit, or a month's maps are missing.
            ArchiveBusyError: if another writer is at work.
            StorageError: if the storage refuses; repeat the publish once it is cured.
        """
        slots = self._axis.writable_slots(frames.init_times)
        rows = self._month_rows(maps, frames.init_times)
        with self._writing(timeout_s) as store:
            self._lower(store, model, slots, frames)
            staging = self._staging(store)
            if set(ENSEMBLE_SUMS) & set(frames.sums):
                staging.create(_QUANTILE_SPEC, QUANTILES)
                for spec in _frame_specs(ENSEMBLE_SUMS, self.lead_times.size):
                    staging.create(spec)
            place = self._extend(staging, model, int(slots[-1]) + 1, max(rows.values()) + 1)
            self._stage_frames(staging, place, as_slots(slots), frames)
            for month, row in rows.items():
                self._stage_maps(staging, place, slice(row, row + 1), maps[month])
            staging.commit()

    def _lower(
        self, store: Store, model: str, slots: npt.NDArray[np.int64], frames: ScoredFrames
    ) -> None:
        """Withdraw frames about to be rescored, so that no reader mixes old sums with new.

        The digests go first: a writer killed here leaves nothing that looks scored and is not.
        """
        replaced = frames.is_scored & (self.inputs_at(model, frames.init_times) != 0)
        if not replaced.any():
            return
        staging = Staging(store, seals=self._seals[::-1])
        chosen = replaced.any(axis=1)
        model_row = self.models.index(model)
        where = (slice(model_row, model_row + 1), as_slots(slots[chosen]), self._leads)
        for name in self._seals:
            stored = staging.read(name, where)
            staging.write(name, where, np.where(replaced[chosen], 0, stored))
        staging.commit()

    def _extend(self, staging: Staging, model: str, frames: int, months: int) -> Slots:
        """Make room; returns the model's place on its axis."""
        names = _names(staging.read(MODEL, (slice(0, staging.size(MODEL)),)))
        if model not in names:
            staging.grow(MODEL, len(names) + 1)
            staging.write(MODEL, (slice(len(names), len(names) + 1),), np.array([model], object))
            names = (*names, model)
        for dim, size in ((INIT_TIME, frames), (MONTH, months)):
            old = staging.size(dim)
            if size > old:
                staging.grow(dim, size)
                staging.write(dim, (slice(old, size),), self._coordinate(dim, size)[old:])
        row = names.index(model)
        return slice(row, row + 1)

    def _coordinate(self, dim: str, size: int) -> npt.NDArray[np.int64]:
        if dim == INIT_TIME:
            return self._axis.clock.encode(self._axis.times(size))
        months = self.start.astype("datetime64[M]") + np.arange(size).astype("timedelta64[M]")
        return np.asarray(months.astype("datetime64[D]"), np.int64)

    def _stage_frames(
        self, staging: Staging, model: Slots, slots: Slots, frames: ScoredFrames
    ) -> None:
        where: tuple[Slots, ...] = (model, slots, self._leads)
        new: dict[str, npt.NDArray[Any]] = {
            name: np.full(frames.inputs.shape, np.nan)
            for name in ENSEMBLE_SUMS
            if name in staging.names
        }
        if BELOW_SUM in new:
            new[BELOW_SUM] = np.full((*frames.inputs.shape, len(QUANTILES)), np.nan)
        new |= {**frames.sums, TRUTH_STATUS: frames.truth_status, INPUTS: frames.inputs}
        for name, values in new.items():
            is_scored, place = frames.is_scored, where
            if name == BELOW_SUM:
                is_scored, place = is_scored[:, :, None], (*where, slice(0, len(QUANTILES)))
            kept = staging.read(name, place)
            staging.write(name, place, np.where(is_scored, values, kept))
        versions = np.array([list(frames.model_version)], object)
        staging.write(MODEL_VERSION, (model, slots), versions)

    def _stage_maps(
        self, staging: Staging, model: Slots, month: Slots, maps: Mapping[str, npt.NDArray[Any]]
    ) -> None:
        height, width = self.grid.shape
        staging.write(MAP_COUNT, (model, month, self._leads), maps[MAP_COUNT][None, None])
        everywhere = (model, month, self._leads, slice(0, height), slice(0, width))
        has_frames = (maps[MAP_COUNT] > 0)[:, None, None]
        for name in CELL_SUMS:
            values = np.where(has_frames, maps[name], np.nan)
            staging.write(name, everywhere, values[None, None].astype(np.float32))

    def _month_rows(self, months: Mapping[Instant, Any], init_times: Times) -> dict[Instant, int]:
        """Each month's position; every month of the frames must be there."""
        origin = self.start.astype("datetime64[M]")
        rows = {
            month: int((month.astype("datetime64[M]") - origin).astype(int)) for month in months
        }
        needed = {int(row) for row in (init_times.astype("datetime64[M]") - origin).astype(int)}
        if not needed or needed - set(rows.values()):
            raise ArchiveError(
                f"Expected at least one frame and the maps of every month touched for {self.path}, "
                f"found {init_times.size} init_times and maps of {len(rows)} months; recompute the "
                "maps of those months."
            )
        return rows

    @property
    def _leads(self) -> slice:
        return slice(0, self.lead_times.size)


def _frame_specs(sums: Mapping[str, tuple[str, str]], leads: int) -> list[ArraySpec]:
    """The arrays of sums of frames, before any model or init_time."""
    specs = []
    for name, (long_name, units) in sums.items():
        dtype, fill = ("int64", 0) if name == COUNT else ("float64", np.nan)
        attrs = _sum_attrs(long_name, units)
        more = {BELOW_SUM: len(QUANTILES)}.get(name)
        dims = FRAME_DIMS if more is None else (*FRAME_DIMS, QUANTILE)
        rest = (leads,) if more is None else (leads, more)
        specs.append(
            ArraySpec(name, dims, (0, 0, *rest), (1, _FRAME_CHUNK, *rest), dtype, fill, attrs)
        )
    return specs


_QUANTILE_SPEC: Final = ArraySpec(
    QUANTILE,
    (QUANTILE,),
    (len(QUANTILES),),
    (len(QUANTILES),),
    "float64",
    np.nan,
    {"long_name": "probability that the temperature is no higher", "units": "1"},
)


def _names(stored: Any) -> tuple[str, ...]:
    return tuple(str(name) for name in np.asarray(stored))


def _sum_attrs(long_name: str, units: str) -> dict[str, str]:
    attrs = {"long_name": long_name, "units": units}
    return attrs | {"units_metadata": "temperature: difference"} if units == "K" else attrs


def _arrays(grid: Grid, axis: layout.Axis, leads: int) -> list[ArraySpec]:
    frames = (1, _FRAME_CHUNK, leads)
    index = (layout.INDEX_CHUNK,)
    init_attrs = {"standard_name": "forecast_reference_time", "long_name": "start of the forecast"}
    month_attrs = {
        "standard_name": "time",
        "long_name": "first instant of the month of init_time",
        "units": "days since 1970-01-01T00:00:00",
        "calendar": layout.CALENDAR,
        "units_metadata": "leap_seconds: none",
    }
    specs = [
        ArraySpec(
            MODEL, (MODEL,), (0,), (_MODEL_CHUNK,), "str", "", {"long_name": "forecast model"}
        ),
        ArraySpec(INIT_TIME, (INIT_TIME,), (0,), index, "int64", 0, init_attrs | axis.clock.attrs),
        ArraySpec(MONTH, (MONTH,), (0,), index, "int64", 0, month_attrs),
        ArraySpec(
            MODEL_VERSION,
            (MODEL, INIT_TIME),
            (0, 0),
            frames[:2],
            "str",
            "",
            {"long_name": "model version that made the forecast"},
        ),
        ArraySpec(
            TRUTH_STATUS,
            FRAME_DIMS,
            (0, 0, leads),
            frames,
            "int8",
            0,
            layout.status_attrs("status of the truth the frame was scored with"),
        ),
        ArraySpec(
            INPUTS,
            FRAME_DIMS,
            (0, 0, leads),
            frames,
            "int64",
            0,
            {"long_name": "digest of forecast, truth and climatology; 0 where not scored"},
        ),
    ]
    specs += _frame_specs(FRAME_SUMS, leads)
    attrs = _sum_attrs("frames in the maps of the month", "1")
    shape, chunks = (0, 0, leads), (1, 12, leads)
    specs.append(ArraySpec(MAP_COUNT, MAP_DIMS[:3], shape, chunks, "int64", 0, attrs))
    for name, (long_name, units) in CELL_SUMS.items():
        attrs = _sum_attrs(long_name, units)
        whole = (leads, *grid.shape)
        specs.append(
            ArraySpec(name, MAP_DIMS, (0, 0, *whole), (1, 1, *whole), "float32", np.nan, attrs)
        )
    return specs
