"""The forecast archive of one model: every forecast it made, by initial time and lead time.

Forecasts that know how sure they are have quantiles beside them, in an array of their own that an
archive has from the first such forecast on: whoever reads ``t2m`` alone need not know.
"""

from collections.abc import Collection
from typing import Final

import numpy as np
import numpy.typing as npt
from zarr.abc.store import Store

from lsntp.archives import layout
from lsntp.archives.lease import DEFAULT_TIMEOUT_S
from lsntp.archives.published import LeadTimeArchive
from lsntp.archives.staging import ArraySpec, Staging, open_published
from lsntp.errors import ArchiveError
from lsntp.grid import Grid
from lsntp.names import (
    FORECAST_DIMS,
    INIT_TIME,
    LATITUDE,
    LEAD_TIME,
    LONGITUDE,
    QUANTILE,
    QUANTILES,
    T2M,
    T2M_QUANTILE,
    VALID_TIME,
)
from lsntp.times import Times

MODEL_VERSION: Final = "model_version"
ANALYSIS_STATUS: Final = "analysis_status"
EXPECTED_LEADS: Final = "expected_leads"
WRITTEN_LEADS: Final = "written_leads"
WRITTEN_QUANTILES: Final = "written_quantiles"
QUANTILE_DIMS: Final = (INIT_TIME, QUANTILE, LEAD_TIME, LATITUDE, LONGITUDE)

_BLANK: Final[dict[str, float | str]] = {
    T2M: np.nan,
    T2M_QUANTILE: np.nan,
    MODEL_VERSION: "",
    ANALYSIS_STATUS: 0,
    WRITTEN_QUANTILES: 0,
}
"""What an initial time without forecast holds."""

_BY_INIT_TIME = (VALID_TIME, MODEL_VERSION, ANALYSIS_STATUS, EXPECTED_LEADS, WRITTEN_LEADS)


