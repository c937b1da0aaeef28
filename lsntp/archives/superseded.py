"""Forecasts that started from preliminary hours which have become final since.

A forecast stays as it was made: it is what was known then. But it says that an input was
preliminary, and the hours it could have started from tell whether they still are. So the mark is
derived, as "pending" is, and never goes stale.
"""

import numpy as np

from lsntp.archives.analysis import AnalysisArchive
from lsntp.archives.forecast import ForecastArchive
from lsntp.config import Domain
from lsntp.names import Status
from lsntp.times import DAY, Times

_SHORTEST_REACH = 3
"""Steps back that ridge looks, however long a step."""


def superseded(domain: Domain, forecasts: ForecastArchive, analysis: AnalysisArchive) -> Times:
    """Initial times whose forecast started from preliminary hours that are final now.

    None of the hours that any model of the domain starts from (:func:`reach`) may be preliminary
    any more: made again, the forecast has final inputs only.
    """
    written = forecasts.written()
    is_preliminary = forecasts.analysis_status_at(written) == Status.PRELIMINARY
    suspects: Times = written[is_preliminary]
    window = suspects[:, None] + np.arange(-reach(domain), 1) * domain.cadence
    status = analysis.status_at(window.ravel()).reshape(window.shape)
    is_settled = (status != Status.PRELIMINARY).all(axis=1) & (status[:, -1] == Status.FINAL)
    settled: Times = suspects[is_settled]
    return settled


def reach(domain: Domain) -> int:
    """Steps back of the earliest hour that any model of the domain may start from.

    The history of a network, the whole days that cover the longest lead
    (:mod:`lsntp.models.baselines`), and the three steps of ridge.
    """
    whole_days = int(-(-domain.lead_times[-1] // DAY))
    return max(domain.history - 1, whole_days * domain.steps_per_day, _SHORTEST_REACH)
