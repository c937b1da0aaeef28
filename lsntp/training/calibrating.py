"""The quantiles of a network's forecasts, fitted to its errors in validation."""

from dataclasses import replace
from math import gcd
from typing import Final

import numpy as np

from lsntp.archives.analysis import AnalysisArchive
from lsntp.models.calibration import check_days, fit_calibration
from lsntp.progress import track
from lsntp.times import Times
from lsntp.training.history import is_complete, read_fields, status_of
from lsntp.training.network import NetworkForecaster

BATCH: Final = 64
MAX_BYTES: Final = 2**30
"""For forecasts, their variance and the truth; of more initial times every j-th is taken."""


def calibrated(
    forecaster: NetworkForecaster, analysis: AnalysisArchive, init_times: Times
) -> NetworkForecaster:
    """The forecaster with quantiles; its forecasts stay as they are.

    Args:
        forecaster: as it was fitted.
        analysis: history and truth.
        init_times: (n,) of the validation block.

    Raises:
        TrainingDataError: if these are of fewer than two days.
    """
    steps = tuple(int(step) for step in forecaster.lead_times // analysis.cadence)
    chosen = usable_times(forecaster, analysis, init_times)
    frame_bytes = 3 * 4 * len(steps) * int(np.prod(analysis.grid.shape))
    chosen = thinned(chosen, MAX_BYTES // frame_bytes, round(24 * 3600e9 / int(analysis.cadence)))
    batches = [chosen[first : first + BATCH] for first in range(0, chosen.size, BATCH)]
    parts = []
    for batch in track(batches, f"calibrate {forecaster.name}"):
        history = read_fields(analysis, batch, forecaster.offsets)
        truth = read_fields(analysis, batch, steps)
        parts.append((*forecaster.mean_and_variance(history, batch), truth))
    mean, variance, truth = (np.concatenate(each) for each in zip(*parts, strict=True))
    hours_of_day = forecaster.transform.statistics.climatology.hours_of_day
    valid_times = chosen[:, None] + forecaster.lead_times
    calibration = fit_calibration(mean, variance, truth, valid_times, hours_of_day)
    return replace(forecaster, calibration=calibration)


def usable_times(
    forecaster: NetworkForecaster, analysis: AnalysisArchive, init_times: Times
) -> Times:
    """Those with a complete history and truth.

    Raises:
        TrainingDataError: if these are of fewer than two days.
    """
    steps = tuple(int(step) for step in forecaster.lead_times // analysis.cadence)
    status = status_of(analysis, init_times, (*forecaster.offsets, *steps))
    chosen: Times = init_times[is_complete(status)]
    check_days(chosen)
    return chosen


def thinned(init_times: Times, most: int, steps_per_day: int) -> Times:
    """At most ``most`` of the initial times, evenly, of every hour of day."""
    step = max(1, -(-init_times.size // max(1, most)))
    while gcd(step, steps_per_day) > 1:
        step += 1
    return init_times[::step]
