"""Static fields on the domain's grid: by hand on four cells, and from the real files."""

import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import eccodes
import netCDF4
import numpy as np
import pytest
import xarray as xr

from lsntp.config import Domain
from lsntp.errors import DomainError, SourceDataError
from lsntp.static import make_static
from lsntp.times import parse_time
from lsntp.workspace import Workspace
from tests.lsntp.ingest_files import stored_bytes

Make = Callable[..., Any]
NOW = parse_time("2020-02-01")
SHARES = np.array([[1.0, 1, 0, 0], [1, 1, 0, 0], [1, 0, 0, 0], [1, 0, 0, 1]])
HEIGHTS = np.array([[100.0, 300, 0, 0], [100, 300, 0, 0], [50, 10, 0, 0], [50, 10, 0, 40]])


def band(south: float, north: float) -> float:
    """Area of a band of latitude, up to a factor."""
    return float(np.sin(np.radians(north)) - np.sin(np.radians(south)))


def made(domain: Domain) -> xr.Dataset:
    assert make_static(domain, clock=lambda: NOW) is not None
    return xr.open_zarr(Workspace.of(domain).static, chunks=None).compute()


def test_cells_hold_the_mean_over_their_area_by_hand(domain_of: Make, write_field: Make) -> None:
    z = write_field("z", 9.80665 * HEIGHTS, units="m**2 s**-2")
    lsm = write_field("lsm", SHARES, units="(0 - 1)")
    fields = made(domain_of(z, lsm))
    # Rows of one domain row share a longitude; in the south-east the rows differ: 48..49 N weighs
    # more than 49..50 N.
    upper, lower = band(49, 50), band(48, 49)
    southern = lower / (upper + lower)
    heights = [[200.0, 0.0], [30.0, 20.0 * southern]]
    shares = [[1.0, 0.0], [0.5, 0.5 * southern]]
    assert fields.orography.values == pytest.approx(np.array(heights), abs=1e-3)
    assert fields.land_fraction.values == pytest.approx(np.array(shares), abs=1e-6)
    assert fields.orography.dims == ("latitude", "longitude")
    assert list(fields.latitude) == [51, 49]
    assert list(fields.longitude) == [0, 2]


def test_a_reader_learns_units_and_provenance(domain_of: Make, write_field: Make) -> None:
    z = write_field("z", 9.80665 * HEIGHTS, units="m**2 s**-2")
    lsm = write_field("lsm", SHARES)
    fields = made(domain_of(z, lsm))
    assert fields.orography.attrs["units"] == "m"
    assert fields.orography.attrs["standard_name"] == "surface_altitude"
    assert fields.land_fraction.attrs["units"] == "1"
    assert fields.land_fraction.attrs["standard_name"] == "land_area_fraction"
    assert fields.attrs["Conventions"] == "CF-1.11"
    assert fields.attrs["source"] == "files: z.nc, lsm.nc"
    assert "2020-02-01T00:00Z made by lsntp" in fields.attrs["history"]
    assert len(fields.attrs["lsntp_inputs"]) == 64
    assert "domain: ground" in fields.attrs["lsntp_configuration"]


def test_a_second_run_does_nothing_and_a_changed_file_makes_them_again(
    domain_of: Make, write_field: Make
) -> None:
    z = write_field("z", 9.80665 * HEIGHTS, units="m**2 s**-2")
    lsm = write_field("lsm", SHARES)
    domain = domain_of(z, lsm)
    first = make_static(domain, clock=lambda: NOW)
    before = stored_bytes(Workspace.of(domain).static)
    second = make_static(domain, clock=lambda: parse_time("2020-03-01"))
    assert first is not None
    assert second is not None
    assert (first.did_nothing, second.did_nothing) == (False, True)
    assert stored_bytes(Workspace.of(domain).static) == before
    write_field("lsm", 1 - SHARES)
    assert made(domain).land_fraction.values[0] == pytest.approx([0.0, 1.0])
    siblings = {path.name for path in Workspace.of(domain).static.parent.iterdir()}
    assert siblings == {"ground.zarr", "ground.zarr.lock"}


def test_a_domain_without_static_fields_has_none(domain_of: Make) -> None:
    domain = domain_of()
    assert domain.static is None
    assert make_static(domain) is None
    assert not Workspace.of(domain).root.exists()


