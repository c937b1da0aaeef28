"""What of a domain does not change with time: height of the ground and share of land."""

from lsntp.static.making import StaticReport, make_static

__all__ = ["StaticReport", "make_static"]