class ForecastArchive(LeadTimeArchive):
    """``t2m(init_time, lead_time, latitude, longitude)`` on a regular axis of initial times.

    An initial time without forecast is NaN with ``written_leads`` 0. Where there are quantiles,
    ``t2m_quantile(init_time, quantile, lead_time, latitude, longitude)`` holds them; a forecast
    without is NaN there, with ``written_quantiles`` 0. Writing takes the
    archive's writer lease; reading needs none.
    """

    _seals = (WRITTEN_LEADS,)

    @staticmethod
    def _specs(grid: Grid, axis: layout.Axis, leads: int) -> list[ArraySpec]:
        return _arrays(grid, axis, leads)

    @property
    def init_times(self) -> Times:
        """Every initial time of the extent, forecast or not."""
        return self._extent(INIT_TIME)

    def written(self) -> Times:
        """Initial times whose forecast is complete."""
        leads = self._whole(WRITTEN_LEADS)
        init_times: Times = self._axis.times(leads.size)[leads == self.lead_times.size]
        return init_times

    def read(self, init_times: Times) -> npt.NDArray[np.float32]:
        """Forecasts (n, K, H, W) in kelvin; NaN where there is none."""
        return self._rows(T2M, init_times, np.nan)

    @property
    def has_quantiles(self) -> bool:
        """Whether any forecast came with quantiles."""
        return T2M_QUANTILE in open_published(self.path)

    def read_quantiles(self, init_times: Times) -> npt.NDArray[np.float32]:
        """Quantiles (n, Q, K, H, W) in kelvin; NaN where there are none.

        Raises:
            ArchiveError: if no forecast has any: see :attr:`has_quantiles`.
        """
        return self._rows(T2M_QUANTILE, init_times, np.nan)

    def model_versions(self, init_times: Times) -> list[str]:
        """The version that made each forecast; empty where there is none."""
        return [str(version) for version in self._rows(MODEL_VERSION, init_times, "")]

    def analysis_status_at(self, init_times: Times) -> npt.NDArray[np.int8]:
        """PRELIMINARY where an input was preliminary, else FINAL; MISSING without forecast."""
        return self._rows(ANALYSIS_STATUS, init_times, 0)

    def publish(
        self,
        init_times: Times,
        t2m: npt.NDArray[np.float32],
        *,
        model_version: str,
        analysis_status: npt.NDArray[np.int8],
        quantiles: npt.NDArray[np.float32] | None = None,
        timeout_s: float = DEFAULT_TIMEOUT_S,
    ) -> int:
        """Write forecasts by their initial time; returns how many were written.

        A forecast that is there already is kept as it was made.

        Args:
            init_times: (n,) ascending, each once.
            t2m: (n, K, H, W) kelvin, finite.
            model_version: what made them.
            analysis_status: (n,) status of the inputs.
            quantiles: (n, Q, K, H, W) kelvin, finite, ascending along Q; None without.
            timeout_s: how long to wait for another writer.

        Raises:
            ArchiveError: if shapes, times or values do not fit; nothing is changed.
            ArchiveBusyError: if another writer is at work.
            StorageError: if the storage refuses; repeat the publish once it is cured.
        """
        self._check(init_times, t2m, analysis_status, quantiles)
        slots = self._axis.writable_slots(init_times)
        with self._writing(timeout_s) as store:
            staging = self._staging(store)
            is_due = staging.rows(WRITTEN_LEADS, slots) != self.lead_times.size
            if is_due.any():
                due = slots[is_due]
                if quantiles is not None:
                    self._make_room_for_quantiles(staging)
                self._extend(staging, int(due[-1]) + 1)
                staging.write_rows(T2M, due, t2m[is_due])
                if quantiles is not None:
                    staging.write_rows(T2M_QUANTILE, due, quantiles[is_due])
                    staging.write_rows(WRITTEN_QUANTILES, due, len(QUANTILES))
                staging.write_rows(MODEL_VERSION, due, model_version)
                staging.write_rows(ANALYSIS_STATUS, due, analysis_status[is_due])
                staging.write_rows(WRITTEN_LEADS, due, self.lead_times.size)
                staging.commit()
        return int(is_due.sum())

    def withdraw(self, init_times: Times, *, timeout_s: float = DEFAULT_TIMEOUT_S) -> None:
        """Take forecasts back, so that they can be made again.

        Raises:
            ArchiveError: if a time does not fit.
            ArchiveBusyError: if another writer is at work.
            StorageError: if the storage refuses; repeat it once it is cured.
        """
        slots = np.unique(self._axis.writable_slots(init_times))
        with self._writing(timeout_s) as store:
            self.blank(store, slots)

    def blank(
        self, store: Store, slots: npt.NDArray[np.int64], *, unreadable: Collection[str] = ()
    ) -> None:
        """Blank forecasts at ascending positions; first of all they stop counting.

        Args:
            store: the archive's objects, under its lease.
            slots: positions within the extent.
            unreadable: keys of damaged chunks; all they held must be among ``slots``.
        """
        staging = self._staging(store)
        staging.write_rows(WRITTEN_LEADS, slots, 0)
        staging.commit()
        staging = self._staging(store)
        staging.forget(unreadable)
        for name, blank in _BLANK.items():
            if name in staging.names:
                staging.write_rows(name, slots, blank)
        staging.commit()

    def _make_room_for_quantiles(self, staging: Staging) -> None:
        """The arrays of quantiles, if the archive has none yet."""
        for spec in _quantile_arrays(self.grid, self.lead_times.size):
            staging.create(spec, QUANTILES if spec.name == QUANTILE else None)

    def _extend(self, staging: Staging, size: int) -> None:
        old = staging.size(INIT_TIME)
        if size > old:
            staging.grow(INIT_TIME, size)
            slots = np.arange(old, size)
            init_times = self._axis.times(size)[old:]
            valid_times = init_times[:, None] + self.lead_times
            staging.write_rows(INIT_TIME, slots, self._axis.clock.encode(init_times))
            staging.write_rows(VALID_TIME, slots, self._axis.clock.encode(valid_times))
            staging.write_rows(EXPECTED_LEADS, slots, self.lead_times.size)

    def _check(
        self,
        init_times: Times,
        t2m: npt.NDArray[np.float32],
        analysis_status: npt.NDArray[np.int8],
        quantiles: npt.NDArray[np.float32] | None,
    ) -> None:
        """Refuse forecasts that must not be stored; name every fault found."""
        faults = []
        shape = (len(init_times), self.lead_times.size, *self.grid.shape)
        if t2m.shape != shape:
            faults.append(f"forecasts of shape {shape}, found {t2m.shape}")
        if analysis_status.shape != (len(init_times),):
            faults.append(f"one analysis status a forecast, found {analysis_status.shape}")
        if not np.all(init_times[1:] > init_times[:-1]):
            faults.append("initial times ascending, each once, found others")
        wanted = (shape[0], len(QUANTILES), *shape[1:])
        is_finite = np.isfinite(t2m).all() and (quantiles is None or np.isfinite(quantiles).all())
        if quantiles is not None and quantiles.shape != wanted:
            faults.append(f"quantiles of shape {wanted}, found {quantiles.shape}")
        elif quantiles is not None and is_finite and not (np.diff(quantiles, axis=1) >= 0).all():
            faults.append("quantiles that ascend, found others")
        if not is_finite:
            faults.append("finite values, found NaN or infinity")
        if faults:
            raise ArchiveError(
                f"Expected for {self.path}: {'; '.join(faults)}. Nothing was written; check the "
                "model and the history it was given."
            )