@pytest.mark.parametrize(
    ("name", "units", "attrs", "factor"),
    [
        ("z", "m2 s-2", {}, 9.80665),
        ("anything", "m**2 s**-2", {"GRIB_paramId": 129}, 9.80665),
        ("orog", "m", {}, 1.0),
        ("HGT_surface", "gpm", {}, 1.0),
        ("anything", "m", {"standard_name": "surface_altitude"}, 1.0),
    ],
)
def test_height_is_known_by_its_metadata_and_its_unit(
    domain_of: Make,
    write_field: Make,
    name: str,
    units: str,
    attrs: dict[str, Any],
    factor: float,
) -> None:
    height = write_field(name, factor * HEIGHTS, units=units, file="height.nc", **attrs)
    fields = made(domain_of(height, write_field("lsm", SHARES)))
    assert fields.orography.values[0] == pytest.approx([200, 0], abs=1e-3)


@pytest.mark.parametrize(
    ("name", "units", "factor"), [("sftlf", "%", 100.0), ("lsmask", "none", -1.0), ("land", "1", 1)]
)
def test_land_is_known_as_share_percentage_or_mask(
    domain_of: Make, write_field: Make, name: str, units: str, factor: float
) -> None:
    height = write_field("orog", HEIGHTS, units="m")
    land = write_field(name, factor * SHARES, units=units)
    fields = made(domain_of(height, land))
    assert fields.land_fraction.values[0] == pytest.approx([1, 0])
    assert fields.land_fraction.values[1, 0] == pytest.approx(0.5)


def test_a_sea_floor_is_no_height_of_the_ground_but_a_polder_is(
    domain_of: Make, write_field: Make
) -> None:
    lsm = write_field("lsm", SHARES)
    polder = np.where(SHARES == 0, -4.0, HEIGHTS)
    low = made(domain_of(write_field("orog", polder, units="m"), lsm))
    assert low.orography.values[0] == pytest.approx([200, -4])
    floor = np.where(SHARES == 0, -3000.0, HEIGHTS)
    assert made(domain_of(write_field("orog", floor, units="m"), lsm)).orography.values[
        0
    ] == pytest.approx([200, 0])


def test_cells_beside_a_gap_of_the_source_have_no_value_and_the_report_counts_them(
    domain_of: Make, write_field: Make, caplog: pytest.LogCaptureFixture
) -> None:
    shares = SHARES.copy()
    shares[3, 3] = np.nan
    domain = domain_of(write_field("orog", HEIGHTS, units="m"), write_field("lsm", shares))
    report = make_static(domain, clock=lambda: NOW)
    assert report is not None
    assert report.missing_cells == {"orography": 0, "land_fraction": 1}
    assert "no value in 1 (land_fraction) cells" in caplog.text
    fields = made(domain)
    assert fields.land_fraction.isnull().values.tolist() == [[False, False], [False, True]]


def test_a_field_without_any_value_here_is_refused(domain_of: Make, write_field: Make) -> None:
    lsm = write_field("lsm", np.full((4, 4), np.nan))
    with pytest.raises(SourceDataError, match="Expected values of land_fraction inside the domain"):
        make_static(domain_of(write_field("orog", HEIGHTS, units="m"), lsm))


def test_fields_that_do_not_cover_the_domain_are_refused(
    domain_of: Make, write_field: Make
) -> None:
    lsm = write_field("lsm", SHARES, longitude=np.array([9.5, 10.5, 11.5, 12.5]))
    domain = domain_of(write_field("orog", HEIGHTS, units="m"), lsm)
    with pytest.raises(DomainError, match=r"Expected data that cover the domain .*lsm\.nc"):
        make_static(domain)
    assert not Workspace.of(domain).static.exists()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"orog": (HEIGHTS, "m")}, "for land_fraction: none"),
        ({"lsm": (SHARES, "1"), "t2m": (HEIGHTS, "K")}, "for orography: none"),
        (
            {"orog": (HEIGHTS, "m"), "z": (HEIGHTS, "m2 s-2"), "lsm": (SHARES, "1")},
            "for orography: orog of .*, z of ",
        ),
        ({"orog": (HEIGHTS, "ft"), "lsm": (SHARES, "1")}, "height in m in orog.*units 'ft'"),
        ({"orog": (HEIGHTS, "m"), "lsm": (3 * SHARES, "1")}, r"within 0\.\.1 in lsm.*0\.\.3"),
        (
            {"orog": (HEIGHTS, "m"), "lsm": (np.stack([SHARES, 1 - SHARES]), "1")},
            "lsm .*same at all times, found it changing",
        ),
    ],
    ids=["no land", "no height", "two heights", "feet", "no shares", "changing"],
)
def test_what_is_lacking_or_double_or_wrong_is_said(
    domain_of: Make, write_field: Make, content: dict[str, Any], said: str
) -> None:
    paths = [write_field(name, values, units=units) for name, (values, units) in content.items()]
    with pytest.raises(SourceDataError, match=said):
        make_static(domain_of(*paths))


