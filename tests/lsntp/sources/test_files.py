import logging
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import eccodes
import netCDF4
import numpy as np
import pytest
import xarray as xr

from lsntp.config import load_domain
from lsntp.errors import DomainError, LsntpError, SourceDataError
from lsntp.grid import Grid, regular_grid
from lsntp.names import Status
from lsntp.sources import open_source
from lsntp.sources.files import FileSource
from lsntp.times import Period, hours, parse_time

EVER = Period.parse("1900-01-01", "2100-01-01")
AREA = Grid(np.array([51.0, 50.0]), np.array([-1.0, 0.0, 1.0]))
START = parse_time("2020-01-01")
Make = Callable[..., xr.Dataset]
Write = Callable[..., Path]


def source(*paths: Path | str, cadence_h: float = 1) -> FileSource:
    return FileSource(
        [str(path) for path in paths], origin=parse_time("1900-01-01"), cadence=hours(cadence_h)
    )


def box(north: float, south: float, west: float, east: float, spacing: float) -> Grid:
    return regular_grid(north=north, south=south, west=west, east=east, spacing=spacing)


# --- real files ------------------------------------------------------------------------------


UK = "era5/era5_t2m_1h_uk_2019-03.grib"
NCEP = "ncep/air.sig995.namerica.2013-01_2014-04.nc"

DELIVERED = {
    "era5/cds_zip_payload_java_2026-01.zip": (124, box(-7, -8, 110, 111, 0.25), 292.61, 306.11),
    "era5/era5_5fields_samerica_2024-02-03T17.grib": (1, box(10, -50, -80, -40, 1), 273.69, 318.0),
    "era5/era5_oper_instant_1h_cornwall_2018-05.nc": (
        744,
        box(50.5, 50, -5.75, -5, 0.25),
        275,
        296,
    ),
    "era5/era5_t2m_1h_berlin_2017-01_2017-08.nc": (
        5832,
        Grid(np.array([52.6, 52.35]), np.array([13.1, 13.35, 13.6])),
        263.49,
        305.65,
    ),
    "era5/era5_t2m_1h_england_2025-01_2025-03_expver_mix.grib": (
        2160,
        box(52, 51, -1, 0, 0.25),
        266.16,
        292.20,
    ),
    UK: (744, box(58, 50, -10, 2, 0.25), 265.68, 291.56),
    "era5/era5_t2m_3h_italy_2022-05-01_2022-06-10.nc": (328, box(46, 37, 7, 18, 1), 268, 315),
    "era5/era5_t2m_natlantic_2023-01-01T12.nc": (1, box(60, 40, -20, 5, 0.5), 230.4, 297.2),
    "era5/era5_t2m_u10_v10_3h_gulf_2003.nc": (2920, box(28, 24.25, 48, 55, 0.25), 270.68, 322.23),
    "era5/era5_t2m_u10_v10_3h_gulf_2004.nc": (2928, box(28, 24.25, 48, 55, 0.25), 269.36, 322.65),
    "era5/era5_t2m_u10_v10_3h_gulf_2005.nc": (2920, box(28, 24.25, 48, 55, 0.25), 269.66, 323.23),
    "gfs/gfs_1p00_2026061800_anl_TMP_2m.grib2": (1, box(54, 16, 73, 135, 0.5), 206.75, 315.57),
    NCEP: (1940, box(75, 15, -160, -30, 2.5), 221.0, 315.8),
}
"""File -> number of times, an area inside it, and the range its description gives."""

REFUSED = {
    "era5/era5_monthly_expver_dim_italy_1940-2023.nc": "monthly means",
    "era5/era5_point_1h_tamar_2014.nc": "a single place",
    "era5/era5_point_1h_tamar_2015.nc": "a single place",
    "era5/era5_point_1h_tamar_2016.nc": "a single place",
    "era5/era5_point_1h_tamar_2017.nc": "a single place",
    "era5/era5_tas_pr_1h_point_lacstjean_2014-2018.nc": "a point series tas",
    "ncep/air.sig995.2012.global_1day.nc": "none for air with dimensions x: 73, y: 144",
    "gfs/gefs_0p50_2021041600_spr_f006_TMP_2m.grib2": "ensemble statistic .*derivedForecast 2",
    "gfs/gfs.t12z.pgrbf120.2p5deg.grib2": "a forecast .step 120",
    "gfs/gfs_20210509T06_f000_APTMP.grib": "found: aptmp",
    "gfs/idx_20231104_gfs.t00z.pgrb2.0p25.f000.idx": "bytes that begin with",
    "gfs/idx_20231104_gfs.t00z.pgrb2.0p25.f021.idx": "bytes that begin with",
    "gfs/idx_20250801_gfs.t00z.pgrb2.0p25.f007.idx": "bytes that begin with",
    "other/ecmwf_open_0p25_2025011518_f024_2t_msl.grib2": "a forecast .step 24",
}


