"""How sure forecasts with quantiles are, and whether they may be: scores over common frames."""

from collections.abc import Sequence

import numpy as np
import xarray as xr

from lsntp.archives.evaluation import COUNT, ENSEMBLE_SUMS, MODEL
from lsntp.config import Domain
from lsntp.errors import EvaluationError
from lsntp.evaluation.crps import coverage, mean_crps, reliability
from lsntp.evaluation.selection import open_scores
from lsntp.names import INIT_TIME
from lsntp.times import Times

COVERAGE = "coverage"
PROMISED = "promised"


def uncertainty_scores(domain: Domain, models: Sequence[str], init_times: Times) -> xr.Dataset:
    """CRPS and calibration of each lead, area-weighted.

    Args:
        domain: whose evaluation archive.
        models: scored ones; those without quantiles have their MAE as CRPS.
        init_times: (n,) at which all of them are scored.

    Returns:
        Dims (model, lead_time): ``crps`` and ``mae``, K, and all of
        :func:`~lsntp.evaluation.crps.reliability`; ``coverage(…, promised)``, the share of truths
        inside each central interval.

    Raises:
        EvaluationError: if no forecast with quantiles is scored at any of these times.
    """
    archive = open_scores(domain)
    sums = ["absolute_error_sum", "squared_error_sum"]
    names = [COUNT, *sums, *(f"area_{name}" for name in sums)]
    with archive.dataset() as stored:
        chosen = {MODEL: list(models), INIT_TIME: init_times}
        has_any = set(ENSEMBLE_SUMS) <= set(stored.variables)
        data = stored[[*names, *(ENSEMBLE_SUMS if has_any else ())]].sel(chosen).load()
    if not has_any or not np.isfinite(data["area_crps_sum"]).any():
        raise EvaluationError(
            f"Expected scored forecasts with quantiles of {', '.join(models)}, found none; set "
            f"networks.NAME.quantiles: true, then run `lsntp train {domain.reference}`, `lsntp "
            "forecast` and `lsntp evaluate`."
        )
    found = reliability(data)
    inside = coverage(found["below"])
    return found.assign(
        crps=mean_crps(data, weighting="area"),
        mae=mean_crps(data[names], weighting="area"),
    ).assign({COVERAGE: xr.concat(list(inside.values()), xr.Variable(PROMISED, list(inside)))})
