"""What every test of a configuration shares."""

import pytest


@pytest.fixture(autouse=True)
def _no_root(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever runs the tests may have a root of their own in the environment."""
    monkeypatch.delenv("LSNTP_ROOT", raising=False)
