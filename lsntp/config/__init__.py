"""Domains: what a run depends on, and how it is read from YAML."""

from lsntp.config.alarms import WEBHOOK_VARIABLE, AlarmsConfig
from lsntp.config.architecture import LsntpConfig
from lsntp.config.comparators import ConvlstmConfig, ConvnetConfig
from lsntp.config.domain import (
    BASELINES,
    GUIDANCE,
    REFERENCES,
    ROOT_VARIABLE,
    DaskConfig,
    Domain,
)
from lsntp.config.network import (
    ArchitectureConfig,
    Loss,
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
from lsntp.config.static import StaticConfig, StaticEra5, StaticFiles, StaticGfs
from lsntp.config.upkeep import FEWEST_DAYS, DriftConfig, GateConfig, RetrainConfig

__all__ = [
    "BASELINES",
    "FEWEST_DAYS",
    "GUIDANCE",
    "REFERENCES",
    "ROOT_VARIABLE",
    "WEBHOOK_VARIABLE",
    "AlarmsConfig",
    "ArchitectureConfig",
    "ConvlstmConfig",
    "ConvnetConfig",
    "DaskConfig",
    "Domain",
    "DriftConfig",
    "Era5Source",
    "FilesSource",
    "GateConfig",
    "GfsSource",
    "Loss",
    "LsntpConfig",
    "NcepR1Source",
    "NetworkConfig",
    "PluginSource",
    "QualityConfig",
    "RetrainConfig",
    "Scaling",
    "SourceConfig",
    "StaticConfig",
    "StaticEra5",
    "StaticFiles",
    "StaticGfs",
    "SyntheticSource",
    "Target",
    "TrainingConfig",
    "load_domain",
    "preset_names",
]
