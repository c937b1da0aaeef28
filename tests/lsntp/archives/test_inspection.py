import json
from pathlib import Path

import numpy as np
import pytest

from lsntp.archives.findings import Fault
from lsntp.archives.inspection import Look, Snapshot, read_metadata, sizes
from lsntp.archives.verification import verify_archive


@pytest.fixture
def path(tmp_path, lab) -> Path:
    """30 hours of 2 x 3 cells: two chunks of 24 hours."""
    archive = lab.create(tmp_path / "x.zarr", lab.SMALL_GRID)
    archive.publish(lab.make_frames(range(30), grid=lab.SMALL_GRID), now=lab.NOW)
    return Path(archive.path)


def look_at(path: Path) -> Look:
    return Look(Snapshot(path, read_metadata(path, ())))


def test_where_nothing_is_the_root_and_all_required_arrays_are_missed(tmp_path):
    metadata = read_metadata(tmp_path / "none.zarr", ["t2m"])
    assert (metadata.root, metadata.arrays, metadata.own) == (None, {}, {})
    assert [(one.fault, one.key, one.what) for one in metadata.findings] == [
        (Fault.METADATA, "zarr.json", "absent")
    ]


def test_a_required_array_that_nobody_declares_is_named(path):
    metadata = read_metadata(path, ["t2m", "wind"])
    assert [(one.array, one.what) for one in metadata.findings] == [
        ("wind", "not in the consolidated metadata")
    ]


def test_sizes_that_contradict_each_other_are_all_given():
    documents = {
        "a": {"dimension_names": ["time", "x"], "shape": [5, 2]},
        "b": {"dimension_names": ["time"], "shape": [6]},
    }
    assert sizes(documents) == {"time": {5, 6}, "x": {2}}


@pytest.mark.parametrize("content", ["null", "[]", "3", '"text"', "{}", "\udcff"])
def test_a_root_that_is_json_of_something_else_is_unreadable(path, content):
    (path / "zarr.json").write_bytes(content.encode("utf-8", "surrogateescape"))
    metadata = read_metadata(path, ())
    assert metadata.root is None
    assert metadata.own.keys() >= {"t2m", "status"}
    (finding,) = metadata.findings
    assert finding.key == "zarr.json"
    assert finding.what.startswith("unreadable")


def no_attributes(root: dict) -> None:
    root["attributes"] = None


def no_chunk(root: dict) -> None:
    arrays = root["consolidated_metadata"]["metadata"]
    arrays["t2m"]["chunk_grid"]["configuration"]["chunk_shape"] = [0, 2, 3]


@pytest.mark.parametrize(("damage", "array"), [(no_attributes, ""), (no_chunk, "t2m")])
def test_what_zarr_takes_but_nobody_can_read_is_a_finding(path, damage, array):
    root = json.loads((path / "zarr.json").read_text())
    damage(root)
    (path / "zarr.json").write_text(json.dumps(root))
    (finding,) = read_metadata(path, ()).findings
    assert (finding.fault, finding.array) == (Fault.METADATA, array)
    assert finding.what.startswith("unreadable")
    assert verify_archive(path, "analysis", patience_s=0).findings[0].what == finding.what


def test_a_snapshot_cuts_the_last_chunk_at_the_extent(path):
    snapshot = look_at(path).snapshot
    assert snapshot.dims("t2m") == ("time", "latitude", "longitude")
    assert (snapshot.size("time"), snapshot.size("longitude")) == (30, 3)
    assert list(snapshot.chunks("t2m")) == [(0, 0, 0), (1, 0, 0)]
    assert snapshot.region("t2m", (1, 0, 0)) == (slice(24, 30), slice(0, 2), slice(0, 3))
    assert snapshot.key("t2m", (1, 0, 0)) == "t2m/c/1/0/0"
    assert snapshot.has("t2m", (1, 0, 0))
    assert not snapshot.has("t2m", (2, 0, 0))
    assert snapshot.decode("t2m", (1, 0, 0)).shape == (6, 2, 3)
    assert np.isnan(snapshot.blank("t2m")).all()
    assert snapshot.blank("t2m").shape == (30, 2, 3)


def test_unreadable_chunks_are_unknown_and_absent_ones_hold_the_fill_value(path):
    (path / "t2m/c/0/0/0").unlink()
    (path / "t2m/c/1/0/0").write_bytes(b"hostile")
    look = look_at(path)
    found = look.whole("t2m")
    assert found.known[:24].all()
    assert np.isnan(found.values[:24]).all()
    assert not found.known[24:].any()
    (finding,) = look.findings()
    assert (finding.fault, finding.key) == (Fault.UNREADABLE, "t2m/c/1/0/0")
    assert finding.region == ((24, 30), (0, 2), (0, 3))


def test_an_absent_chunk_is_missed_only_where_a_slot_needs_it(path):
    (path / "t2m/c/1/0/0").unlink()
    look = look_at(path)
    needed, known = np.arange(30) < 24, np.ones(30, bool)
    look.expect_chunks("t2m", needed, known)
    assert look.findings() == []
    needed[29] = True
    look.expect_chunks("t2m", needed, known)
    assert [finding.key for finding in look.findings()] == ["t2m/c/1/0/0"]
    assert known.tolist() == [True] * 24 + [False] * 6


def test_neighbouring_rows_are_one_finding_and_a_later_look_confirms_only_its_own(path):
    first, later = look_at(path), look_at(path)
    hour = np.arange(30)
    first.expect_rows("status", ~np.isin(hour, [3, 4, 5, 9]), "odd")
    first.expect_rows("status", hour != 10, "odd")
    assert [one.region for one in first.findings()] == [((3, 6),), ((9, 11),)]
    later.expect_rows("status", ~np.isin(hour, [5, 10, 20]), "odd")
    first.agree(later)
    assert [one.region for one in first.findings()] == [((5, 6),), ((10, 11),)]
    first.agree(look_at(path))
    assert first.findings() == []