@pytest.mark.parametrize("content", [b"", b"<html>", b"GRIB but no more", b"\x89HDF\r\n\x1a\n"])
def test_a_file_of_no_format_is_named(
    domain_of: Make, write_field: Make, tmp_path: Path, content: bytes
) -> None:
    (tmp_path / "broken.nc").write_bytes(content)
    with pytest.raises(SourceDataError, match=r"broken\.nc"):
        make_static(domain_of(write_field("orog", HEIGHTS, units="m"), tmp_path / "broken.nc"))


def test_a_pattern_without_a_file_is_named(domain_of: Make, tmp_path: Path) -> None:
    with pytest.raises(SourceDataError, match=r"matching .*nowhere.*correct static\.paths"):
        make_static(domain_of(tmp_path / "nowhere*.nc"))


def test_a_replacement_cut_short_between_its_renames_loses_nothing(
    domain_of: Make, write_field: Make
) -> None:
    domain = domain_of(write_field("orog", HEIGHTS, units="m"), write_field("lsm", SHARES))
    before = made(domain)
    path = Workspace.of(domain).static
    path.rename(path.with_name("ground.zarr.before"))
    path.with_name("ground.zarr.partial").mkdir()
    report = make_static(domain)
    assert report is not None
    assert report.did_nothing
    xr.testing.assert_identical(made(domain), before)


KILLED = """
import os, signal, sys
from pathlib import Path
from lsntp.config import load_domain
from lsntp.static import make_static
kept, count = Path.rename, [int(sys.argv[2])]
def mortal(self, target):
    count[0] -= 1
    if count[0] < 0:
        os.kill(os.getpid(), signal.SIGKILL)
    return kept(self, target)
Path.rename = mortal
make_static(load_domain(sys.argv[1]))
"""


@pytest.mark.parametrize("renames", [0, 1])
def test_after_a_kill_before_any_rename_the_next_run_completes(
    domain_of: Make, write_field: Make, tmp_path: Path, renames: int
) -> None:
    height = write_field("orog", HEIGHTS, units="m")
    domain = domain_of(height, write_field("lsm", SHARES))
    made(domain)
    write_field("orog", 2 * HEIGHTS, units="m")
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(tmp_path / "ground.yaml"), str(renames)],
        check=False,
        capture_output=True,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert made(domain).orography.values[0] == pytest.approx([400, 0], abs=1e-3)


@pytest.fixture
def global_files(shared_data: Path) -> list[Path]:
    return [shared_data / "static/etopo20.nc", shared_data / "static/era5_landmask_0.25.nc"]


BRITAIN = {"kind": "regular", "north": 58, "south": 50, "west": -10, "east": 2, "spacing": 1}


def test_the_real_fields_know_sea_plain_and_mountain(
    domain_of: Make, global_files: list[Path]
) -> None:
    fields = made(domain_of(*global_files, grid=BRITAIN))
    at = fields.sel(latitude=57, longitude=-4)  # the Cairngorms
    assert at.land_fraction.item() > 0.95
    assert 200 < at.orography.item() < 800
    sea = fields.sel(latitude=55, longitude=2)  # the North Sea, 30 to 50 m deep
    assert sea.land_fraction.item() == 0
    assert sea.orography.item() == 0
    fens = fields.sel(latitude=53, longitude=0)
    assert 0 <= fens.orography.item() < 60
    # The same mean from the netCDF library, with areas by hand: 1 degree is four cells of 0.25
    # and half of the two beside them.
    with netCDF4.Dataset(global_files[1]) as mask:
        latitude, longitude = np.asarray(mask["latitude"][:]), np.asarray(mask["longitude"][:])
        rows = np.flatnonzero(np.abs(latitude - 51) < 0.6)
        columns = np.flatnonzero(np.abs(longitude - 359) < 0.6)
        values = np.asarray(mask["land"][rows][:, columns])
    halves = np.array([0.5, 1, 1, 1, 0.5])
    edges = np.clip(np.stack([latitude[rows] - 0.125, latitude[rows] + 0.125]), 50.5, 51.5)
    areas = np.diff(np.sin(np.radians(edges)), axis=0)[0]
    expected = np.average(np.average(values, axis=1, weights=halves), weights=areas)
    assert fields.land_fraction.sel(latitude=51, longitude=-1).item() == pytest.approx(
        expected, abs=1e-5
    )


