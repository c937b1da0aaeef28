import itertools
import json
import os
import pkgutil
import signal
import subprocess
import sys
import threading

import numpy as np
import pytest
import xarray as xr

from lsntp.archives.lease import writer_lease
from lsntp.archives.quarantine import Quarantine, Rejection, Release
from lsntp.errors import ArchiveError, ArchiveNotFoundError, StorageError
from lsntp.names import Status
from lsntp.times import Period

TIME = np.datetime64("2019-03-01T06:00", "ns")
REJECTION = Rejection(TIME, ("Expected 180..340 K, found 0..0 K.", "Expected more."))


def frame(value: float = 0.0, digest_byte: int = 171) -> xr.Dataset:
    return xr.Dataset(
        {
            "t2m": (("time", "latitude", "longitude"), np.full((1, 2, 3), value, np.float32)),
            "status": ("time", np.array([2], np.int8)),
            "source_digest": (
                ("time", "digest_byte"),
                np.full((1, 32), digest_byte, np.uint8),
            ),
        },
        {"time": [TIME], "latitude": [51.0, 50.0], "longitude": [-1.0, 0.0, 1.0]},
        attrs={"source": "files", "files": "/data/march.grib"},
    )


def test_an_entry_holds_the_field_and_the_reasons(tmp_path):
    assert Quarantine(tmp_path / "quarantine").put(REJECTION, frame(1.5))

    (folder,) = (tmp_path / "quarantine").iterdir()
    assert folder.name == "20190301T0600Z-abababababab"
    with xr.open_dataset(folder / "field.nc") as field:
        np.testing.assert_array_equal(field["t2m"], np.full((1, 2, 3), 1.5))
        assert field["time"].values[0] == TIME
    reasons = json.loads((folder / "reasons.json").read_text())
    assert reasons["reasons"] == list(REJECTION.reasons)
    assert reasons["source_digest"] == "ab" * 32
    assert reasons["files"] == "/data/march.grib"


def test_the_same_field_is_kept_once_and_another_one_beside_it(tmp_path):
    quarantine = Quarantine(tmp_path)
    assert quarantine.put(REJECTION, frame())
    before = [path.stat().st_mtime_ns for path in sorted(tmp_path.rglob("*"))]
    assert not quarantine.put(REJECTION, frame())
    assert [path.stat().st_mtime_ns for path in sorted(tmp_path.rglob("*"))] == before
    assert quarantine.put(REJECTION, frame(digest_byte=1))
    assert [entry.digest[:2] for entry in quarantine.entries()] == ["01", "ab"]


def test_entries_tell_what_was_put(tmp_path):
    quarantine = Quarantine(tmp_path)
    assert quarantine.entries() == []
    quarantine.put(REJECTION, frame())
    (entry,) = quarantine.entries()
    assert entry.rejection == REJECTION
    assert entry.digest == "ab" * 32


def test_a_field_judged_by_other_limits_gets_its_new_reasons_and_stays_one_entry(tmp_path):
    quarantine = Quarantine(tmp_path)
    quarantine.put(REJECTION, frame().assign_attrs(limits="narrow"))
    assert quarantine.held("narrow") == {TIME: {"ab" * 6}}
    assert quarantine.held("wide") == {}

    again = Rejection(TIME, ("Expected 170..350 K, found 0..0 K.",))
    assert not quarantine.put(again, frame().assign_attrs(limits="wide"))

    (entry,) = quarantine.entries()
    assert entry.rejection == again
    assert sorted(path.name for path in entry.path.iterdir()) == ["field.nc", "reasons.json"]
    assert list(tmp_path.iterdir()) == [entry.path]
    assert quarantine.held("wide") == {TIME: {"ab" * 6}}


