"""A domain with three known forecasts."""

from pathlib import Path

import pytest

from lsntp.config import ROOT_VARIABLE, Domain
from tests.exported import make_domain


@pytest.fixture
def domain(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Domain:
    monkeypatch.delenv(ROOT_VARIABLE, raising=False)
    return make_domain(tmp_path)[0]
