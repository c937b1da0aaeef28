"""Where results may come from, and what a file must be to count."""

from types import SimpleNamespace

import numpy as np
import pytest

from lsntp.errors import SourceDataError, SourceUnavailableError
from lsntp.sources.era5.delivery import Asset, absent_times, fetch_asset, require_allowed
from lsntp.sources.era5.request import Product, requests_for
from lsntp.sources.transfer import Limits
from lsntp.times import hours, parse_time

HOSTS = ("*.copernicus.eu", "*.ecmwf.int")
LIVE = "https://cds.climate.copernicus.eu/api"
HERE = "http://127.0.0.1:8080/api"
ENGLAND = Product(
    dataset="reanalysis-era5-single-levels", data_format="grib", area=(52.0, -1.0, 51.0, 0.0)
)
DAY = parse_time("2025-01-01") + np.arange(24) * hours(1)


@pytest.mark.parametrize(
    ("url", "api"),
    [
        ("https://object-store.os-api.cci2.ecmwf.int/cci2-prod-cache/a.grib", LIVE),
        ("https://CDS.climate.copernicus.eu/a.grib", LIVE),
        ("https://x.ecmwf.int:443/a.grib", LIVE),
        ("https://store.example.org:8443/a.grib", "https://store.example.org:8443/api"),
        ("http://127.0.0.1:9000/cache/a.grib", HERE),
        ("https://object-store.os-api.cci2.ecmwf.int/a.grib", HERE),
    ],
)
def test_results_come_from_the_allowed_hosts_and_the_store_itself(url, api):
    require_allowed(url, HOSTS, api)


@pytest.mark.parametrize(
    ("url", "api"),
    [
        ("http://object-store.os-api.cci2.ecmwf.int/a.grib", LIVE),
        ("https://ecmwf.int.example.org/a.grib", LIVE),
        ("https://notecmwf.int/a.grib", LIVE),
        ("https://user:word@cds.climate.copernicus.eu/a.grib", LIVE),
        ("http://127.0.0.1/a.grib", LIVE),
        ("http://169.254.169.254/latest/meta-data", HERE),
        ("file:///etc/passwd", HERE),
        ("ftp://data.ecmwf.int/a.grib", LIVE),
        ("", LIVE),
        ("https://[bad", LIVE),
        ("https://[bad/x", LIVE),
        ("https://x.ecmwf.int:abc/a.grib", LIVE),
        ("https://x.ecmwf.int:99999/a.grib", LIVE),
        ("https://x.ecmwf.int:22/a.grib", LIVE),
        ("https://cds.climate.copernicus.eu:8443/a.grib", LIVE),
        ("https://evil.com\\.ecmwf.int/a.grib", LIVE),
        ("https://evil.com%2f.ecmwf.int/a.grib", LIVE),
        ("https://evil.com#.ecmwf.int/a.grib", LIVE),
        ("https://evil.com\t.ecmwf.int/a.grib", LIVE),
        ("https://\u2603.ecmwf.int/a.grib", LIVE),
        ("\x00https://x.ecmwf.int/a.grib", LIVE),
        ("/relative/a.grib", LIVE),
    ],
)
def test_results_from_anywhere_else_are_refused(url, api):
    with pytest.raises(SourceDataError, match="nothing was fetched"):
        require_allowed(url, HOSTS, api)


def test_a_result_far_larger_than_its_fields_is_not_fetched(tmp_path):
    (request,) = requests_for(DAY[:1], ENGLAND)
    with pytest.raises(SourceDataError, match="at most"):
        fetch_asset(
            Asset("http://127.0.0.1:9/a.grib", 10**8, ""),
            request,
            tmp_path / "a.grib",
            limits=lambda most: Limits(max_bytes=most),
        )


def test_a_result_without_a_file_is_no_result():
    results = SimpleNamespace(asset={"type": "application/x-grib"}, content_length=5)
    with pytest.raises(SourceUnavailableError, match="KeyError"):
        Asset.of(results)


@pytest.fixture
def first_day(england_file, tmp_path):
    """The messages of 1 January 2025, 158 bytes each, without the last four."""
    path = tmp_path / "day.grib"
    path.write_bytes(england_file.read_bytes()[: 20 * 158])
    return path


def test_the_times_that_are_missing_are_told(first_day):
    (request,) = requests_for(DAY, ENGLAND)
    np.testing.assert_array_equal(absent_times(first_day, request), DAY[20:])


def test_times_that_were_not_asked_for_are_refused(first_day):
    (request,) = requests_for(DAY[:6], ENGLAND)
    with pytest.raises(SourceDataError, match=r"14 others \(first: 2025-01-01T06:00Z\)"):
        absent_times(first_day, request)


@pytest.mark.parametrize(
    "area",
    [
        (52.25, -1.0, 51.25, 0.0),
        (52.0, -1.25, 51.0, -0.25),
        (52.0, -1.0, 51.0, 0.25),
        (51.75, -1.0, 51.0, 0.0),
    ],
)
def test_a_file_on_other_cells_is_refused(first_day, area):
    (request,) = requests_for(DAY, ENGLAND.model_copy(update={"area": area}))
    with pytest.raises(SourceDataError, match=r"found 52\.\.51 N, -1\.\.0 E \(5 x 5 cells\)"):
        absent_times(first_day, request)


def test_longitudes_may_follow_another_convention(first_day):
    turned = ENGLAND.model_copy(update={"area": (52.0, 359.0, 51.0, 360.0)})
    (request,) = requests_for(DAY, turned)
    assert absent_times(first_day, request).size == 4
