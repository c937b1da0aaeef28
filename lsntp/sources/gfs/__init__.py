"""The Global Forecast System of NCEP from its public S3 bucket: analyses and forecasts."""

from lsntp.sources.gfs.source import GfsUpstream

__all__ = ["GfsUpstream"]