def _arrays(grid: Grid, axis: layout.Axis, leads: int) -> list[ArraySpec]:
    height, width = grid.shape
    index = (layout.INDEX_CHUNK,)
    clock = axis.clock.attrs
    init_attrs = {
        "standard_name": "forecast_reference_time",
        "long_name": "initial time",
        "axis": "T",
    }
    t2m_attrs = layout.field_attrs("2 m air temperature forecast") | {
        "coordinates": " ".join(_BY_INIT_TIME)
    }
    return [
        ArraySpec(INIT_TIME, (INIT_TIME,), (0,), index, "int64", 0, init_attrs | clock),
        ArraySpec(
            VALID_TIME,
            (INIT_TIME, LEAD_TIME),
            (0, leads),
            (layout.ROW_CHUNK, leads),
            "int64",
            0,
            {"standard_name": "time", "long_name": "time the forecast is for"} | clock,
        ),
        ArraySpec(
            T2M,
            FORECAST_DIMS,
            (0, leads, height, width),
            (1, leads, height, width),
            "float32",
            np.nan,
            t2m_attrs,
        ),
        ArraySpec(
            MODEL_VERSION,
            (INIT_TIME,),
            (0,),
            index,
            "str",
            "",
            {"long_name": "version of the model that made this forecast"},
        ),
        ArraySpec(
            ANALYSIS_STATUS,
            (INIT_TIME,),
            (0,),
            index,
            "int8",
            0,
            layout.status_attrs("status of the analyses this forecast started from"),
        ),
        ArraySpec(
            EXPECTED_LEADS,
            (INIT_TIME,),
            (0,),
            index,
            "int16",
            0,
            {"long_name": "lead times a complete forecast has", "units": "1"},
        ),
        ArraySpec(
            WRITTEN_LEADS,
            (INIT_TIME,),
            (0,),
            index,
            "int16",
            0,
            {"long_name": "lead times written", "units": "1"},
        ),
    ]


def _quantile_arrays(grid: Grid, leads: int) -> list[ArraySpec]:
    height, width = grid.shape
    count = len(QUANTILES)
    return [
        ArraySpec(
            QUANTILE,
            (QUANTILE,),
            (count,),
            (count,),
            "float64",
            np.nan,
            {"long_name": "probability that the temperature is no higher", "units": "1"},
        ),
        ArraySpec(
            T2M_QUANTILE,
            QUANTILE_DIMS,
            (0, count, leads, height, width),
            (1, count, leads, height, width),
            "float32",
            np.nan,
            layout.field_attrs("quantiles of the 2 m air temperature forecast")
            | {"coordinates": " ".join(_BY_INIT_TIME)},
        ),
        ArraySpec(
            WRITTEN_QUANTILES,
            (INIT_TIME,),
            (0,),
            (layout.INDEX_CHUNK,),
            "int16",
            0,
            {"long_name": "quantiles written", "units": "1"},
        ),
    ]
