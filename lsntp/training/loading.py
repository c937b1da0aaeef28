"""From a stored version to a model that forecasts."""

from lsntp.config import Domain
from lsntp.models.base import Forecaster
from lsntp.training.contents import restore_baseline
from lsntp.training.versions import ModelVersion


def load_forecaster(version: ModelVersion, domain: Domain) -> Forecaster:
    """The model of a version, ready to forecast for ``domain``; torch only for networks.

    Raises:
        ModelError: if the version is damaged, or was trained for another grid, history,
            horizon or cadence.
    """
    version.check_fits(domain)
    if version.kind == "network":
        from lsntp.training.network import restore_network

        return restore_network(version, domain)
    return restore_baseline(version, domain)
