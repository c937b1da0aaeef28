"""Domains: what a run depends on, and how it is read from YAML."""

from lsntp.config.architecture import LsntpConfig
from lsntp.config.domain import (
    BASELINES,
    ROOT_VARIABLE,
    DaskConfig,
    Domain,
    NetworkConfig,
    Scaling,
    Target,
    TrainingConfig,
)
from lsntp.config.quality import QualityConfig
from lsntp.config.reading import load_domain, preset_names
from lsntp.config.source import (
    Era5Source,
    FilesSource,
    GfsSource,
    NcepR1Source,
    PluginSource,
    SourceConfig,
    SyntheticSource,
)
from lsntp.config.upkeep import FEWEST_DAYS, DriftConfig, GateConfig, RetrainConfig

__all__ = [
    "BASELINES",
    "FEWEST_DAYS",
    "ROOT_VARIABLE",
    "DaskConfig",
    "Domain",
    "DriftConfig",
    "Era5Source",
    "FilesSource",
    "GateConfig",
    "GfsSource",
    "LsntpConfig",
    "NcepR1Source",
    "NetworkConfig",
    "PluginSource",
    "QualityConfig",
    "RetrainConfig",
    "Scaling",
    "SourceConfig",
    "SyntheticSource",
    "Target",
    "TrainingConfig",
    "load_domain",
    "preset_names",
]
