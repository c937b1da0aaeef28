"""The report of a domain: self-contained HTML pages of maps, curves, scores and provenance."""

from pathlib import Path

from lsntp.config import Domain

__all__ = ["write_report"]


def write_report(domain: Domain) -> Path:
    """Write the report of a domain; see :func:`lsntp.report.site.write_report`.

    torch and matplotlib are loaded only here.
    """
    from lsntp.report.site import write_report as write

    return write(domain)
