"""Where analyses come from: bytes of any provider in, canonical fields out."""

from collections.abc import Callable

from lsntp.config import (
    Domain,
    Era5Source,
    FilesSource,
    GfsSource,
    NcepR1Source,
    PluginSource,
    SyntheticSource,
)
from lsntp.sources.base import Explaining, ForecastingSource, Hole, Source, Upstream
from lsntp.sources.files import FileSource
from lsntp.sources.frames import build_frames
from lsntp.sources.native import NativeGrid
from lsntp.sources.plugins import open_plugin
from lsntp.sources.synthetic import GeneratedSource
from lsntp.times import Instant, Period, utc_now
from lsntp.workspace import Workspace

__all__ = [
    "Explaining",
    "ForecastingSource",
    "Hole",
    "NativeGrid",
    "Source",
    "Upstream",
    "build_frames",
    "open_source",
]


def open_source(domain: Domain, *, clock: Callable[[], Instant] = utc_now) -> Source:
    """The source of a domain, ready to be asked; nothing is asked yet.

    Args:
        domain: its ``source`` section names the source; it gives cadence, first hour and the
            working folder.
        clock: what time it is, for sources that publish late.
    """
    match domain.source:
        case FilesSource() as config:
            return FileSource(config.paths, origin=domain.start, cadence=domain.cadence)
        case SyntheticSource() as config:
            end = domain.split.test.period.end
            return GeneratedSource(
                seed=config.seed,
                spacing_deg=config.spacing,
                period=Period(domain.start, max(end, clock()) if config.live else end),
                cadence=domain.cadence,
            )
        case PluginSource() as config:
            return open_plugin(config, domain)
        case Era5Source() as config:
            from lsntp.sources.era5 import CdsSource

            return CdsSource(
                config,
                start=domain.start,
                cadence=domain.cadence,
                folder=Workspace.of(domain).work / config.name,
                clock=clock,
            )
        case NcepR1Source() as config:
            from lsntp.sources.ncep_r1 import NcepR1

            return NcepR1(
                config,
                folder=Workspace.of(domain).work / config.name,
                area=domain.target_grid,
                origin=domain.start,
                cadence=domain.cadence,
                clock=clock,
            )
        case GfsSource() as config:
            from lsntp.sources.gfs import GfsUpstream

            return GfsUpstream(
                config,
                origin=domain.start,
                cadence=domain.cadence,
                clock=clock,
                work=Workspace.of(domain).work,
            )