@pytest.mark.parametrize(
    ("call", "number"),
    [
        ("pathlib.Path.write_text", 1),  # the lease
        ("pathlib.Path.mkdir", 2),  # the entry
        ("lsntp.archives.quarantine.write_through", 1),
        ("lsntp.archives.quarantine.write_through", 2),
        ("lsntp.archives.quarantine.flush", 1),
        ("pathlib.Path.rename", 1),
    ],
)
def test_a_refused_write_leaves_nothing_behind(tmp_path, monkeypatch, call, number):
    real, calls = pkgutil.resolve_name(call), itertools.count(1)

    def refuse(*arguments, **options):
        if next(calls) == number:
            raise OSError(28, "No space left on device")
        return real(*arguments, **options)

    with monkeypatch.context() as patched:
        patched.setattr(call, refuse)
        with pytest.raises(StorageError, match="No space left on device"):
            Quarantine(tmp_path).put(REJECTION, frame())
    assert next(calls) > number
    assert list(tmp_path.iterdir()) == []
    assert Quarantine(tmp_path).put(REJECTION, frame())


def test_a_damaged_entry_is_named(tmp_path):
    quarantine = Quarantine(tmp_path)
    quarantine.put(REJECTION, frame())
    reasons = next(tmp_path.glob("*/reasons.json"))
    os.truncate(reasons, 10)
    with pytest.raises(ArchiveError, match="20190301T0600Z-abababababab"):
        quarantine.entries()
    assert quarantine.held("any") == {}
    quarantine.put(REJECTION, frame().assign_attrs(limits="any"))
    assert quarantine.entries()[0].rejection == REJECTION


def test_an_entry_remembers_limits_and_the_status_the_field_came_with(tmp_path):
    quarantine = Quarantine(tmp_path / "q")
    quarantine.put(REJECTION, frame().assign_attrs(limits="narrow"))
    (entry,) = quarantine.entries()
    assert (entry.limits, entry.status, entry.release) == ("narrow", Status.FINAL, None)
    np.testing.assert_array_equal(entry.field(), np.zeros((1, 2, 3)))
    # An entry of an earlier version does not tell: preliminary can still be replaced.
    content = json.loads((entry.path / "reasons.json").read_text())
    del content["status"]
    (entry.path / "reasons.json").write_text(json.dumps(content))
    assert quarantine.entries()[0].status == Status.PRELIMINARY


def test_a_release_is_recorded_once_and_survives_other_limits(tmp_path):
    quarantine = Quarantine(tmp_path / "q")
    quarantine.put(REJECTION, frame().assign_attrs(limits="narrow"))
    (entry,) = quarantine.entries()
    assert quarantine.released() == {}
    first = Release(np.datetime64("2019-04-01", "ns"), "kim", "seen at every station")
    quarantine.record_release(entry, first)
    quarantine.record_release(entry, Release(first.at, "lee", "who looked at the same moment"))
    quarantine.put(REJECTION, frame().assign_attrs(limits="wide"))
    (entry,) = quarantine.entries()
    assert entry.release == first
    assert entry.limits == "wide"
    assert entry.rejection == REJECTION
    assert quarantine.released() == {TIME: {"ab" * 6}}
    assert quarantine.held("wide") == {}  # what was released is not held any more


def test_a_release_while_an_ingest_waits_with_new_reasons_is_kept(tmp_path):
    quarantine = Quarantine(tmp_path / "q")
    quarantine.put(REJECTION, frame().assign_attrs(limits="narrow"))
    (entry,) = quarantine.entries()
    new_reasons = threading.Thread(
        target=quarantine.put, args=(REJECTION, frame().assign_attrs(limits="wide"))
    )
    with writer_lease(tmp_path / "q"):
        new_reasons.start()
        new_reasons.join(0.3)
        content = json.loads((entry.path / "reasons.json").read_text())
        content["released"] = {"at": "2019-04-01T00:00Z", "by": "kim", "why": "true"}
        (entry.path / "reasons.json").write_text(json.dumps(content))
    new_reasons.join()
    (entry,) = quarantine.entries()
    assert entry.limits == "wide"
    assert entry.release is not None