def test_the_real_mask_has_no_values_south_of_60_degrees(
    domain_of: Make, global_files: list[Path]
) -> None:
    south = {"kind": "regular", "north": -55, "south": -65, "west": -70, "east": -60, "spacing": 1}
    fields = made(domain_of(*global_files, grid=south))
    is_missing = fields.land_fraction.isnull().all("longitude")
    assert not is_missing.sel(latitude=-59).item()
    assert is_missing.sel(latitude=-61).item()
    assert not fields.orography.isnull().any()
    polar = {"kind": "regular", "north": -70, "south": -80, "west": 0, "east": 10, "spacing": 1}
    with pytest.raises(SourceDataError, match="Expected values of land_fraction inside the domain"):
        make_static(domain_of(*global_files, grid=polar))


def test_the_real_grib_mask_lies_where_its_header_says(domain_of: Make, shared_data: Path) -> None:
    """Its last longitude is 0.25 W behind a first of 0 E, which is once round the globe."""
    grib = shared_data / "static/gfs_landmask_0p25.grib1"
    height = shared_data / "static/etopo20.nc"
    native = {"kind": "regular", "north": 58, "south": 50, "west": -10, "east": 2, "spacing": 0.25}
    found = made(domain_of(height, grib, grid=native)).land_fraction
    with grib.open("rb") as file:
        message = eccodes.codes_grib_new_from_file(file)
        values = eccodes.codes_get_array(message, "values").reshape(721, 1440)
        eccodes.codes_release(message)
    for latitude, longitude in ((51.5, -1.0), (50.0, -3.0), (50.5, -4.75), (53.0, 0.0)):
        row, column = round((90 - latitude) / 0.25), round(longitude % 360 / 0.25)
        stored = found.sel(latitude=latitude, longitude=longitude).item()
        assert stored == values[row, column], (latitude, longitude)
    # Of all shifts along longitude the coasts fit those of another model best where they lie.
    mask = shared_data / "static/era5_landmask_0.25.nc"
    other = made(domain_of(height, mask, grid=native)).land_fraction
    inner = (other > 0.5).values[:, 2:-2]
    misses = [
        np.mean(inner != (found > 0.5).values[:, 2 + shift : inner.shape[1] + 2 + shift])
        for shift in (-2, -1, 0, 1, 2)
    ]
    assert int(np.argmin(misses)) == 2


def test_the_real_gaussian_mask_fills_the_domain_of_the_reanalysis(
    domain_of: Make, shared_data: Path
) -> None:
    paths = [shared_data / "static/etopo20.nc", shared_data / "static/ncep_gauss_lsmask.19294.nc"]
    china = {"kind": "gaussian", "north": 54.3, "south": 16.1, "west": 73.1, "east": 136.9}
    fields = made(domain_of(*paths, grid=china))
    assert fields.land_fraction.shape == (21, 35)
    assert set(np.unique(fields.land_fraction)) == {0.0, 1.0}  # its own cells
    tibet = fields.sel(latitude=33, longitude=90, method="nearest")
    assert tibet.land_fraction.item() == 1
    assert 4000 < tibet.orography.item() < 6000


def test_in_a_bucket_they_are_those_of_a_disk(
    domain_of: Make, write_field: Make, archive_bucket: Any
) -> None:
    z = write_field("z", 9.80665 * HEIGHTS, units="m**2 s**-2")
    land = write_field("lsm", SHARES, units="(0 - 1)", file="land")
    on_disk = made(domain_of(z, land))
    domain = domain_of(z, land, root=f"s3://{archive_bucket.bucket}/root")
    assert make_static(domain, clock=lambda: NOW) is not None
    with xr.open_zarr(str(Workspace.of(domain).static), chunks=None) as stored:
        found = stored.load()
    assert found.attrs.pop("lsntp_configuration") != on_disk.attrs.pop("lsntp_configuration")
    xr.testing.assert_identical(found, on_disk)
