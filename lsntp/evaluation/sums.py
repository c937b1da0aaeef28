"""What is stored of every scored frame: sums that add up, so any later average is exact.

A frame is one (init_time, lead_time). Its weights have mean 1 over the grid, so the sum
of the weights equals the count of cells and both kinds of average divide by ``count``.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from skimage.metrics import structural_similarity

from lsntp.errors import EvaluationError
from lsntp.grid import Floats

Sums = dict[str, npt.NDArray[Any]]

PAPER_PSNR_RANGE: Final = 255.0
"""``data_range`` of PSNR in the LS-NTP evaluation, applied to kelvin (models.md A.2)."""
PAPER_SSIM_RANGE: Final = 2.0
"""``data_range`` of SSIM there: what scikit-image 0.17 assumed of float images."""
SSIM_WINDOW: Final = 7
"""Cells of the uniform SSIM window, in both directions."""
MSE_FLOOR_K2: Final = 1e-12
"""A PSNR is finite: errors below 1 microkelvin count as 1 microkelvin (168.13 dB of 255 K)."""


@dataclass(frozen=True)
class ValueRange:
    """The smallest and largest value of the training period, K.

    The data-range convention of SSIM and PSNR: fields minus ``minimum``, with
    ``data_range = width``; equal to the scores of fields scaled to 0…1.
    """

    minimum: float
    maximum: float

    def __post_init__(self) -> None:
        """Refuse a range without width."""
        if not self.minimum < self.maximum:
            raise EvaluationError(
                "Expected training data with a smallest value below the largest, found "
                f"{self.minimum:g}..{self.maximum:g} K; rebuild the training archive."
            )

    @property
    def width(self) -> float:
        """``data_range`` of SSIM and PSNR, K."""
        return self.maximum - self.minimum


def frame_sums(
    *,
    prediction: npt.ArrayLike,
    target: npt.ArrayLike,
    climatology: npt.ArrayLike,
    weights: Floats,
    value_range: ValueRange,
) -> Sums:
    """The sums of every frame, each (n, K); see :data:`lsntp.archives.evaluation.FRAME_SUMS`.

    Args:
        prediction: forecasts (n, K, H, W), K.
        target: truth at the valid times (n, K, H, W), K.
        climatology: climatology at the valid times (n, K, H, W), K.
        weights: cell areas (H, W); any scale, normalised here to mean 1.
        value_range: of the training period; ``data_range`` of the second SSIM and PSNR.

    A frame with a cell that is not finite in any of the three has count 0 and NaN sums.
    SSIM is NaN on a grid with fewer than 7 rows or columns: its window does not fit.

    Raises:
        EvaluationError: if the shapes differ.
    """
    predicted, true, normal = (
        np.asarray(field, np.float64) for field in (prediction, target, climatology)
    )
    if not predicted.shape == true.shape == normal.shape or predicted.shape[2:] != weights.shape:
        raise EvaluationError(
            "Expected prediction, target and climatology of one shape on the grid of the weights, "
            f"found {predicted.shape}, {true.shape}, {normal.shape} and {weights.shape}."
        )
    whole = np.isfinite(predicted + true + normal).all(axis=(2, 3))
    error = predicted - true
    forecast_anomaly, truth_anomaly = predicted - normal, true - normal
    terms = {
        "error_sum": error,
        "absolute_error_sum": np.abs(error),
        "squared_error_sum": error**2,
        "anomaly_product_sum": forecast_anomaly * truth_anomaly,
        "forecast_anomaly_square_sum": forecast_anomaly**2,
        "truth_anomaly_square_sum": truth_anomaly**2,
    }
    area = weights / weights.mean()
    sums: Sums = {"count": np.where(whole, weights.size, 0).astype(np.int64)}
    for name, term in terms.items():
        sums[name] = np.where(whole, term.sum(axis=(2, 3)), np.nan)
        sums[f"area_{name}"] = np.where(whole, np.einsum("nkhw,hw->nk", term, area), np.nan)
    mse = sums["squared_error_sum"] / weights.size
    sums["psnr_paper"] = psnr(mse, data_range=PAPER_PSNR_RANGE)
    sums["psnr_data_range"] = psnr(mse, data_range=value_range.width)
    low = value_range.minimum
    sums["ssim_paper"] = ssim(predicted, true, data_range=PAPER_SSIM_RANGE)
    sums["ssim_data_range"] = ssim(predicted - low, true - low, data_range=value_range.width)
    return sums


def psnr(mse: Floats, *, data_range: float) -> Floats:
    """Peak signal-to-noise ratio 10 log10(data_range² / mse), dB, of frames' plain MSE (K²).

    ``mse`` is floored at :data:`MSE_FLOOR_K2`, so that a perfect frame adds up too.
    """
    ratio: Floats = 10.0 * np.log10(data_range**2 / np.maximum(mse, MSE_FLOOR_K2))
    return ratio


def ssim(prediction: Floats, target: Floats, *, data_range: float) -> Floats:
    """Structural similarity (n, K) of frames (n, K, H, W), float64.

    7×7 uniform window, sample covariance, K1 = 0.01, K2 = 0.03: scikit-image's defaults.
    NaN where a frame is not finite or the grid is smaller than the window.

    References:
        Wang et al. 2004, doi:10.1109/TIP.2003.819861.
    """
    similarity = np.full(prediction.shape[:2], np.nan)
    if min(prediction.shape[2:]) < SSIM_WINDOW:
        return similarity
    for n, k in np.argwhere(np.isfinite(prediction + target).all(axis=(2, 3))):
        similarity[n, k] = structural_similarity(  # type: ignore[no-untyped-call]
            target[n, k], prediction[n, k], win_size=SSIM_WINDOW, data_range=data_range
        )
    return similarity


def cell_sums(*, prediction: npt.ArrayLike, target: npt.ArrayLike) -> Sums:
    """The sums over init_times of each cell's error, for maps.

    Args:
        prediction: forecasts (n, K, H, W), K; a frame with a NaN is left out.
        target: truth at the valid times (n, K, H, W), K; likewise.

    Returns:
        ``map_count`` (K,) frames, and ``map_error_sum``, ``map_absolute_error_sum`` (K) and
        ``map_squared_error_sum`` (K²), each (K, H, W) float64.
    """
    error = np.asarray(prediction, np.float64) - np.asarray(target, np.float64)
    whole = np.asarray(np.isfinite(error).all(axis=(2, 3)))
    error = np.where(whole[:, :, None, None], error, 0.0)
    return {
        "map_count": whole.sum(axis=0, dtype=np.int64),
        "map_error_sum": error.sum(axis=0),
        "map_absolute_error_sum": np.abs(error).sum(axis=0),
        "map_squared_error_sum": (error**2).sum(axis=0),
    }


def merge(first: Mapping[str, Any], second: Mapping[str, Any]) -> Sums:
    """The sums of two disjoint sets of frames together."""
    return {name: first[name] + second[name] for name in first}
