"""Sums of the continuous ranked probability score (CRPS) of forecasts with members.

A forecast without members is one member: its CRPS is its absolute error, which every frame has.
"""

import numpy as np
import numpy.typing as npt
import xarray as xr

from lsntp.errors import EvaluationError
from lsntp.evaluation.metrics import Weighting
from lsntp.evaluation.sums import Sums
from lsntp.grid import Floats
from lsntp.names import INIT_TIME


def crps_sums(*, prediction: npt.ArrayLike, target: npt.ArrayLike, weights: Floats) -> Sums:
    """The sums of each frame's CRPS over its cells, to store beside the others.

    Args:
        prediction: members (n, M, K, H, W), K.
        target: truth (n, K, H, W), K.
        weights: cell areas (H, W), any scale.

    Returns:
        ``crps_sum`` and ``area_crps_sum`` (n, K), K; NaN for a frame with a NaN.

    Raises:
        EvaluationError: if the shapes do not fit, or there is no member.
    """
    members, true = np.asarray(prediction, np.float64), np.asarray(target, np.float64)
    if members.ndim != 5 or members.shape[1] < 1:
        raise EvaluationError(
            "Expected members (init_time, member, lead_time, latitude, longitude), at least one, "
            f"found shape {members.shape}."
        )
    if (members.shape[0], *members.shape[2:]) != true.shape or true.shape[2:] != weights.shape:
        raise EvaluationError(
            f"Expected a target of the members' shape {members.shape} without members on the grid "
            f"of the weights {weights.shape}, found {true.shape}."
        )
    score = fair_crps(members, true, axis=1)
    return {
        "crps_sum": score.sum(axis=(2, 3)),
        "area_crps_sum": np.einsum("nkhw,hw->nk", score, weights / weights.mean()),
    }


def fair_crps(members: Floats, target: Floats, *, axis: int) -> Floats:
    """The fair CRPS, K, of M members along ``axis`` of ``members``; the shape of ``target``.

    (1/M) Σ|xᵢ − y| − 1/(2M(M−1)) ΣΣ|xᵢ − xⱼ|: in the mean over many forecasts it does not depend
    on how many members a forecast has (the standard form divides by 2M² and favours many). One
    member has no spread: |x − y|. Can be negative for a single forecast.

    References:
        Ferro (2014), doi:10.1002/qj.2270; Hersbach (2000) for the CRPS itself.
    """
    count = members.shape[axis]
    error = np.abs(members - np.expand_dims(target, axis)).mean(axis=axis)
    if count == 1:
        return np.asarray(error, np.float64)
    # Of sorted members: ½ ΣΣ|xᵢ − xⱼ| = Σ (2i − M − 1) x₍ᵢ₎, i from 1.
    rank = 2.0 * np.arange(1, count + 1) - count - 1
    ordered = np.moveaxis(np.sort(members, axis=axis), axis, -1)
    spread = (ordered * rank).sum(axis=-1) / (count * (count - 1))
    return np.asarray(error - spread, np.float64)


def mean_crps(sums: xr.Dataset, *, weighting: Weighting) -> xr.DataArray:
    """The CRPS, K, of each lead over all scored frames: dims (…, lead_time).

    Frames without a stored CRPS count with their absolute error: they had no members. NaN
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
