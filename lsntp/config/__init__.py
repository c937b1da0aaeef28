"""Domains: what a run depends on, and how it is read from YAML."""

from lsntp.config.architecture import LsntpConfig
from lsntp.config.domain import (
    BASELINES,
    ROOT_VARIABLE,
    DaskConfig,
    Domain,
    FilesSource,
    NetworkConfig,
    Scaling,
    SourceConfig,
    SyntheticSource,
    Target,
    TrainingConfig,
)
from lsntp.config.quality import QualityConfig
from lsntp.config.reading import load_domain, preset_names

__all__ = [
    "BASELINES",
    "ROOT_VARIABLE",
    "DaskConfig",
    "Domain",
    "FilesSource",
    "LsntpConfig",
    "NetworkConfig",
    "QualityConfig",
    "Scaling",
    "SourceConfig",
    "SyntheticSource",
    "Target",
    "TrainingConfig",
    "load_domain",
    "preset_names",
]
