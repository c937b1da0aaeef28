"""What the doctor says of upstreams, asked by the real clients over sockets."""

import pytest
import requests
from moto.server import ThreadedMotoServer

from lsntp.config import Era5Source, NcepR1Source
from lsntp.doctor.check import Health
from lsntp.doctor.upstreams import (
    Examination,
    examine_bucket,
    examine_cds,
    examine_hosts,
)
from lsntp.times import parse_time

KEY = "0f0f0f0f-canary-4e4e-8d8d-123456789abc"
PAT = "/profiles/v1/account/verification/pat"
ACCEPTED = "/profiles/v1/account/licences"
COLLECTION = "/catalogue/v1/collections/reanalysis-era5-single-levels"
PAGE = "datasets/reanalysis-era5-single-levels?tab=download#manage-licences"


@pytest.fixture
def cds(host, monkeypatch, tmp_path):
    """A store that accepts the key, and the licence of ERA5."""
    monkeypatch.setenv("CDSAPI_URL", host.url)
    monkeypatch.setenv("CDSAPI_KEY", KEY)
    monkeypatch.setenv("CDSAPI_RC", str(tmp_path / "none"))
    host.answer("GET", "/catalogue/v1/messages", {"messages": []})
    host.answer("POST", PAT, {"sub": "1", "role": "user"})
    host.answer("GET", ACCEPTED, {"licences": [{"id": "cc-by", "revision": 1}]})
    host.answer("GET", COLLECTION, collection("cc-by"))
    return host


def collection(*licences):
    links = [
        {"rel": "license", "href": f"https://store/catalogue/licences/{name}/{name}_0a1b.pdf"}
        for name in licences
    ]
    return {"id": "reanalysis-era5-single-levels", "links": links}


def examined():
    found = Examination()
    examine_cds(Era5Source().dataset, found, timeout_s=10)
    return {check.name: check for check in found.checks}, found


def test_an_accepted_key_and_licence_pass(cds):
    checks, found = examined()
    assert [check.health for check in checks.values()] == [Health.OK, Health.OK]
    assert "cc-by" in checks["cds licence"].found
    assert abs(next(iter(found.clocks.values()))) < 60
    assert {token for _, path, token in cds.seen if path == PAT} == {KEY}


def test_without_a_key_it_says_where_to_get_one_and_asks_nobody(cds, monkeypatch):
    monkeypatch.delenv("CDSAPI_KEY")
    (check,) = examined()[0].values()
    assert check.health == Health.FAILED
    assert "how-to-api" in check.remedy
    assert cds.seen == []


def test_a_key_of_the_old_service_is_told_apart_and_not_shown(cds, monkeypatch):
    monkeypatch.setenv("CDSAPI_KEY", "4711:secret")
    (check,) = examined()[0].values()
    assert "colon" in check.found
    assert "secret" not in str(check)
    assert cds.seen == []


@pytest.mark.parametrize("status", [401, 403])
def test_a_refused_key_is_never_quoted(cds, status):
    refusal = {"title": "permission denied", "detail": f"token {KEY} is not known"}
    cds.answer("POST", PAT, refusal, status=status)
    (check,) = examined()[0].values()
    assert check.health == Health.FAILED
    assert "permission denied" in check.found
    assert "how-to-api" in check.remedy
    assert KEY not in str(check)


def test_a_licence_that_was_not_accepted_names_the_page_to_visit(cds):
    cds.answer("GET", COLLECTION, collection("cc-by", "licence-to-use-copernicus-products"))
    check = examined()[0]["cds licence"]
    assert check.health == Health.FAILED
    assert "licence-to-use-copernicus-products" in check.expected
    assert PAGE in check.remedy


def test_no_accepted_licence_at_all_fails_whatever_the_catalogue_says(cds):
    cds.answer("GET", ACCEPTED, {"licences": []})
    cds.answer("GET", COLLECTION, collection())
    check = examined()[0]["cds licence"]
    assert (check.health, PAGE in check.remedy) == (Health.FAILED, True)


def test_a_data_set_that_names_no_licence_cannot_be_judged_and_says_so(cds):
    cds.answer("GET", COLLECTION, collection())
    check = examined()[0]["cds licence"]
    assert (check.health, PAGE in check.found) == (Health.SKIPPED, True)


def test_the_key_follows_no_redirect(cds, other_host):
    cds.answer("POST", PAT, status=302, headers={"Location": f"{other_host.url}{PAT}"})
    (check,) = examined()[0].values()
    assert check.health == Health.FAILED
    assert other_host.seen == []


@pytest.mark.parametrize("body", [b"<html>maintenance</html>", b"[]"])
def test_a_page_instead_of_an_answer_is_a_failure_with_a_remedy(cds, body):
    cds.answer("POST", PAT, body)
    (check,) = examined()[0].values()
    assert (check.health, "status" in check.remedy) == (Health.FAILED, True)


def test_nobody_there_is_said_after_one_attempt(cds, monkeypatch):
    monkeypatch.setenv("CDSAPI_URL", "http://127.0.0.1:9")
    (check,) = examined()[0].values()
    assert check.health == Health.FAILED
    assert "HTTPS_PROXY" in check.remedy


