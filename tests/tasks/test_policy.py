"""Retries cure only what waiting can cure; every archive writer holds one slot."""

import pytest
from prefect.states import Failed

from lsntp.config import load_domain
from lsntp.errors import ArchiveBusyError, ModelError, SourceUnavailableError
from tasks.policy import OPTIONS, is_curable, slot_names


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
    assert is_curable(None, None, Failed(data=error)) is expected  # type: ignore[arg-type]


def test_a_task_is_never_cached_or_pickled() -> None:
    assert OPTIONS["persist_result"] is False
    assert OPTIONS["retry_condition_fn"] is is_curable


def test_domains_share_the_slot_of_an_upstream_but_not_of_an_archive() -> None:
    first = set(slot_names(load_domain("ncep-6hourly")))
    second = set(slot_names(load_domain("era5-hourly")))
    assert first & second == {"lsntp-source-files"}
