"""What every expected hour is, told after each run that could have changed it."""

import logging
from collections.abc import Callable
from typing import Any

from lsntp.config import Domain
from lsntp.errors import LsntpError
from tasks.ingest import publish_coverage

_logger = logging.getLogger(__name__)


def with_coverage(domain: Domain, run: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """The outcome of a run and the coverage after it, which is published even if the run failed.

    Raises:
        LsntpError: what the run raised; what then hinders the coverage is only logged.
    """
    try:
        outcome = run()
    except LsntpError:
        try:
            publish_coverage(domain)
        except LsntpError as error:
            _logger.warning("coverage of %s not published: %s", domain.domain, error)
        raise
    return {**outcome, "coverage": publish_coverage(domain)}