def test_every_real_file_has_an_expected_outcome(shared_data: Path) -> None:
    found = {
        f"{folder}/{path.name}"
        for folder in ("era5", "ncep", "gfs", "other")
        for path in (shared_data / folder).iterdir()
    }
    assert found == DELIVERED.keys() | REFUSED.keys()


@pytest.mark.parametrize("name", DELIVERED)
def test_a_real_file_is_delivered(name: str, shared_data: Path) -> None:
    count, area, coldest, hottest = DELIVERED[name]
    files = source(shared_data / name)
    times = files.available(EVER)
    assert times.size == count
    asked = times[:: max(1, count // 3)]
    (frames,) = files.fetch(asked, area)
    np.testing.assert_array_equal(frames.time.values, asked)
    assert frames.t2m.dtype == np.float32
    assert coldest <= frames.t2m.min() <= frames.t2m.max() <= hottest
    native = Grid(frames.latitude.values, frames.longitude.values)
    tolerance = 1e-3
    assert native.latitude_edges[0] >= area.latitude[0] - tolerance
    assert native.latitude_edges[-1] <= area.latitude[-1] + tolerance
    assert native.longitude_edges[0] <= area.longitude[0] + tolerance
    assert native.longitude_edges[-1] >= area.longitude[-1] - tolerance


@pytest.mark.parametrize("name", REFUSED)
def test_a_real_file_is_refused_with_its_reason(name: str, shared_data: Path) -> None:
    with pytest.raises(SourceDataError, match=REFUSED[name]) as refusal:
        source(shared_data / name).available(EVER)
    assert name in str(refusal.value)
    assert not refusal.value.is_transient


def test_the_england_file_is_final_until_march_and_preliminary_then(shared_data: Path) -> None:
    name = "era5/era5_t2m_1h_england_2025-01_2025-03_expver_mix.grib"
    files = source(shared_data / name)
    times = np.array(["2025-02-28T23", "2025-03-01T00"], "datetime64[ns]")
    (frames,) = files.fetch(times, DELIVERED[name][1])
    assert frames.status.values.tolist() == [Status.FINAL, Status.PRELIMINARY]


def test_grib_values_equal_those_of_the_decoder(shared_data: Path) -> None:
    with (shared_data / UK).open("rb") as file:
        message = eccodes.codes_grib_new_from_file(file)
        expected = eccodes.codes_get_values(message).reshape(33, 49)
        eccodes.codes_release(message)
    (frames,) = source(shared_data / UK).fetch(
        np.array(["2019-03-01T00"], "datetime64[ns]"), box(58, 50, -10, 2, 0.25)
    )
    np.testing.assert_array_equal(frames.t2m.values[0], expected.astype(np.float32))
    assert frames.latitude.values[[0, -1]].tolist() == [58.0, 50.0]
    assert frames.longitude.values[[0, -1]].tolist() == [-10.0, 2.0]


def test_ncep_cells_equal_packed_integer_times_scale(shared_data: Path) -> None:
    with netCDF4.Dataset(shared_data / NCEP) as dataset:
        dataset.set_auto_maskandscale(False)
        packed = dataset["air"][40]
        # 41.9 N 87.6 W lies nearest to 42.5 N, 272.5 E.
        row = list(dataset["lat"][:]).index(42.5)
        column = list(dataset["lon"][:]).index(272.5)
    (frames,) = source(shared_data / NCEP, cadence_h=6).fetch(
        np.array(["2013-01-11T00"], "datetime64[ns]"), box(75, 15, -160, -30, 2.5)
    )
    value = frames.t2m.sel(latitude=42.5, longitude=-87.5).values
    assert value.tolist() == [np.float32(0.01 * packed[row, column])]


def test_a_month_of_messages_is_read_in_well_under_a_second(shared_data: Path) -> None:
    durations_s = []
    for _ in range(2):
        before = time.process_time()
        files = source(shared_data / UK)
        files.fetch(files.available(EVER), box(58, 50, -10, 2, 0.25))
        durations_s.append(time.process_time() - before)
    assert min(durations_s) < 1.0


def test_the_uk_preset_reads_its_file(shared_data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LSNTP_DATA", str(shared_data))
    domain = load_domain("era5-uk")
    assert open_source(domain.source, domain).available(EVER).size == 744


# --- made-up files -----------------------------------------------------------------------------


def test_digests_do_not_depend_on_how_files_are_split(make_dataset: Make, write: Write) -> None:
    dataset = make_dataset(range(6))
    whole = source(write(dataset, "whole.nc"))
    pieces = [write(dataset.isel(valid_time=slice(i, i + 2)), f"{i}.nc") for i in (0, 2, 4)]
    times = whole.available(EVER)
    (one,), (many,) = whole.fetch(times, AREA), source(*pieces).fetch(times, AREA)
    np.testing.assert_array_equal(one.source_digest.values, many.source_digest.values)
    np.testing.assert_array_equal(one.t2m.values, many.t2m.values)
    assert many.attrs["files"] == "0.nc, 2.nc, 4.nc"


def test_only_the_asked_times_are_delivered(make_dataset: Make, write: Write) -> None:
    files = source(write(make_dataset(range(6))))
    asked = START + np.array([4, 1, 99]) * hours(1)
    (frames,) = files.fetch(asked, AREA)
    np.testing.assert_array_equal(frames.time.values, START + np.array([1, 4]) * hours(1))
    assert files.fetch(START + np.array([99]) * hours(1), AREA) == []


def test_a_final_file_beats_a_preliminary_one(make_dataset: Make, write: Write) -> None:
    dataset = make_dataset()
    write(dataset.assign_coords(expver="0001"), "b-final.nc")
    early = write((dataset + 1).assign(t2m=dataset.t2m + 1).assign_coords(expver="0005"), "a.nc")
    files = source(early.parent / "*.nc")
    (frames,) = files.fetch(files.available(EVER), AREA)
    np.testing.assert_array_equal(frames.t2m.values, dataset.t2m.values)
    assert set(frames.status.values) == {Status.FINAL}


def test_differing_repeats_are_both_delivered_in_file_order(
    make_dataset: Make, write: Write
) -> None:
    dataset = make_dataset([0])
    write(dataset, "a.nc")
    other = write(dataset.assign(t2m=dataset.t2m.copy(data=dataset.t2m.values + 1)), "b.nc")
    files = source(other.parent / "*.nc")
    assert files.available(EVER).size == 1
    (frames,) = files.fetch(files.available(EVER), AREA)
    np.testing.assert_array_equal(frames.t2m.values[1] - frames.t2m.values[0], np.ones((4, 5)))


def test_each_native_grid_is_a_dataset_of_its_own(make_dataset: Make, write: Write) -> None:
    write(make_dataset([0]), "a.nc")
    narrow = write(make_dataset([1]).isel(longitude=slice(1, None)), "b.nc")
    files = source(narrow.parent / "*.nc")
    shapes = [f.t2m.shape for f in files.fetch(files.available(EVER), AREA)]
    assert shapes == [(1, 4, 5), (1, 4, 4)]


def test_times_between_the_steps_are_left_out_with_one_warning(
    make_dataset: Make, write: Write, caplog: pytest.LogCaptureFixture
) -> None:
    dataset = make_dataset(range(4))
    dataset["valid_time"] = dataset.valid_time.values + np.array([0, 0, 10, 0]) * hours(1 / 60)
    files = source(write(dataset))
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            assert files.available(EVER).size == 3
    assert len(caplog.records) == 1
    assert "1 of 4 times in the files are left out" in caplog.text
    assert "2020-01-01T02:10Z" in caplog.text


def test_coarser_files_have_fewer_times(make_dataset: Make, write: Write) -> None:
    assert source(write(make_dataset([0, 3, 6]))).available(EVER).size == 3


def test_available_respects_the_period(make_dataset: Make, write: Write) -> None:
    files = source(write(make_dataset(range(6))))
    assert files.available(Period(START + hours(2), START + hours(4))).size == 2


def test_an_area_outside_the_data_is_refused_naming_the_file(
    make_dataset: Make, write: Write
) -> None:
    files = source(write(make_dataset()))
    with pytest.raises(DomainError, match=r"Expected data that cover .*data\.nc"):
        files.fetch(files.available(EVER), box(60, 50, -1, 1, 1))


def test_a_pattern_that_matches_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceDataError, match=r"at least one file matching .*absent"):
        source(tmp_path / "absent*.nc").available(EVER)


@pytest.mark.parametrize("path", ["s3://bucket/a.nc", "${NOT_SET}/a.nc"])
def test_remote_paths_and_unset_variables_are_refused(path: str) -> None:
    with pytest.raises(SourceDataError, match="path on this machine"):
        source(path).available(EVER)


def test_one_bad_file_among_good_ones_is_named(make_dataset: Make, write: Write) -> None:
    write(make_dataset(), "good.nc")
    bad = write(b"<html>503</html>", "z-bad.nc")
    with pytest.raises(LsntpError, match=r"z-bad\.nc, found an HTML page"):
        source(bad.parent / "*.nc").available(EVER)


def test_unpacked_members_go_with_the_source(
    make_dataset: Make, write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    write(make_dataset(), "member.nc")
    path = shutil.make_archive(str(tmp_path / "packed"), "zip", tmp_path, "member.nc")
    files = source(path)
    assert files.available(EVER).size == 3
    assert list(folder.iterdir())
    del files
    assert not list(folder.iterdir())
