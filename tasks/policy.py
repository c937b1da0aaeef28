"""What every task shares: retry what waiting can cure, cache nothing."""

import logging
from typing import Any

from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State, TaskRun

from lsntp.errors import LsntpError

RETRY_DELAYS_S = [5.0, 30.0, 120.0]
HOUR_S = 3600.0

_logger = logging.getLogger(__name__)


def is_curable(_task: object, run: TaskRun, state: State[Any]) -> bool:
    """Whether waiting can cure what ended a task: only our own transient errors."""
    error = state.result(raise_on_failure=False)
    if isinstance(error, LsntpError) and error.is_transient:
        _logger.warning("attempt %d of %d: %s", run.run_count, len(RETRY_DELAYS_S) + 1, error)
        return True
    return False


OPTIONS: dict[str, Any] = {
    "retries": len(RETRY_DELAYS_S),
    "retry_delay_seconds": RETRY_DELAYS_S,
    "retry_condition_fn": is_curable,
    "cache_policy": NO_CACHE,
    "persist_result": False,
}
"""Decorator options of every task. The archives say what is done, so no result is cached."""
