"""The key of the store: where it is looked for, and that it goes nowhere else."""

import logging

import numpy as np
import pytest

from lsntp.errors import CredentialsError, LsntpError, SourceDataError
from lsntp.times import hours, parse_time
from tests.standins.cds import RATE_LIMIT, CdsServer, Refusal

SIX = parse_time("2025-01-01") + np.arange(6) * hours(1)


def test_a_key_is_asked_for_with_the_way_to_get_one(make_source, area, monkeypatch, tmp_path):
    for name in ("CDSAPI_URL", "CDSAPI_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("CDSAPI_RC", str(tmp_path / "none"))
    with pytest.raises(CredentialsError, match="how-to-api"):
        make_source().fetch(SIX, area)


def test_a_key_of_the_old_service_is_told_apart(cds, make_source, area, monkeypatch):
    monkeypatch.setenv("CDSAPI_KEY", "12345:0000-secret")
    with pytest.raises(CredentialsError, match="colon") as caught:
        make_source().fetch(SIX, area)
    assert "secret" not in str(caught.value)


def test_the_key_is_in_no_log_no_error_and_no_file(cds, make_source, area, tmp_path, caplog, capfd):
    cds.cue("execution", Refusal(400, f"your token {cds.key} may not ask this"))
    cds.cue("job", None, RATE_LIMIT)
    with caplog.at_level(logging.DEBUG):
        with pytest.raises(LsntpError) as caught:
            make_source().fetch(SIX, area)
        source = make_source()
        source.fetch(SIX, area)
    error = caught.value
    assert "may not ask this" in str(error)
    seen = [str(error), repr(error), repr(error.__cause__), caplog.text, repr(source)]
    seen += [*capfd.readouterr()]
    seen += [path.read_text("latin-1") for path in tmp_path.rglob("*") if path.is_file()]
    assert not [text for text in seen if cds.key in text]
    assert not [path for _, path, _ in cds.calls if cds.key in path]
    assert not cds.tokens_at_the_store()


def test_the_key_is_not_sent_where_a_link_leads_away(cds, make_source, area, tmp_path):
    with CdsServer([]) as elsewhere:
        cds.monitor_base = elsewhere.url
        with pytest.raises(SourceDataError, match="the key was not sent there"):
            make_source().fetch(SIX, area)
        assert not elsewhere.calls
