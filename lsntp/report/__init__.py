"""One self-contained HTML page about a domain: maps, curves, scores, provenance."""

from lsntp.report.page import write_report

__all__ = ["write_report"]
