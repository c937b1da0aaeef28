"""Training: fitting networks and baselines, and the immutable versions that come of it."""

from lsntp.training.champion import champion_of, promote, rollback
from lsntp.training.fit import TrainReport, in_turn, prepare, train
from lsntp.training.gate import offer
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
    "champion_of",
    "in_turn",
    "latest_version",
    "list_versions",
    "load_forecaster",
    "offer",
    "open_version",
    "prepare",
    "promote",
    "rollback",
    "train",
]
