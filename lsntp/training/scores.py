"""Validation scores of a model, beside those of persistence on the same windows."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from lsntp.archives.analysis import AnalysisArchive
from lsntp.grid import Floats
from lsntp.models.base import Forecaster
from lsntp.progress import track
from lsntp.times import LeadTimes, Times, in_hours
from lsntp.training.history import is_complete, read_fields, status_of

BATCH = 64


@dataclass(frozen=True, eq=False)
class Scores:
    """Mean errors over windows and cells, unweighted.

    Attributes:
        windows: how many forecasts were scored.
        lead_times: (K,).
        mse, mae: of the model per lead (K,), K² and K.
        persistence_mse, persistence_mae: of the last analysis held, same windows (K,).
    """

    windows: int
    lead_times: LeadTimes
    mse: Floats
    mae: Floats
    persistence_mse: Floats
    persistence_mae: Floats

    def to_dict(self) -> dict[str, Any]:
        """Ready for JSON, units in the names."""
        return {
            "windows": self.windows,
            "lead_times_h": [in_hours(lead) for lead in self.lead_times],
            "mse_k2": self.mse.tolist(),
            "mae_k": self.mae.tolist(),
            "persistence_mse_k2": self.persistence_mse.tolist(),
            "persistence_mae_k": self.persistence_mae.tolist(),
        }


def validation_scores(
    forecaster: Forecaster, archive: AnalysisArchive, init_times: Times, lead_times: LeadTimes
) -> Scores | None:
    """Scores of the forecasts from ``init_times``, in kelvin.

    Initial times whose history or truth is not usable are left out.

    Returns:
        None if no initial time is left.
    """
    steps = tuple(int(step) for step in lead_times // archive.cadence)
    usable = is_complete(status_of(archive, init_times, (*forecaster.offsets, *steps)))
    chosen = init_times[usable]
    if not chosen.size:
        return None
    sums = np.zeros((4, lead_times.size))
    batches = [chosen[first : first + BATCH] for first in range(0, chosen.size, BATCH)]
    for batch in track(batches, f"validate {forecaster.name}"):
        history = read_fields(archive, batch, forecaster.offsets)
        truth = read_fields(archive, batch, steps).astype(np.float64)
        for row, prediction in enumerate((forecaster.forecast(history, batch), history[:, -1:])):
            error = prediction - truth
            sums[2 * row] += np.square(error).mean(axis=(2, 3)).sum(axis=0)
            sums[2 * row + 1] += np.abs(error).mean(axis=(2, 3)).sum(axis=0)
    mse, mae, persistence_mse, persistence_mae = sums / chosen.size
    return Scores(chosen.size, lead_times, mse, mae, persistence_mse, persistence_mae)
