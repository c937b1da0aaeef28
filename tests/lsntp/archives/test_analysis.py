import os
import warnings

import numpy as np
import pytest
import xarray as xr

from lsntp.archives.analysis import AnalysisArchive
from lsntp.errors import ArchiveError, ArchiveNotFoundError, StorageError
from lsntp.grid import regular_grid
from lsntp.names import Status
from lsntp.times import hours
from tests.lsntp.archives.reading import reads

LATER = np.datetime64("2022-06-01T12:00", "ns")


def times_of(lab, slots):
    return lab.START + np.asarray(slots) * lab.HOUR


@pytest.fixture
def archive(tmp_path, lab) -> AnalysisArchive:
    return lab.create(tmp_path / "analysis" / "x.zarr", lab.SMALL_GRID)


@pytest.fixture
def small(lab):
    def make(slots, status=Status.FINAL) -> xr.Dataset:
        return lab.make_frames(np.asarray(slots), status, lab.SMALL_GRID)

    return make


def test_plain_xarray_opens_it_decoded_and_without_a_warning(archive, small, lab):
    archive.publish(small([0, 1, 3]), now=LATER)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        dataset = xr.open_zarr(archive.path, chunks=None)
        dataset.load()
    assert dataset["t2m"].dims == ("time", "latitude", "longitude")
    assert dataset["t2m"].dtype == np.float32
    assert dataset["time"].values.tolist() == times_of(lab, range(4)).tolist()
    assert dataset["latitude"].values.tolist() == [50.0, 49.0]
    assert dataset["longitude"].values.tolist() == [0.0, 1.0, 2.0]
    assert dataset["status"].values.tolist() == [2, 2, 0, 2]
    assert np.isnan(dataset["t2m"].values[2]).all()
    assert (dataset["t2m"].values[3] == lab.truth([3], Status.FINAL, lab.SMALL_GRID)[0]).all()
    assert dataset["ingested_at"].values[0] == LATER
    assert np.isnat(dataset["ingested_at"].values[2])
    assert dataset["source_digest"].shape == (4, 32)


def test_it_opens_empty_before_the_first_publish(archive):
    assert xr.open_zarr(archive.path, chunks=None).sizes["time"] == 0
    assert archive.times.size == 0
    assert archive.read(np.array([archive.start])).shape == (1, 2, 3)


def test_it_is_cf_correct(archive, small, cf_faults):
    archive.publish(small([0, 1, 3]))
    assert cf_faults(archive.dataset()) == []


def test_layout_follows_the_design(archive, small):
    archive.publish(small(range(30)))
    dataset = xr.open_zarr(archive.path, chunks=None)
    assert dataset["t2m"].encoding["chunks"] == (24, 2, 3)
    assert dataset["status"].encoding["chunks"] == (2**17,)
    assert dataset["time"].encoding["chunks"] == (2**17,)
    assert dataset["time"].encoding["units"] == "hours since 1970-01-01"
    assert dataset["time"].encoding["calendar"] == "proleptic_gregorian"
    assert "_FillValue" not in dataset["time"].attrs | dataset["time"].encoding
    codec, checksum = dataset["t2m"].encoding["compressors"]
    assert (codec.cname.value, codec.shuffle.value) == ("zstd", "bitshuffle")
    assert checksum.to_dict() == {"name": "crc32c"}
    for name in dataset.variables:
        assert dataset[name].encoding["compressors"][-1].to_dict() == {"name": "crc32c"}


def test_six_hourly_fields_share_a_chunk_of_120_and_half_hours_are_stored_in_seconds(tmp_path, lab):
    grid = lab.SMALL_GRID
    slow = AnalysisArchive.create(
        tmp_path / "a.zarr", grid=grid, start=lab.START, cadence=hours(6), attrs={}
    )
    fast = AnalysisArchive.create(
        tmp_path / "b.zarr", grid=grid, start=lab.START, cadence=hours(0.5), attrs={}
    )
    frames = lab.make_frames([0, 6], grid=grid)
    slow.publish(frames)
    fast.publish(frames)
    assert xr.open_zarr(slow.path, chunks=None)["t2m"].encoding["chunks"] == (120, 2, 3)
    assert slow.status.tolist() == [2, 2]
    assert (
        xr.open_zarr(fast.path, chunks=None)["time"].encoding["units"] == "seconds since 1970-01-01"
    )
    assert fast.times.tolist() == xr.open_zarr(fast.path, chunks=None)["time"].values.tolist()
    assert fast.status.tolist() == [2] + 11 * [0] + [2]


def test_reading_gives_the_asked_order_and_nan_outside(archive, small, lab):
    archive.publish(small([0, 1, 2, 60]))
    asked = times_of(lab, [60, -5, 1, 1, 7, 900])
    fields = archive.read(asked)
    truth = lab.truth([60, 1], Status.FINAL, lab.SMALL_GRID)
    assert (fields[0] == truth[0]).all()
    assert (fields[2] == truth[1]).all()
    assert (fields[3] == truth[1]).all()
    assert np.isnan(fields[[1, 4, 5]]).all()
    assert archive.status_at(asked).tolist() == [2, 0, 2, 2, 0, 0]
    assert archive.digests_at(asked)[:, 0].tolist() == [60, 0, 1, 1, 0, 0]


