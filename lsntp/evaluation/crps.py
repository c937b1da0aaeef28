"""Sums that say how good forecasts with quantiles are: CRPS, spread, and how often truth is below.

The quantiles of :data:`~lsntp.names.QUANTILES` are equally likely values: their continuous ranked
probability score (CRPS) is that of the distribution of ten members, and equals twice their mean
quantile score. A forecast without quantiles is one sure value: its CRPS is its absolute error.

References:
    Hersbach (2000), doi:10.1175/1520-0434(2000)015<0559:DOTCRP>2.0.CO;2, for the CRPS; Gneiting
    and Raftery (2007), doi:10.1198/016214506000001437, for its quantile form; Fortin et al.
    (2014), doi:10.1175/JHM-D-14-0008.1, for spread and skill.
"""

from typing import Final

import numpy as np
import numpy.typing as npt
import xarray as xr

from lsntp.archives.evaluation import BELOW_SUM
from lsntp.errors import EvaluationError
from lsntp.evaluation.metrics import Weighting
from lsntp.evaluation.sums import Sums
from lsntp.grid import Floats
from lsntp.names import INIT_TIME, QUANTILE, QUANTILES

CENTRAL: Final = tuple(
    (low, high) for low, high in zip(QUANTILES, QUANTILES[::-1], strict=True) if low < high
)
"""The quantiles that enclose the middle 90, 70, 50, 30 and 10 %."""


def quantile_sums(*, quantiles: npt.ArrayLike, target: npt.ArrayLike, weights: Floats) -> Sums:
    """The sums of each frame, to store beside the others.

    Args:
        quantiles: (n, Q, K, H, W), K, ascending along Q.
        target: truth (n, K, H, W), K.
        weights: cell areas (H, W), any scale.

    Returns:
        Each of :data:`lsntp.archives.evaluation.ENSEMBLE_SUMS`, (n, K), the last (n, K, Q); NaN
        for a frame with a NaN.

    Raises:
        EvaluationError: if the shapes do not fit.
    """
    levels, true = np.asarray(quantiles), np.asarray(target)
    expected = (len(true), len(QUANTILES), *true.shape[1:])
    if true.ndim != 4 or levels.shape != expected or true.shape[2:] != weights.shape:
        raise EvaluationError(
            f"Expected quantiles (init_time, quantile, lead_time, latitude, longitude) of shape "
            f"{expected} on the grid of the weights {weights.shape}, found {levels.shape}."
        )
    levels, true = levels.astype(np.float64), true.astype(np.float64)
    whole = np.isfinite(levels).all(axis=(1, 3, 4)) & np.isfinite(true).all(axis=(2, 3))
    area = weights / weights.mean()
    terms = {
        "crps_sum": crps(levels, true, axis=1),
        "spread_square_sum": levels.var(axis=1, ddof=1),
    }
    sums: Sums = {}
    for name, term in terms.items():
        sums[name] = np.where(whole, term.sum(axis=(2, 3)), np.nan)
        sums[f"area_{name}"] = np.where(whole, np.einsum("nkhw,hw->nk", term, area), np.nan)
    below = np.einsum("nqkhw,hw->nkq", true[:, None] <= levels, area)
    return sums | {BELOW_SUM: np.where(whole[:, :, None], below, np.nan)}


def crps(quantiles: Floats, target: Floats, *, axis: int) -> Floats:
    """The CRPS, K, of quantiles along ``axis``, in the shape of ``target``.

    2/Q Σ (1{y < q_τ} - τ) (q_τ - y) over the quantiles.
    """
    error = np.moveaxis(quantiles - np.expand_dims(target, axis), axis, -1)
    score: Floats = 2.0 * np.mean(((error > 0) - np.array(QUANTILES)) * error, axis=-1)
    return score


def mean_crps(sums: xr.Dataset, *, weighting: Weighting) -> xr.DataArray:
    """The CRPS, K, of each lead over all scored frames: dims (…, lead_time).

    Frames without a stored CRPS count with their absolute error: they had no quantiles. NaN
    where no frame was scored.

    Args:
        sums: frame sums with dims (…, init_time, lead_time), with or without ``crps_sum``.
        weighting: ``area`` for area-weighted cells.
    """
    prefix = "area_" if weighting == "area" else ""
    is_scored = sums["count"] > 0
    frame = sums[f"{prefix}absolute_error_sum"]
    if f"{prefix}crps_sum" in sums:
        stored = sums[f"{prefix}crps_sum"]
        frame = stored.where(np.isfinite(stored), frame)
    cells = sums["count"].sum(INIT_TIME)
    return frame.where(is_scored, 0.0).sum(INIT_TIME, skipna=False) / cells.where(cells > 0)


def reliability(sums: xr.Dataset) -> xr.Dataset:
    """What forecasts with quantiles promise and keep, of each lead, area-weighted.

    Args:
        sums: frame sums with dims (…, init_time, lead_time), :data:`ENSEMBLE_SUMS` among them;
            frames without quantiles are left out.

    Returns:
        Dims (…, lead_time): ``frames``; ``spread``, the root of the mean variance, and ``rmse``
        of the same frames, K; their ``spread_skill`` ratio; and with the dimension ``quantile``
        also ``below``, the share of truths no higher than the quantile, which should be the
        quantile itself. NaN where no frame has quantiles. The ratio of calibrated quantiles is
        somewhat below 1, since the variance of ten of them misses the tails: 0.989 where errors
        are normal, 0.905 where they are Laplace's.
    """
    has_quantiles = np.isfinite(sums["area_crps_sum"]) & (sums["count"] > 0)
    scored = sums.where(has_quantiles, 0).sum(INIT_TIME)
    cells = scored["count"].where(scored["count"] > 0)
    spread, square, below = (
        scored[name] / cells
        for name in ("area_spread_square_sum", "area_squared_error_sum", BELOW_SUM)
    )
    return xr.Dataset(
        {
            "frames": xr.ones_like(sums["count"]).where(has_quantiles, 0).sum(INIT_TIME),
            "spread": spread**0.5,
            "rmse": square**0.5,
            "spread_skill": (spread / square.where(square > 0)) ** 0.5,
            "below": below.assign_coords({QUANTILE: list(QUANTILES)}),
        }
    )


def coverage(below: xr.DataArray) -> dict[float, xr.DataArray]:
    """The share of truths inside each central interval, by the share that it promises."""
    return {
        round(high - low, 6): below.sel({QUANTILE: high}) - below.sel({QUANTILE: low})
        for low, high in CENTRAL
    }
