"""Static fields by byte range from a bucket, with the real messages of a whole GFS file."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import eccodes
import numpy as np
import pytest
import xarray as xr

from lsntp.config import Domain
from lsntp.errors import CredentialsError, SourceDataError, SourceUnavailableError
from lsntp.static import make_static
from lsntp.times import Instant, parse_time
from lsntp.workspace import Workspace
from tests.standins.gfs import split
from tests.standins.s3 import S3

NOW = parse_time("2024-03-05T13")
KEY = "gfs.{day}/00/atmos/gfs.t00z.pgrb2.1p00.f000"
EUROPE = {"kind": "regular", "north": 60, "south": 40, "west": -10, "east": 10, "spacing": 2.5}
NAMES = {(228002, "surface"): "HGT:surface", (172, "surface"): "LAND:surface"}


def header(message: bytes) -> tuple[int, str]:
    handle = eccodes.codes_new_from_message(message)
    found = (eccodes.codes_get(handle, "paramId"), eccodes.codes_get(handle, "typeOfLevel"))
    eccodes.codes_release(handle)
    return found


@pytest.fixture(scope="session")
def ground(shared_data: Path) -> list[bytes]:
    """Height, another field, and land, 2.5 degrees: real messages of a forecast."""
    whole = (shared_data / "gfs/gfs.t12z.pgrbf120.2p5deg.grib2").read_bytes()
    messages = {header(message): message for message in split(whole)}
    return [
        messages[228002, "surface"],
        messages[167, "heightAboveGround"],
        messages[172, "surface"],
    ]


@pytest.fixture
def publish(bucket: S3, ground: list[bytes]) -> Callable[..., int]:
    """Puts the object of a day and its index; returns the size of the two messages."""

    def put(day: str = "20240304", *, shift: int = 0, names: dict[Any, str] = NAMES) -> int:
        content, lines = b"", []
        for number, message in enumerate([ground[1], *ground, ground[1]], 1):
            name = names.get(header(message), "TMP:2 m above ground")
            lines.append(f"{number}:{len(content) + shift}:d={day}00:{name}:anl:\n")
            content += message
        key = KEY.format(day=day)
        bucket.put(key, content)
        bucket.put(f"{key}.idx", "".join(lines).encode())
        bucket.forget()
        return len(ground[0]) + len(ground[2])

    return put


@pytest.fixture
def domain(domain_of: Callable[..., Domain], bucket: S3) -> Domain:
    settings = {"bucket": bucket.bucket, "resolution": "1p00", "pause_s": 0.01, "retries": 1}
    return domain_of(grid=EUROPE, static={"source": "gfs", **settings})


def made(domain: Domain, now: Instant = NOW) -> xr.Dataset:
    assert make_static(domain, clock=lambda: now) is not None
    return xr.open_zarr(Workspace.of(domain).static, chunks=None).compute()


def test_two_byte_ranges_of_yesterdays_analysis_are_the_fields(
    domain: Domain, publish: Callable[..., int], bucket: S3, ground: list[bytes]
) -> None:
    size = publish()
    fields = made(domain)
    ranges = [request for request in bucket.requests if request.range]
    assert len(ranges) == 2
    assert sum(request.sent for request in ranges) == size
    assert fields.attrs["source"] == f"GFS analysis (1p00) of s3://{bucket.bucket}"
    for name, message in (("orography", ground[0]), ("land_fraction", ground[2])):
        handle = eccodes.codes_new_from_message(message)
        values = eccodes.codes_get_array(handle, "values").reshape(73, 144)
        eccodes.codes_release(handle)
        # The domain's cells are those of the file: 47.5 N is row 17, 7.5 E column 3 (the Alps).
        stored = fields[name].sel(latitude=47.5, longitude=7.5).item()
        assert stored == pytest.approx(values[17, 3], rel=1e-6)
        west = fields[name].sel(latitude=47.5, longitude=-7.5).item()
        assert west == pytest.approx(values[17, 141], rel=1e-6, abs=1e-9)


def test_a_second_run_asks_the_bucket_nothing(
    domain: Domain, publish: Callable[..., int], bucket: S3
) -> None:
    publish()
    made(domain)
    bucket.forget()
    report = make_static(domain, clock=lambda: parse_time("2024-04-01"))
    assert report is not None
    assert report.did_nothing
    assert bucket.requests == []


@pytest.mark.parametrize("wrong", ["absent", "shifted", "swapped"])
def test_an_index_that_is_wrong_leads_to_the_analysis_of_the_day_before(
    domain: Domain,
    publish: Callable[..., int],
    wrong: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    publish("20240303")
    if wrong == "shifted":
        publish("20240304", shift=100)
    if wrong == "swapped":
        publish("20240304", names=dict(zip(NAMES, reversed(NAMES.values()), strict=True)))
    assert 300 < made(domain).orography.max().item() < 3000
    assert "no static fields in" in caplog.text
    assert "gfs.20240304" in caplog.text


def test_without_any_analysis_the_last_fault_is_told(domain: Domain, bucket: S3) -> None:
    with pytest.raises(SourceDataError, match=r"of the last 5 days.*gfs\.20240229.*no such object"):
        make_static(domain, clock=lambda: NOW)
    assert not Workspace.of(domain).static.exists()


def test_a_bucket_out_of_reach_is_unavailable_and_one_that_refuses_needs_a_person(
    domain: Domain, publish: Callable[..., int], bucket: S3
) -> None:
    publish()
    bucket.fail("HEAD", "f000", 503, "SlowDown", times=9)
    with pytest.raises(SourceUnavailableError):
        make_static(domain, clock=lambda: NOW)
    bucket.forget()
    bucket.fail("HEAD", "f000", 403, "AccessDenied", times=9)
    with pytest.raises(CredentialsError):
        make_static(domain, clock=lambda: NOW)
    bucket.forget()
    assert np.isfinite(made(domain).orography).all()
