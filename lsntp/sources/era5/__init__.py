"""ERA5 2 m temperature from the Climate Data Store, by its own client."""

from lsntp.sources.era5.source import CdsSource

__all__ = ["CdsSource"]
