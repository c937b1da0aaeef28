"""Scores inside regions: masked reductions of the error sums of each cell."""

from collections.abc import Sequence

import numpy as np
import xarray as xr

from lsntp.archives.analysis import AnalysisArchive
from lsntp.archives.evaluation import COUNT, MAP_COUNT, MODEL, MONTH
from lsntp.archives.forecast import ForecastArchive
from lsntp.config import Domain
from lsntp.evaluation.maps import blocks_of, error_maps, monthly_sums, read_truth
from lsntp.evaluation.metrics import Weighting
from lsntp.evaluation.regions import REGION, region_masks, region_shares
from lsntp.evaluation.selection import Contender, Selection, described, select
from lsntp.evaluation.sums import Sums
from lsntp.grid import Floats
from lsntp.names import LEAD_TIME
from lsntp.times import Period, Times
from lsntp.workspace import Workspace


def region_scores(
    domain: Domain,
    *,
    regions: Sequence[str] | None = None,
    models: Sequence[str] | None = None,
    period: Period | None = None,
    weighting: Weighting = "plain",
    by_month: bool = False,
) -> xr.Dataset:
    """MAE, bias and RMSE of every model in every region, from the sums of each cell.

    A month that every model has scored alike, and that lies whole in the period, is a
    reduction of stored maps; any other is computed from forecasts and truth.

    Args:
        domain: whose evaluation archive and regions.
        regions: names; by default ``all``, ``land`` and ``sea`` where the grid has both, and
            every region of the domain file.
        models: names, or ``name@version``; by default every scored model of the domain.
        period: of init_times; by default the test block, everything scored if that is empty.
        weighting: of the cells inside a region.
        by_month: whether there is a ``month`` (of init_time) dimension.

    Returns:
        Dims (region, model, [month,] lead_time): ``mae``, ``bias``, ``rmse_pooled`` (root of
        the mean over frames and cells) and ``rmse_per_cell`` (mean over cells of each cell's
        root), K; ``frames([month])``, ``cells(region)`` and ``area_share(region)``, the
        region's share of the domain's area.

    Raises:
        EvaluationError: if nothing is scored, a named model is not, none is in common, or a
            region is unknown or without cells.
    """
    chosen = select(domain, models=models, period=period, variables=[COUNT])
    masks = region_masks(domain, regions)
    area = domain.target_grid.area_weights
    shares = region_shares(masks, area if weighting == "area" else None)
    scores = xr.concat(
        [_region_scores(domain, c, chosen, shares, by_month=by_month) for c in chosen.contenders],
        dim=MODEL,
    ).assign_coords({MODEL: list(chosen.models)})
    scores = scores.transpose(REGION, MODEL, ..., LEAD_TIME)
    scores["frames"] = _frames(chosen, by_month=by_month)
    scores["cells"] = (REGION, masks.inside.sum(axis=(1, 2)))
    scores["area_share"] = (REGION, (masks.inside * area).sum(axis=(1, 2)) / area.sum())
    return described(scores.assign_coords({REGION: list(masks.names)}), chosen, weighting)


def frame_losses(
    domain: Domain, contenders: Sequence[Contender], init_times: Times, share: Floats
) -> tuple[Floats, Floats]:
    """Mean absolute and mean squared error of each frame inside one region, from the fields.

    The stored sums of a frame know no region: regions are configuration, may be changed at any
    time, and a stored axis of them would make every change a rescoring of everything. What
    needs frames inside a region (the bootstrap) reads the forecasts again, block by block.

    Args:
        domain: whose forecasts and analyses.
        contenders: (C,) whose forecasts.
        init_times: (n,) that all of them have forecast.
        share: (H, W) the share of each cell in the region's mean.

    Returns:
        K and K², each (C, n, lead_time).
    """
    workspace = Workspace.of(domain)
    analysis = AnalysisArchive.open(workspace.analysis)
    archives = [ForecastArchive.open(workspace.forecast(entry.model)) for entry in contenders]
    leads, grid = archives[0].lead_times, archives[0].grid
    shape = (len(archives), init_times.size, leads.size)
    absolute, squared = np.empty(shape), np.empty(shape)
    rows, columns = np.ix_(np.flatnonzero(share.any(axis=1)), np.flatnonzero(share.any(axis=0)))
    weights = share[rows, columns]
    for block in blocks_of(init_times, leads, grid):
        chosen = init_times[block]
        truth = read_truth(analysis, chosen, leads)[..., rows, columns]
        for number, archive in enumerate(archives):
            error = archive.read(chosen)[..., rows, columns].astype(np.float64) - truth
            absolute[number, block] = np.einsum("nkhw,hw->nk", np.abs(error), weights)
            squared[number, block] = np.einsum("nkhw,hw->nk", error**2, weights)
    return absolute, squared


def _region_scores(
    domain: Domain, contender: Contender, chosen: Selection, shares: Floats, *, by_month: bool
) -> xr.Dataset:
    """Scores of one contender, dims (region, [month,] lead_time)."""
    leads = chosen.sums[LEAD_TIME]
    if not by_month:
        maps = error_maps(domain, contender.model, chosen.init_times)
        whole = {str(name): values.values for name, values in maps.items()}
        return _reduce(whole, shares).assign_coords({LEAD_TIME: leads})
    months, parts = [], []
    for month, sums in monthly_sums(domain, contender.model, chosen.init_times):
        months.append(month.astype("datetime64[ns]"))
        parts.append(_reduce(sums, shares))
    scores: xr.Dataset = xr.concat(parts, dim=MONTH)
    return scores.assign_coords({MONTH: np.array(months), LEAD_TIME: leads})


def _reduce(sums: Sums, shares: Floats) -> xr.Dataset:
    """Scores (R, K) from cell sums (K, H, W) and each region's shares (R, H, W) of its cells."""
    frames = np.where(sums[MAP_COUNT] > 0, sums[MAP_COUNT], np.nan)

    def mean(values: Floats) -> Floats:
        product: Floats = np.einsum("rhw,khw->rk", shares, values.astype(np.float64))
        return product

    mean_square = sums["map_squared_error_sum"] / frames[:, None, None]
    scores = {
        "mae": mean(sums["map_absolute_error_sum"]) / frames,
        "bias": mean(sums["map_error_sum"]) / frames,
        "rmse_pooled": np.sqrt(mean(mean_square)),
        "rmse_per_cell": mean(np.sqrt(mean_square)),
    }
    return xr.Dataset({name: ((REGION, LEAD_TIME), values) for name, values in scores.items()})


def _frames(chosen: Selection, *, by_month: bool) -> xr.DataArray:
    """Common init_times, all or by month: as many frames of every lead."""
    if not by_month:
        return xr.DataArray(chosen.init_times.size)
    months, counts = np.unique(chosen.init_times.astype("datetime64[M]"), return_counts=True)
    return xr.DataArray(counts, dims=MONTH, coords={MONTH: months.astype("datetime64[ns]")})
