"""Where analyses come from: bytes of any provider in, canonical fields out."""

from collections.abc import Callable
from importlib.metadata import entry_points

from lsntp.config import (
    Domain,
    Era5Source,
    FilesSource,
    GfsSource,
    NcepR1Source,
    PluginSource,
    SyntheticSource,
)
from lsntp.config.source import PLUGIN_GROUP
from lsntp.sources.base import ForecastingSource, Hole, Source, Upstream
from lsntp.sources.files import FileSource
from lsntp.sources.synthetic import GeneratedSource
from lsntp.times import Instant, Period, utc_now
from lsntp.workspace import Workspace

__all__ = ["ForecastingSource", "Hole", "Source", "Upstream", "open_source"]


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
            return GeneratedSource(
                seed=config.seed,
                spacing_deg=config.spacing,
                period=Period(domain.start, domain.split.test.period.end),
                cadence=domain.cadence,
            )
        case PluginSource() as config:
            (plugin,) = entry_points(group=PLUGIN_GROUP, name=config.name)
            made: Source = plugin.load()(config.options, domain)
            return made
        case GfsSource() as config:
            from lsntp.sources.gfs import GfsUpstream  # s3fs: only where it is needed

            return GfsUpstream(
                config,
                origin=domain.start,
                cadence=domain.cadence,
                clock=clock,
                work=Workspace.of(domain).work,
            )
        case Era5Source() | NcepR1Source():
            raise NotImplementedError(clock)