def test_an_entry_is_found_by_its_name_its_beginning_or_its_time(tmp_path):
    quarantine = Quarantine(tmp_path / "q")
    quarantine.put(REJECTION, frame())
    (entry,) = quarantine.entries()
    for name in (entry.name, "20190301T06", "2019-03-01T06:00", "2019-03-01T06:00Z"):
        assert quarantine.find(name).name == entry.name
    quarantine.put(REJECTION, frame(digest_byte=1))
    with pytest.raises(ArchiveError, match=r"found 2.*20190301T0600Z-010101010101"):
        quarantine.find("2019-03-01T06:00")
    assert quarantine.find("20190301T0600Z-ab").digest == "ab" * 32
    for name in ("", "2020", "../q"):
        with pytest.raises(ArchiveNotFoundError, match="lsntp quarantine list"):
            quarantine.find(name)


def test_entries_of_a_period_are_half_open(tmp_path):
    quarantine = Quarantine(tmp_path / "q")
    quarantine.put(REJECTION, frame())
    assert len(quarantine.entries(Period.parse("2019-03-01T06", "2019-03-01T07"))) == 1
    assert quarantine.entries(Period.parse("2019-03-01T05", "2019-03-01T06")) == []


def test_a_discarded_entry_is_gone_and_may_come_again(tmp_path):
    quarantine = Quarantine(tmp_path / "q")
    quarantine.put(REJECTION, frame())
    quarantine.discard(quarantine.find("2019"))
    assert list((tmp_path / "q").iterdir()) == []
    assert quarantine.put(REJECTION, frame())


KILLED = """
import importlib.util, os, signal, sys
from pathlib import Path
from lsntp.archives import quarantine
spec = importlib.util.spec_from_file_location("them", sys.argv[1])
them = importlib.util.module_from_spec(spec); spec.loader.exec_module(them)
write = quarantine.write_through
def die(path, content=b""):
    if content:
        write(path, content[: len(content) // 2])
    os.kill(os.getpid(), signal.SIGKILL)
quarantine.write_through = quarantine.shutil.rmtree = die
them.CHANGES[sys.argv[2]](quarantine.Quarantine(Path(sys.argv[3])), "2019-03-01T06")
"""
RELEASE = Release(np.datetime64("2024-06-01", "ns"), "kim", "it was that cold")
CHANGES = {
    "put": lambda quarantine, time: quarantine.put(rejected_at(time), frame(digest_byte=2)),
    "release": lambda quarantine, time: quarantine.record_release(quarantine.find(time), RELEASE),
    "discard": lambda quarantine, time: quarantine.discard(quarantine.find(time)),
}


def rejected_at(time: str) -> Rejection:
    return Rejection(np.datetime64(time, "ns"), REJECTION.reasons)


@pytest.mark.parametrize(
    ("killed", "following"), [("put", "release"), ("release", "discard"), ("discard", "put")]
)
def test_what_a_killed_change_left_is_no_entry_and_the_next_change_sweeps_it(
    tmp_path, killed, following
):
    for time in ("2019-03-01T05", "2019-03-01T06"):
        Quarantine(tmp_path).put(rejected_at(time), frame())
    command = [sys.executable, "-c", KILLED, __file__, killed, str(tmp_path)]
    assert subprocess.run(command, check=False).returncode == -signal.SIGKILL
    (stray,) = tmp_path.glob(".*")
    assert stray.name.endswith(".partial")
    quarantine = Quarantine(tmp_path)
    kept = ["20190301T0500Z-abababababab", "20190301T0600Z-abababababab"]
    assert [entry.name for entry in quarantine.entries()] == kept[: 1 if killed == "discard" else 2]
    assert all(entry.release is None for entry in quarantine.entries())
    CHANGES[following](quarantine, "2019-03-01T05")
    assert not list(tmp_path.glob(".*"))
