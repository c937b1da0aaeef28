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
    is_scored = sums["count"] > 0
    frames = is_scored.sum(INIT_TIME)
    cells = sums["count"].sum(INIT_TIME)
    prefix = "area_" if weighting == "area" else ""

    def total(values: xr.DataArray) -> xr.DataArray:
        return values.where(is_scored, 0.0).sum(INIT_TIME, skipna=False)

    def pooled(name: str) -> xr.DataArray:
        return total(sums[f"{prefix}{name}"]) / cells.where(cells > 0)

    def mean_of_frames(values: xr.DataArray) -> xr.DataArray:
        return total(values) / frames.where(frames > 0)

    frame_mse = sums[f"{prefix}squared_error_sum"] / sums["count"].where(is_scored)
    psnr_paper = mean_of_frames(sums["psnr_paper"])
    forecast_square = pooled("forecast_anomaly_square_sum")
    truth_square = pooled("truth_anomaly_square_sum")
    floor = ANOMALY_FLOOR_K**2
    has_pattern = (forecast_square > floor) & (truth_square > floor)
    return xr.Dataset(
        {
            "mae": pooled("absolute_error_sum"),
            "bias": pooled("error_sum"),
            "rmse_pooled": pooled("squared_error_sum") ** 0.5,
            "rmse_per_image": mean_of_frames(frame_mse**0.5),
            "rmse_psnr": PAPER_PSNR_RANGE * 10.0 ** (-psnr_paper / 20.0),
            "acc": pooled("anomaly_product_sum")
            / (forecast_square * truth_square).where(has_pattern) ** 0.5,
            "ssim_paper": mean_of_frames(sums["ssim_paper"]),
            "ssim_data_range": mean_of_frames(sums["ssim_data_range"]),
            "psnr_paper": psnr_paper,
            "psnr_data_range": mean_of_frames(sums["psnr_data_range"]),
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
