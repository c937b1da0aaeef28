"""Scores from sums: MAE, bias, RMSE in four definitions, ACC, SSIM and PSNR.

Papers rank by "RMSE" without saying which; the four differ by a fifth on the same
forecast, so each has its own name:

- ``rmse_pooled``: root of the mean over all frames and cells of a lead;
- ``rmse_per_image``: mean over frames of each frame's root;
- ``rmse_per_cell``: mean over cells of the root of each cell's mean over time;
- ``rmse_psnr``: the RMSE that the mean PSNR stands for, 255 · 10^(−PSNR/20): the geometric
  mean over frames of each frame's root. PSNR is never area-weighted, nor is this.

The mean over leads is the mean of the leads' scores, for all of them.
"""

from typing import Final, Literal

import numpy as np
import xarray as xr

from lsntp.errors import EvaluationError
from lsntp.evaluation.sums import PAPER_PSNR_RANGE
from lsntp.grid import Floats
from lsntp.names import INIT_TIME, LATITUDE, LEAD_TIME, LONGITUDE

Weighting = Literal["plain", "area"]

METRICS: Final = (
    "mae",
    "bias",
    "rmse_pooled",
    "rmse_per_image",
    "rmse_per_cell",
    "rmse_psnr",
    "acc",
    "ssim_paper",
    "ssim_data_range",
    "psnr_paper",
    "psnr_data_range",
)
_CELL_TERMS: Final = (
    "error",
    "absolute_error",
    "squared_error",
    "anomaly_product",
    "forecast_anomaly_square",
    "truth_anomaly_square",
)
_FRAME_TERMS: Final = ("ssim_paper", "ssim_data_range", "psnr_paper", "psnr_data_range")
ANOMALY_FLOOR_K: Final = 1e-3
"""Below this rms anomaly a frame set has no pattern, only float32 rounding: its ACC is NaN."""


def lead_metrics(sums: xr.Dataset, *, weighting: Weighting) -> xr.Dataset:
    """The scores of each lead, over all scored frames (``count`` > 0) of ``sums``.

    Args:
        sums: frame sums with dims (…, init_time, lead_time).
        weighting: ``area`` for area-weighted cells; SSIM and PSNR are unweighted in both.

    Returns:
        Dims (…, lead_time): every score of :data:`METRICS` but ``rmse_per_cell``, which
        needs maps (:func:`rmse_per_cell`). NaN where no frame was scored. ``acc`` is pooled
        and uncentred, Σ f'a' / √(Σ f'² Σ a'²), anomalies from the training climatology; NaN
        where one of the anomalies vanishes, as for a climatological forecast.

    References:
        ACC: Wilks, Statistical Methods in the Atmospheric Sciences, eq. for uncentred AC.
    """
    return scores_from(frame_terms(sums, weighting=weighting).sum(INIT_TIME, skipna=False))


def frame_terms(sums: xr.Dataset, *, weighting: Weighting) -> xr.Dataset:
    """What of each frame adds up: summed over any frames, it gives :func:`scores_from`.

    Args:
        sums: frame sums with dims (…, init_time, lead_time).
        weighting: ``area`` for area-weighted cells; SSIM and PSNR are unweighted in both.

    Returns:
        The same dims, float64; 0 where a frame was not scored (``count`` 0).
    """
    is_scored = sums["count"] > 0
    prefix = "area_" if weighting == "area" else ""
    terms = {name: sums[f"{prefix}{name}_sum"] for name in _CELL_TERMS}
    terms |= {name: sums[name] for name in _FRAME_TERMS}
    terms["rmse"] = (terms["squared_error"] / sums["count"].where(is_scored)) ** 0.5
    terms |= {"frames": is_scored.astype(np.float64), "cells": sums["count"].astype(np.float64)}
    return xr.Dataset(terms).where(is_scored, 0.0)


def scores_from(totals: xr.Dataset) -> xr.Dataset:
    """The scores of summed :func:`frame_terms`: see :func:`lead_metrics`."""
    cells = totals["cells"].where(totals["cells"] > 0)
    frames = totals["frames"].where(totals["frames"] > 0)
    psnr_paper = totals["psnr_paper"] / frames
    forecast_square = totals["forecast_anomaly_square"] / cells
    truth_square = totals["truth_anomaly_square"] / cells
    floor = ANOMALY_FLOOR_K**2
    has_pattern = (forecast_square > floor) & (truth_square > floor)
    return xr.Dataset(
        {
            "mae": totals["absolute_error"] / cells,
            "bias": totals["error"] / cells,
            "rmse_pooled": (totals["squared_error"] / cells) ** 0.5,
            "rmse_per_image": totals["rmse"] / frames,
            "rmse_psnr": PAPER_PSNR_RANGE * 10.0 ** (-psnr_paper / 20.0),
            "acc": (totals["anomaly_product"] / cells)
            / (forecast_square * truth_square).where(has_pattern) ** 0.5,
            "ssim_paper": totals["ssim_paper"] / frames,
            "ssim_data_range": totals["ssim_data_range"] / frames,
            "psnr_paper": psnr_paper,
            "psnr_data_range": totals["psnr_data_range"] / frames,
        }
    )


def rmse_per_cell(
    squared_error_sum: xr.DataArray, count: xr.DataArray, *, weights: Floats | None = None
) -> xr.DataArray:
    """√ of each cell's mean squared error over time, averaged over the map.

    Args:
        squared_error_sum: K², dims (…, lead_time, latitude, longitude), summed over time.
        count: frames in the sum, dims (…, lead_time).
        weights: cell areas (H, W), any scale; None for the plain average.

    Returns:
        K, dims (…, lead_time); NaN where ``count`` is 0.

    Raises:
        EvaluationError: if the weights do not fit the map.
    """
    root = (squared_error_sum / count.where(count > 0)) ** 0.5
    area = np.ones(root.shape[-2:]) if weights is None else weights
    if area.shape != root.shape[-2:]:
        raise EvaluationError(
            f"Expected weights of the map's shape {root.shape[-2:]}, found {area.shape}."
        )
    shares = xr.DataArray(area / area.sum(), dims=(LATITUDE, LONGITUDE))
    return (root * shares).sum((LATITUDE, LONGITUDE), skipna=False)


def mean_over_leads(scores: xr.Dataset) -> xr.Dataset:
    """The mean of the leads' scores; NaN where a lead has none."""
    return scores.mean(LEAD_TIME, skipna=False)
