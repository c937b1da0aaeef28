"""What writing forecasts has in common, whoever makes them."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

import lsntp
from lsntp.archives.forecast import ForecastArchive
from lsntp.archives.layout import CONFIGURATION
from lsntp.config import Domain
from lsntp.errors import ArchiveNotFoundError
from lsntp.times import Times
from lsntp.workspace import Workspace


@dataclass(frozen=True, eq=False)
class ForecastReport:
    """What forecasting did for one model.

    Attributes:
        written: initial times whose forecasts are new.
        already: how many of the asked ones had a forecast.
        older: how many of those were made by another version; a forecast stays as it was made.
        incomplete: how many could not be forecast for want of a usable analysis, or of a
            forecast of the source.
        superseded: how many of those that stay were made from preliminary analyses that are
            final now; see :mod:`lsntp.archives.superseded`.
        waiting: how many the source could be asked for and are left for the next run.
    """

    model: str
    version: str
    written: Times
    already: int
    older: int
    incomplete: int
    superseded: int = 0
    waiting: int = 0


def written_forecasts(domain: Domain, model: str) -> tuple[Times, npt.NDArray[np.str_]]:
    """The initial times that have a forecast of the model already, and the versions it is by."""
    try:
        archive = ForecastArchive.open(Workspace.of(domain).forecast(model))
    except ArchiveNotFoundError:
        return np.array([], "datetime64[ns]"), np.array([], str)
    written = archive.written()
    return written, np.array(archive.model_versions(written), str)


def create_forecasts(domain: Domain, model: str, made_by: str) -> ForecastArchive:
    """The forecast archive of a model, made if there is none.

    Args:
        domain: whose forecasts.
        model: its name in the domain.
        made_by: what it is in a few words, for the archive's attributes.
    """
    label = "synthetic " if domain.is_synthetic else ""
    return ForecastArchive.create(
        Workspace.of(domain).forecast(model),
        grid=domain.target_grid,
        start=domain.start,
        cadence=domain.cadence,
        lead_times=domain.lead_times,
        attrs={
            "title": f"{label}2 m temperature forecasts of {model}, {domain.domain}",
            "source": f"lsntp {lsntp.__version__}, {made_by}",
            "model": model,
            "synthetic": str(domain.is_synthetic).lower(),
            CONFIGURATION: domain.to_yaml(),
        },
    )
