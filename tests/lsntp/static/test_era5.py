"""Static fields from a Climate Data Store, with the real land mask and real heights.

The real mask is a netCDF and the heights are ETOPO's: both are written as the GRIB that the store
would deliver for the asked box.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import eccodes
import netCDF4
import numpy as np
import pytest
import xarray as xr

from lsntp.config import Domain
from lsntp.errors import CredentialsError, SourceDataError, SourceUnavailableError
from lsntp.sources.era5.request import asked_box
from lsntp.static import make_static
from lsntp.times import hours, parse_time
from lsntp.workspace import Workspace
from tests.standins.cds import CORRUPT, CUT, GONE, HTML, LICENCE, UNAVAILABLE, CdsServer

TIME = np.datetime64("2020-01-01", "ns")
NOW = parse_time("2024-01-01")
WALES = {"kind": "regular", "north": 53, "south": 52, "west": -4.5, "east": -3, "spacing": 0.25}
PATIENT = {"retries": 3, "pause_s": 0.02, "timeout_s": 20, "deadline_minutes": 2}


def message(parameter: int, values: np.ndarray, box: tuple[float, ...]) -> bytes:
    """A field of ERA5 on its 0.25 degrees."""
    north, west, south, east = box
    handle = eccodes.codes_grib_new_from_samples("regular_ll_sfc_grib1")
    rows, columns = values.shape
    settings = {
        "Ni": columns,
        "Nj": rows,
        "latitudeOfFirstGridPointInDegrees": north,
        "latitudeOfLastGridPointInDegrees": south,
        "longitudeOfFirstGridPointInDegrees": west,
        "longitudeOfLastGridPointInDegrees": east,
        "iDirectionIncrementInDegrees": 0.25,
        "jDirectionIncrementInDegrees": 0.25,
        "paramId": parameter,
        "dataDate": 20200101,
        "bitsPerValue": 24,
    }
    for key, value in settings.items():
        eccodes.codes_set(handle, key, value)
    eccodes.codes_set_values(handle, values.ravel())
    content: bytes = eccodes.codes_get_message(handle)
    eccodes.codes_release(handle)
    return content


@pytest.fixture
def domain(domain_of: Callable[..., Domain]) -> Domain:
    return domain_of(grid=WALES, static={"source": "era5", **PATIENT})


@pytest.fixture
def real(shared_data: Path, domain: Domain) -> dict[str, np.ndarray]:
    """Share of land and height in the asked box, native cells."""
    north, west, south, east = asked_box(domain.target_grid)
    latitude = np.arange(north, south - 0.01, -0.25)
    longitude = np.arange(west, east + 0.01, 0.25)
    with netCDF4.Dataset(shared_data / "static/era5_landmask_0.25.nc") as mask:
        rows = np.round((90 - latitude) / 0.25).astype(int)
        columns = np.round(longitude % 360 / 0.25).astype(int)
        land = np.asarray(mask["land"][rows][:, columns], np.float64)
    with xr.open_dataset(shared_data / "static/etopo20.nc") as etopo:
        height = etopo.z.interp(lat=latitude, lon=longitude + 360).to_numpy().clip(0)
    return {"land_fraction": land, "orography": height}


@pytest.fixture
def cds(
    domain: Domain, real: dict[str, np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> Iterator[CdsServer]:
    box = asked_box(domain.target_grid)
    with CdsServer([]) as server:
        z = message(129, 9.80665 * real["orography"], box)
        server.serve(TIME, z + message(172, real["land_fraction"], box))
        for name, value in server.environment.items():
            monkeypatch.setenv(name, value)
        yield server


def made(domain: Domain) -> xr.Dataset:
    assert make_static(domain, clock=lambda: NOW) is not None
    return xr.open_zarr(Workspace.of(domain).static, chunks=None).compute()


def test_one_small_request_brings_both_fields(
    domain: Domain, cds: CdsServer, real: dict[str, np.ndarray]
) -> None:
    fields = made(domain)
    (asked,) = cds.accepted
    assert asked["variable"] == ["geopotential", "land_sea_mask"]
    assert asked["area"] == [53.25, -4.75, 51.75, -2.75]
    assert (asked["day"], asked["time"], asked["data_format"]) == (["01"], ["00:00"], "grib")
    # The domain's cells are ERA5's own: a crop of one row and column on each side.
    for name, values in real.items():
        assert fields[name].values == pytest.approx(values[1:-1, 1:-1], abs=2e-3)
    assert fields.orography.max() > 200
    assert fields.attrs["source"].startswith("ERA5 geopotential and land_sea_mask")
    assert cds.tokens_at_the_store() == []


def test_a_second_run_asks_nothing_and_a_lost_store_is_made_from_the_kept_file(
    domain: Domain, cds: CdsServer
) -> None:
    before = made(domain)
    calls = len(cds.calls)
    made(domain)
    Workspace.of(domain).static.rename(Workspace.of(domain).root / "moved")
    xr.testing.assert_identical(made(domain), before)
    assert len(cds.calls) == calls


@pytest.mark.parametrize(
    ("endpoint", "faults"),
    [
        ("process", [UNAVAILABLE]),
        ("execution", [UNAVAILABLE]),
        ("job", [UNAVAILABLE] * 2),
        ("asset", [CUT]),
        ("asset", [CORRUPT]),
    ],
)
def test_faults_that_pass_are_outlived_with_one_job(
    domain: Domain, cds: CdsServer, endpoint: str, faults: list[Any]
) -> None:
    cds.cue(endpoint, *faults)
    assert made(domain).orography.max() > 200
    assert len(cds.accepted) == 1


def test_a_run_whose_time_is_over_leaves_its_job_to_the_next(
    domain: Domain, cds: CdsServer
) -> None:
    cds.is_held = True
    hurried = domain.model_copy(
        update={"static": domain.static.model_copy(update={"deadline_minutes": 0.005})}
    )
    with pytest.raises(SourceUnavailableError, match="jobs stay queued and the next run"):
        make_static(hurried)
    cds.is_held = False
    made(domain)
    assert len(cds.accepted) == 1


def test_a_job_that_vanished_is_submitted_anew(domain: Domain, cds: CdsServer) -> None:
    cds.cue("results", GONE)
    made(domain)
    assert len(cds.accepted) == 2


def test_a_failed_job_is_told_and_rests_before_it_is_submitted_anew(
    domain: Domain, cds: CdsServer
) -> None:
    cds.end = ("failed", "MARS returned no data")
    for _ in range(2):
        with pytest.raises(SourceDataError, match="MARS returned no data"):
            make_static(domain, clock=lambda: NOW - hours(6))
    assert len(cds.accepted) == 1
    cds.end = ("successful", "")
    made(domain)
    assert len(cds.accepted) == 2


def test_a_result_at_a_forbidden_host_is_told_and_its_job_kept(
    domain: Domain, cds: CdsServer
) -> None:
    cds.asset_url_base = "https://example.org"
    with pytest.raises(SourceDataError, match=r"source\.hosts"):
        make_static(domain)
    cds.asset_url_base = None
    made(domain)
    assert len(cds.accepted) == 1


def test_a_licence_that_is_not_accepted_needs_a_person(domain: Domain, cds: CdsServer) -> None:
    cds.cue("execution", LICENCE)
    with pytest.raises(CredentialsError, match="licence") as caught:
        make_static(domain)
    assert cds.key not in str(caught.value)


def test_other_fields_than_asked_for_are_not_used(
    domain: Domain, cds: CdsServer, real: dict[str, np.ndarray]
) -> None:
    box = asked_box(domain.target_grid)
    cds.serve(TIME, message(167, 280 + real["orography"], box))
    with pytest.raises(SourceDataError, match="found neither"):
        make_static(domain)
    assert not Workspace.of(domain).static.exists()
    assert list((Workspace.of(domain).work / "static").glob("*.grib")) == []


def test_a_page_in_place_of_the_result_is_not_used(domain: Domain, cds: CdsServer) -> None:
    cds.cue("asset", *[HTML] * 4)
    with pytest.raises(SourceUnavailableError):
        make_static(domain)
    assert made(domain).orography.max() > 200