def test_the_same_publish_twice_is_the_same_as_once(archive, small, objects):
    first = archive.publish(small(range(5)), now=LATER)
    before = objects(archive.path)
    second = archive.publish(small(range(5)))
    assert first.written.size == 5
    assert (second.written.size, second.replaced.size, second.conflicts.size) == (0, 0, 0)
    assert second.unchanged.size == 5
    assert objects(archive.path) == before


def test_a_preliminary_hour_is_replaced_by_the_final_and_its_change_is_reported(
    archive, small, lab
):
    archive.publish(small(range(4), Status.PRELIMINARY))
    report = archive.publish(small([2, 3, 4]))
    assert report.replaced.tolist() == times_of(lab, [2, 3]).tolist()
    assert report.written.tolist() == times_of(lab, [4]).tolist()
    assert report.largest_change_k == 1 / 16  # by the formula of the true fields
    assert archive.status.tolist() == [1, 1, 2, 2, 2]
    assert (archive.read(archive.times[2:]) == lab.truth([2, 3, 4], 2, lab.SMALL_GRID)).all()


def test_a_preliminary_hour_is_replaced_by_another_preliminary_one(archive, small):
    archive.publish(small([0], Status.PRELIMINARY))
    again = small([0], Status.PRELIMINARY)
    again["t2m"] += 2
    again["source_digest"][:, 5] = 9
    report = archive.publish(again)
    assert (report.replaced.size, report.largest_change_k) == (1, 2.0)
    assert (archive.read(archive.times) == again["t2m"].values).all()


def test_a_final_hour_never_changes(archive, small, objects):
    archive.publish(small([0, 1]))
    before = objects(archive.path)
    other = small([0])
    other["t2m"] += 1
    other["source_digest"][:, 7] = 1
    report = archive.publish(other)
    assert report.conflicts.tolist() == archive.times[:1].tolist()
    assert report.written.size == report.replaced.size == report.unchanged.size == 0
    late = archive.publish(small([1], Status.PRELIMINARY))
    assert late.unchanged.size == 1
    assert objects(archive.path) == before


def test_a_hole_inside_the_extent_is_filled_and_the_extent_never_shrinks(archive, small, lab):
    archive.publish(small([0, 50]))
    report = archive.publish(small(range(10, 13)))
    assert report.written.size == 3
    assert archive.times.size == 51
    assert np.flatnonzero(archive.status).tolist() == [0, 10, 11, 12, 50]
    assert (archive.read(times_of(lab, [50])) == lab.truth([50], 2, lab.SMALL_GRID)).all()


def test_marking_gives_missing_hours_their_reason_and_leaves_others_alone(archive, small, lab):
    archive.publish(small([0, 1, 3]))
    assert archive.mark(times_of(lab, [1, 2, 5]), Status.QUARANTINED) == 2
    assert archive.mark(times_of(lab, [2, 4]), Status.UPSTREAM_HOLE) == 1
    assert archive.status.tolist() == [2, 2, 3, 2, 4, 3]
    assert np.isnan(archive.read(times_of(lab, [2, 4, 5]))).all()
    archive.publish(small([2]))
    assert archive.status.tolist() == [2, 2, 2, 2, 4, 3]


def test_marking_as_good_is_refused(archive, lab):
    with pytest.raises(ArchiveError, match=r"QUARANTINED or UPSTREAM_HOLE.*FINAL"):
        archive.mark(times_of(lab, [0]), Status.FINAL)


def test_creating_again_changes_nothing_but_new_attributes(archive, lab, small, objects):
    archive.publish(small([0]))
    before = objects(archive.path)
    lab.create(archive.path, lab.SMALL_GRID)
    assert objects(archive.path) == before
    again = AnalysisArchive.create(
        archive.path,
        grid=lab.SMALL_GRID,
        start=lab.START,
        cadence=lab.HOUR,
        attrs={"title": "renamed", "history": "first"},
    )
    assert (
        again.attrs["title"] == xr.open_zarr(archive.path, chunks=None).attrs["title"] == "renamed"
    )
    assert again.times.size == 1


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"start": np.datetime64("2019-01-01", "ns")}, "start 2019-01-01.*found 2020-02-28"),
        ({"cadence": hours(6)}, "cadence 6 h, found 1 h"),
        (
            {"grid": regular_grid(north=50, south=49, west=0, east=3, spacing=1)},
            "grid 2 x 4 cells.*found 2 x 3 cells",
        ),
    ],
)
def test_an_archive_made_for_something_else_is_not_continued(archive, lab, objects, change, words):
    before = objects(archive.path)
    wanted = {"grid": lab.SMALL_GRID, "start": lab.START, "cadence": lab.HOUR} | change
    with pytest.raises(ArchiveError, match=words):
        AnalysisArchive.create(archive.path, **wanted, attrs={})
    assert objects(archive.path) == before


