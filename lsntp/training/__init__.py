"""Training: fitting networks and baselines, and the immutable versions that come of it."""

from lsntp.training.fit import TrainReport, prepare, train
from lsntp.training.loading import load_forecaster
from lsntp.training.versions import (
    ModelVersion,
    latest_version,
    list_versions,
    open_version,
)

__all__ = [
    "ModelVersion",
    "TrainReport",
    "latest_version",
    "list_versions",
    "load_forecaster",
    "open_version",
    "prepare",
    "train",
]
