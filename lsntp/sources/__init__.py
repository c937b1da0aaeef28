"""Where analyses come from: bytes of any provider in, canonical fields out."""

from lsntp.config import Domain, FilesSource, SourceConfig, SyntheticSource
from lsntp.sources.base import Source
from lsntp.sources.files import FileSource
from lsntp.sources.synthetic import GeneratedSource
from lsntp.times import Period

__all__ = ["Source", "open_source"]


def open_source(config: SourceConfig, domain: Domain) -> Source:
    """The source that ``config`` names, ready to be asked.

    Args:
        config: the domain's ``source`` section.
        domain: the domain it feeds; gives cadence, first hour and, for generated
            fields, the last hour.
    """
    match config:
        case FilesSource():
            return FileSource(config.paths, origin=domain.start, cadence=domain.cadence)
        case SyntheticSource():
            return GeneratedSource(
                seed=config.seed,
                spacing_deg=config.spacing,
                period=Period(domain.start, domain.split.test.period.end),
                cadence=domain.cadence,
            )
