"""What every hour is gets told after each run, whatever became of the run."""

import pytest

from flows import coverage
from lsntp.config import load_domain
from lsntp.errors import ArchiveError, SourceDataError


@pytest.fixture
def published(monkeypatch):
    """The domains whose coverage was published."""
    domains = []

    def publish(domain):
        domains.append(domain.domain)
        return {"missing": 3}

    monkeypatch.setattr(coverage, "publish_coverage", publish)
    return domains


def test_coverage_is_published_after_a_run_and_joins_its_outcome(published):
    outcome = coverage.with_coverage(load_domain("demo"), lambda: {"written": 2})
    assert outcome == {"written": 2, "coverage": {"missing": 3}}
    assert published == ["demo"]


def failing():
    raise SourceDataError("a page in HTML")


def test_coverage_is_published_after_a_failed_run_whose_error_stays(published):
    with pytest.raises(SourceDataError, match="a page in HTML"):
        coverage.with_coverage(load_domain("demo"), failing)
    assert published == ["demo"]


def test_what_hinders_the_coverage_does_not_hide_why_the_run_failed(monkeypatch, caplog):
    def refuse(domain):
        raise ArchiveError("damaged")

    monkeypatch.setattr(coverage, "publish_coverage", refuse)
    caplog.set_level("INFO")
    with pytest.raises(SourceDataError, match="a page in HTML"):
        coverage.with_coverage(load_domain("demo"), failing)
    assert "coverage of demo not published: damaged" in caplog.text
