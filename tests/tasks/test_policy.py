"""Retries cure only what waiting can cure, and nothing is cached."""

import pytest
from prefect.client.schemas.objects import TaskRun
from prefect.states import Failed

from lsntp.errors import ArchiveBusyError, ModelError, SourceUnavailableError
from tasks.policy import OPTIONS, is_curable


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (ArchiveBusyError("busy"), True),
        (SourceUnavailableError("down"), True),
        (ModelError("wrong grid"), False),
        (OSError("unknown"), False),
    ],
    ids=lambda value: type(value).__name__,
)
def test_only_our_transient_errors_are_retried(error: Exception, expected: bool) -> None:
    run = TaskRun(task_key="any", dynamic_key="0", run_count=1)
    assert is_curable(None, run, Failed(data=error)) is expected


def test_a_task_is_never_cached_or_pickled() -> None:
    assert OPTIONS["persist_result"] is False
    assert OPTIONS["retry_condition_fn"] is is_curable