def test_a_backfill_before_the_start_is_refused_with_the_remedy(archive, small):
    with pytest.raises(ArchiveError, match=r"from 2020-02-28T00:00Z on.*new name.*archive.start"):
        archive.publish(small([-1, 0]))
    assert archive.times.size == 0


def broken(frames: xr.Dataset, fault: str) -> xr.Dataset:
    if fault == "nan":
        frames["t2m"][1, 0, 0] = np.nan
    elif fault == "status":
        frames["status"][0] = Status.QUARANTINED
    elif fault == "grid":
        frames = frames.assign_coords(latitude=frames["latitude"] + 0.5)
    elif fault == "double":
        frames["t2m"] = frames["t2m"].astype(np.float64)
    elif fault == "twice":
        frames = xr.concat([frames, frames], "time")
    elif fault == "between":
        frames = frames.assign_coords(time=frames["time"] + np.timedelta64(30, "m"))
    elif fault == "variable":
        frames = frames.drop_vars("source_digest")
    elif fault == "none":
        frames = frames.isel(time=[])
    return frames


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("nan", "finite values, found NaN.*T01:00"),
        ("status", "preliminary or final"),
        ("grid", "grid"),
        ("double", "float32, found.*float64"),
        ("twice", "twice"),
        ("between", "on the axis"),
        ("variable", "none of source_digest"),
        ("none", "at least one field"),
    ],
)
def test_frames_that_do_not_fit_are_refused_whole(archive, small, objects, fault, words):
    before = objects(archive.path)
    with pytest.raises(ArchiveError, match=words):
        archive.publish(broken(small([0, 1]), fault))
    assert objects(archive.path) == before


def test_a_missing_archive_says_where(tmp_path):
    with pytest.raises(ArchiveNotFoundError, match=r"nowhere\.zarr"):
        AnalysisArchive.open(tmp_path / "nowhere.zarr")


def test_a_damaged_root_is_named_and_left_alone(archive, lab):
    (archive.path / "zarr.json").write_text("{")
    with pytest.raises(ArchiveError, match=r"x\.zarr.*lsntp repair"):
        AnalysisArchive.open(archive.path)
    with pytest.raises(ArchiveError, match=r"x\.zarr.*lsntp repair"):
        lab.create(archive.path, lab.SMALL_GRID)
    assert (archive.path / "zarr.json").read_text() == "{"


def test_a_place_that_cannot_be_made_is_a_storage_error(tmp_path, lab):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StorageError, match="file"):
        lab.create(tmp_path / "file" / "x.zarr")


def test_publishing_a_day_onto_ten_years_touches_only_its_own_chunks(
    lab, tmp_path, monkeypatch, objects
):
    archive = lab.create(tmp_path / "x.zarr")
    ten_years = 87_648
    archive.publish(lab.make_frames(range(24)))
    archive.publish(lab.make_frames(np.arange(ten_years - 24, ten_years)))
    frames = lab.make_frames(np.arange(ten_years, ten_years + 24))
    before = objects(archive.path)
    read = reads(monkeypatch)
    archive.publish(frames)
    after = objects(archive.path)
    put = {key for key in after if "/c/" in key and after[key] != before.get(key)}
    # One chunk of ten years a status, a time and a moment; of the digests one chunk in five.
    assert put == {
        "t2m/c/3652/0/0",
        "source_digest/c/5/0",
        *(f"{name}/c/0" for name in ("ingested_at", "status", "time")),
    }
    assert {key for key in read if "/c/" in key} <= put
    assert before.keys() - after.keys() == set()


@pytest.mark.parametrize("key", ["latitude/c/0", "t2m/c/0/0/0", "status/c/0"])
@pytest.mark.parametrize("size", [0, 7])
def test_a_damaged_chunk_is_named_with_the_remedy_by_whoever_needs_it(
    archive, small, key, size, objects
):
    archive.publish(small([0, 1]))
    os.truncate(archive.path / key, size)
    before = objects(archive.path)
    with pytest.raises(ArchiveError, match="lsntp repair"):
        AnalysisArchive.open(archive.path).publish(small([30]))
    assert objects(archive.path) == before


def test_an_archive_without_its_root_is_not_started_anew(archive, small, lab, objects):
    archive.publish(small([0, 1]))
    (archive.path / "zarr.json").unlink()
    before = objects(archive.path)
    with pytest.raises(ArchiveError, match=r"no zarr\.json; `lsntp repair`"):
        lab.create(archive.path, lab.SMALL_GRID)
    with pytest.raises(ArchiveError, match="lsntp repair"):
        AnalysisArchive.open(archive.path)
    assert objects(archive.path) == before


def test_what_a_killed_creation_left_is_started_anew(tmp_path, lab, objects):
    path = lab.create(tmp_path / "x.zarr", lab.SMALL_GRID).path
    before = objects(path)
    (path / "zarr.json").unlink()
    lab.create(path, lab.SMALL_GRID)
    assert objects(path) == before
