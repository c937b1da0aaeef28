"""Which checks are made for which domain."""

import pytest

from lsntp.config import load_domain
from lsntp.doctor.check import Health
from lsntp.doctor.examination import examine
from tests.lsntp.ingest_files import make_domain

ALWAYS = ["python", "packages", "archive root", "disk space", "clock"]


@pytest.fixture(autouse=True)
def _nobody_has_a_key(monkeypatch, tmp_path):
    for name in ("CDSAPI_URL", "CDSAPI_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("CDSAPI_RC", str(tmp_path / "none"))


def test_files_need_nothing_beyond_the_machine(tmp_path):
    checks = examine(make_domain(tmp_path), tmp_path)
    assert [check.name for check in checks] == ALWAYS
    assert {check.health for check in checks} == {Health.OK}


def test_a_newcomer_without_a_domain_is_asked_for_a_key(tmp_path):
    checks = examine(None, tmp_path)
    assert [check.name for check in checks] == [*ALWAYS, "cds key"]
    assert checks[-1].health == Health.FAILED


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ({"name": "ncep_r1", "hosts": ["http://127.0.0.1:9/ncep"]}, "files of 127.0.0.1:9"),
        ({"name": "gfs"}, "gfs bucket"),
        ({"name": "era5"}, "cds key"),
    ],
)
def test_a_domain_is_asked_for_what_its_source_needs(tmp_path, monkeypatch, source, name):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    make_domain(tmp_path)
    domain = load_domain(tmp_path / "tiny.yaml", overrides={"source": source})
    checks = examine(domain, tmp_path)
    assert [check.name for check in checks] == [*ALWAYS, name]
    assert checks[-1].health == Health.FAILED


@pytest.mark.parametrize(("source", "name"), [("era5", "cds key"), ("gfs", "gfs bucket")])
def test_a_domain_is_asked_for_what_its_static_fields_need(tmp_path, monkeypatch, source, name):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    make_domain(tmp_path)
    domain = load_domain(tmp_path / "tiny.yaml", overrides={"static": {"source": source}})
    checks = examine(domain, tmp_path)
    assert [check.name for check in checks] == [*ALWAYS, name]
    assert checks[-1].health == Health.FAILED


def test_what_source_and_static_fields_both_need_is_asked_for_once(tmp_path):
    make_domain(tmp_path)
    both = {"source": {"name": "era5"}, "static": {"source": "era5"}}
    checks = examine(load_domain(tmp_path / "tiny.yaml", overrides=both), tmp_path)
    assert [check.name for check in checks] == [*ALWAYS, "cds key"]