@pytest.fixture
def s3(monkeypatch):
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    _, port = server.get_host_and_port()
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{port}")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    yield f"http://127.0.0.1:{port}"
    server.stop()


YESTERDAY = parse_time("2025-05-01")
ANALYSIS = "gfs.20250501/00/atmos/gfs.t00z.pgrb2.0p25.f000"


def test_a_bucket_is_asked_for_an_analysis_as_the_source_does(s3):
    where, anyone = f"{s3}/noaa-gfs-bdp-pds", {"x-amz-acl": "public-read"}
    requests.put(where, headers=anyone, timeout=10).raise_for_status()
    found = Examination()
    examine_bucket("noaa-gfs-bdp-pds", "0p25", YESTERDAY, found, timeout_s=10)
    requests.put(f"{where}/{ANALYSIS}", b"GRIB", headers=anyone, timeout=10).raise_for_status()
    examine_bucket("noaa-gfs-bdp-pds", "0p25", YESTERDAY, found, timeout_s=10)
    examine_bucket("no-such-bucket", "0p25", YESTERDAY, found, timeout_s=10)
    late, there, absent = found.checks
    assert (late.health, ANALYSIS in late.expected) == (Health.WARNING, True)
    assert there.health == Health.OK, there
    assert (absent.health, "AWS_ENDPOINT_URL" in absent.remedy) == (Health.FAILED, True)
    assert abs(found.clocks["noaa-gfs-bdp-pds"]) < 60


def test_a_bucket_is_asked_with_the_key_that_the_source_uses(host, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", host.url)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "canary-5a5a")
    host.answer("HEAD", f"/b-1/{ANALYSIS}", status=403)
    found = Examination()
    examine_bucket("b-1", "0p25", YESTERDAY, found, timeout_s=10)
    (check,) = found.checks
    assert (check.health, "unset AWS_ACCESS_KEY_ID" in check.found) == (Health.FAILED, True)
    assert [(method, path) for method, path, _ in host.seen] == [("HEAD", f"/b-1/{ANALYSIS}")]
    assert "Credential=canary-5a5a" in host.authorizations[0]


def test_user_and_password_of_an_endpoint_are_not_shown(monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://user:canary-word@127.0.0.1:9")
    found = Examination()
    examine_bucket("b-1", "0p25", YESTERDAY, found, timeout_s=10)
    (check,) = found.checks
    assert check.health == Health.FAILED
    assert "canary-word" not in str(check)


def test_user_and_password_in_the_url_of_the_store_are_refused_and_not_shown(cds, monkeypatch):
    monkeypatch.setenv("CDSAPI_URL", cds.url.replace("://", "://user:canary-word@"))
    (check,) = examined()[0].values()
    assert check.health == Health.FAILED
    assert "canary-word" not in str(check)
    assert cds.seen == []


def test_each_file_host_is_looked_at(host, other_host):
    path = "/ncep/surface_gauss/air.2m.gauss.2024.nc"
    host.answer("HEAD", path, headers={"Content-Length": str(3 * 2**20)})
    config = NcepR1Source(hosts=(f"{host.url}/ncep", f"{other_host.url}/ncep"))
    found = Examination()
    examine_hosts(config, 2024, found, timeout_s=10)
    there, absent = found.checks
    assert (there.health, "3.0 MiB" in there.found) == (Health.OK, True)
    # One that has the file is enough.
    assert (absent.health, path in absent.expected) == (Health.WARNING, True)
    assert len(found.clocks) == 2
    host.answer("HEAD", path, status=503)
    found = Examination()
    examine_hosts(config, 2024, found, timeout_s=10)
    assert [check.health for check in found.checks] == [Health.FAILED] * 2


def test_a_file_host_leads_to_no_host_that_is_not_configured(host, other_host):
    path = "/ncep/surface_gauss/air.2m.gauss.2024.nc"
    host.answer("HEAD", path, status=302, headers={"Location": f"{other_host.url}{path}"})
    other_host.answer("HEAD", path)
    found = Examination()
    examine_hosts(NcepR1Source(hosts=(f"{host.url}/ncep",)), 2024, found, timeout_s=10)
    (check,) = found.checks
    assert (check.health, "source.hosts" in check.found) == (Health.FAILED, True)
    assert other_host.seen == []
    both = NcepR1Source(hosts=(f"{host.url}/ncep", f"{other_host.url}/ncep"))
    examine_hosts(both, 2024, found := Examination(), timeout_s=10)
    assert [check.health for check in found.checks] == [Health.OK] * 2


def test_a_host_tells_by_how_much_its_clock_is_ahead(host):
    host.date = "Fri, 01 Jan 2100 00:00:00 GMT"
    found = Examination()
    config = NcepR1Source(hosts=(host.url,))
    examine_hosts(config, 2024, found, timeout_s=10)
    assert next(iter(found.clocks.values())) > 365 * 86400
    found.note_clock("http://odd", "yesterday")
    found.note_clock("http://silent", None)
    assert len(found.clocks) == 1
