import glob
import logging
import os
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
    assert open_source(domain).available(EVER).size == 744


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


# --- names and links -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    ["with space.nc", "Überblick \u6c17\u6e29.nc", "era5[1].nc", "a?b*.nc", "cost$.nc", "-x.nc"],
)
def test_a_file_may_have_any_name(name: str, make_dataset: Make, write: Write) -> None:
    dataset = make_dataset()
    path = write(dataset, "plain.nc")
    path = path.rename(path.with_name(name))
    for pattern in (path, glob.escape(str(path)), path.parent / "*.nc"):
        files = source(pattern)
        (frames,) = files.fetch(files.available(EVER), AREA)
        np.testing.assert_array_equal(frames.t2m.values, dataset.t2m.values)
        assert frames.attrs["files"] == name


def test_a_name_that_is_no_text_is_read_or_refused_in_words(
    make_message: Callable[..., bytes], tmp_path: Path
) -> None:
    path = tmp_path / os.fsdecode(b"caf\xe9.grib")
    path.write_bytes(make_message(np.full((4, 5), 280.0)))
    files = source(tmp_path / "*.grib")
    (frames,) = files.fetch(files.available(EVER), AREA)
    assert frames.attrs["files"].encode() == b"caf\\xe9.grib"


def test_a_file_that_many_links_lead_to_is_read_once(make_dataset: Make, write: Write) -> None:
    path = write(make_dataset(), "a.nc")
    (path.parent / "again.nc").symlink_to(path)
    (path.parent / "circle").symlink_to(".")
    files = source(path.parent / "**" / "*.nc", path)
    (frames,) = files.fetch(files.available(EVER), AREA)
    assert frames.attrs["files"] == "a.nc"
    assert frames.sizes["time"] == 3


@pytest.mark.timeout(20)
def test_links_in_circles_without_end_are_refused(make_dataset: Make, write: Write) -> None:
    path = write(make_dataset(), "a.nc")
    for name in ("one", "two"):
        (path.parent / name).symlink_to(".")
    with pytest.raises(SourceDataError, match=r"symbolic links that lead back"):
        source(path.parent / "**" / "*.nc").available(EVER)


# --- times that do not fit -----------------------------------------------------------------------


def test_files_of_which_no_time_is_on_the_axis_are_refused_by_name(
    make_dataset: Make, write: Write
) -> None:
    dataset = make_dataset()
    dataset["valid_time"] = dataset.valid_time.values + np.timedelta64(30, "m")
    with pytest.raises(
        SourceDataError,
        match=r"axis 1900-01-01T00:00Z \+ k \* 1 h in .*data\.nc, found 3 and none.*T00:30Z.*"
        r"archive\.start and cadence_h",
    ):
        source(write(dataset)).available(EVER)


def test_the_warning_of_times_between_the_steps_names_the_file(
    make_dataset: Make, write: Write, caplog: pytest.LogCaptureFixture
) -> None:
    write(make_dataset([0, 6, 12]), "a.nc")
    path = write(make_dataset([18, 21]), "b.nc")
    with caplog.at_level(logging.WARNING):
        assert source(path.parent / "*.nc", cadence_h=6).available(EVER).size == 4
    (record,) = caplog.records
    assert "1 of 5 times" in record.getMessage()
    assert "2020-01-01T21:00Z" in record.getMessage()
    assert record.getMessage().endswith("b.nc)")


def test_files_coarser_than_the_domain_are_told(
    make_dataset: Make, write: Write, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        source(write(make_dataset([0, 3, 6]))).available(EVER)
    assert "3 h apart or more, the domain's steps 1 h" in caplog.text


def test_one_monthly_field_a_file_is_known_as_monthly_by_all_of_them(
    make_dataset: Make, write: Write
) -> None:
    for month, hour in enumerate((0, 31 * 24, 60 * 24), start=1):
        path = write(make_dataset([hour]), f"{month}.nc")
    with pytest.raises(SourceDataError, match=r"1\.nc and 2 more, found monthly means"):
        source(path.parent / "*.nc").available(EVER)
    assert source(path, path.with_name("1.nc")).available(EVER).size == 2
