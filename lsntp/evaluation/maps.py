"""Forecasts beside their truth, and sums of their errors per cell."""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import xarray as xr

from lsntp.archives.analysis import AnalysisArchive
from lsntp.archives.evaluation import CELL_SUMS, MAP_COUNT, EvaluationArchive
from lsntp.archives.forecast import ForecastArchive
from lsntp.config import Domain
from lsntp.evaluation.sums import Sums, cell_sums, merge
from lsntp.grid import Fields, Grid
from lsntp.names import LATITUDE, LEAD_TIME, LONGITUDE
from lsntp.times import Instant, LeadTimes, Times
from lsntp.training_data.blocks import USABLE_CODES
from lsntp.workspace import Workspace

BLOCK_BYTES = 64 * 2**20
_WORKING_COPIES = 8
"""Float64 arrays of a block's size that scoring holds at once."""


def blocks_of(init_times: Times, lead_times: LeadTimes, grid: Grid) -> Iterator[slice]:
    """Consecutive slices of ``init_times`` that are scored in about 64 MiB."""
    forecast_bytes = 8 * _WORKING_COPIES * lead_times.size * grid.shape[0] * grid.shape[1]
    length = max(1, BLOCK_BYTES // forecast_bytes)
    for first in range(0, init_times.size, length):
        yield slice(first, min(first + length, init_times.size))


def valid_times(init_times: Times, lead_times: LeadTimes) -> tuple[Times, npt.NDArray[np.intp]]:
    """The valid times, each once, and the position (n, K) of every frame's among them."""
    valid = init_times[:, None] + lead_times
    times, where = np.unique(valid, return_inverse=True)
    return times, where.reshape(valid.shape)


def truth_status(
    analysis: AnalysisArchive, init_times: Times, lead_times: LeadTimes
) -> npt.NDArray[np.int8]:
    """The status (n, K) of the truth of every frame."""
    times, where = valid_times(init_times, lead_times)
    return np.asarray(analysis.status_at(times)[where])


def is_usable(status: npt.NDArray[np.int8]) -> npt.NDArray[np.bool_]:
    """Where ``status`` says that there is a true field."""
    return np.isin(status, USABLE_CODES)


def read_truth(analysis: AnalysisArchive, init_times: Times, lead_times: LeadTimes) -> Fields:
    """The truth (n, K, H, W), K, of every frame; NaN where there is none."""
    times, where = valid_times(init_times, lead_times)
    return np.asarray(analysis.read(times)[where])


def no_cell_sums(leads: int, grid: Grid) -> Sums:
    """The sums of no frame, to merge others into."""
    zero = np.zeros((leads, *grid.shape))
    return {MAP_COUNT: np.zeros(leads, np.int64), **dict.fromkeys(CELL_SUMS, zero)}


def error_maps(domain: Domain, model: str, init_times: Times) -> xr.Dataset:
    """The error sums of each cell over exactly ``init_times``: see ``CELL_SUMS``.

    Months of which every scored forecast is asked for come from the evaluation archive, the
    others from forecasts and truth.

    Returns:
        ``map_count(lead_time)`` and each of :data:`~lsntp.archives.evaluation.CELL_SUMS`
        (lead_time, latitude, longitude): divide a sum by the count for the mean.
    """
    archive = EvaluationArchive.open(Workspace.of(domain).evaluation)
    sums = no_cell_sums(archive.lead_times.size, archive.grid)
    for _, monthly in monthly_sums(domain, model, init_times):
        sums = merge(sums, monthly)
    dims = (LEAD_TIME, LATITUDE, LONGITUDE)
    return xr.Dataset(
        {name: (dims[: values.ndim], values) for name, values in sums.items()},
        coords={
            LEAD_TIME: archive.lead_times,
            LATITUDE: archive.grid.latitude,
            LONGITUDE: archive.grid.longitude,
        },
    )


def monthly_sums(domain: Domain, model: str, init_times: Times) -> Iterator[tuple[Instant, Sums]]:
    """The error sums of each cell over the ``init_times`` of each month, one month in memory.

    A month of which every scored forecast is asked for is read from the evaluation archive,
    any other is computed from forecasts and truth.

    Yields:
        The month (its first instant, ``datetime64[M]``), and the sums as in :func:`error_maps`.
    """
    archive = EvaluationArchive.open(Workspace.of(domain).evaluation)
    month_of = init_times.astype("datetime64[M]")
    with archive.dataset() as stored:
        of_model = stored[[MAP_COUNT, *CELL_SUMS]].sel(model=model)
        for month in np.unique(month_of):
            asked = init_times[month_of == month]
            monthly = of_model.sel(month=month)
            if (monthly[MAP_COUNT].values == asked.size).all():
                yield month, {name: monthly[name].values for name in (MAP_COUNT, *CELL_SUMS)}
            else:
                yield month, _compute(domain, model, asked)


def _compute(domain: Domain, model: str, init_times: Times) -> Sums:
    workspace = Workspace.of(domain)
    analysis = AnalysisArchive.open(workspace.analysis)
    forecasts = ForecastArchive.open(workspace.forecast(model))
    sums = no_cell_sums(forecasts.lead_times.size, forecasts.grid)
    for block in blocks_of(init_times, forecasts.lead_times, forecasts.grid):
        chosen = init_times[block]
        truth = read_truth(analysis, chosen, forecasts.lead_times)
        sums = merge(sums, cell_sums(prediction=forecasts.read(chosen), target=truth))
    return sums
