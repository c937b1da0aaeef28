"""The publishing rule under fire: killed writers, full disks, racing readers and writers."""

import errno
import itertools
import os
import shutil
import time
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from zarr.storage import LocalStore

from lsntp.archives.analysis import AnalysisArchive
from lsntp.archives.lease import writer_lease
from lsntp.errors import ArchiveBusyError, StorageError
from lsntp.names import Status

KILLS = [pytest.param(20, id="20"), pytest.param(200, id="200", marks=pytest.mark.slow)]
POLLED_DAYS = [
    pytest.param(24, 0.0, id="24-days"),
    pytest.param(60, 120.0, id="two-minutes", marks=pytest.mark.slow),
]


@pytest.fixture(scope="module")
def before(tmp_path_factory, lab) -> Path:
    path = tmp_path_factory.mktemp("before") / "x.zarr"
    lab.prepare(path)
    return path


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory, lab, before, objects) -> dict[str, bytes]:
    path = tmp_path_factory.mktemp("undisturbed") / "x.zarr"
    shutil.copytree(before, path)
    AnalysisArchive.open(path).publish(lab.disputed_frames(), now=lab.NOW)
    return objects(path)


def reset(before: Path, path: Path) -> None:
    shutil.rmtree(path, ignore_errors=True)
    shutil.copytree(before, path)


def write_until(server, end: str) -> bool:
    """Let the server's writer publish until its end; returns whether it had finished."""
    print(end, file=server.stdin, flush=True)
    finished = False
    while (line := server.stdout.readline()) != "ended\n":
        assert line == "published\n"
        finished = True
    return finished


def seconds_to_publish(server, before: Path, path: Path) -> float:
    reset(before, path)
    started = time.perf_counter()
    assert write_until(server, "never")
    return time.perf_counter() - started


def rerun_completes(path: Path, lab, objects, undisturbed) -> None:
    AnalysisArchive.open(path).publish(lab.disputed_frames(), now=lab.NOW)
    assert lab.check(path) == 100
    assert objects(path) == undisturbed


@pytest.mark.parametrize("kills", KILLS)
def test_a_writer_killed_at_a_random_instant_leaves_a_true_archive_and_a_rerun_completes_it(
    kills, tmp_path, lab, before, undisturbed, objects, start_process
):
    path = tmp_path / "x.zarr"
    random = np.random.default_rng(20)
    with start_process("serve", path) as server:
        publish_s = min(seconds_to_publish(server, before, path) for _ in range(3))
        extents = []
        for trial in range(kills):
            reset(before, path)
            delay_s = publish_s * (trial + random.random()) / kills
            write_until(server, f"after {delay_s}")
            extents.append(lab.check(path))
            rerun_completes(path, lab, objects, undisturbed)
    assert set(extents) <= {32, 100}
    assert 32 in extents


def test_a_writer_killed_within_the_put_of_any_object_leaves_a_true_archive(
    tmp_path, lab, before, undisturbed, objects, start_process
):
    path = tmp_path / "x.zarr"
    with start_process("serve", path) as server:
        for kill_at in itertools.count(1):
            reset(before, path)
            if write_until(server, f"within {kill_at}"):
                break
            assert lab.check(path) == 32
            assert any(name.endswith(".partial") for name in objects(path))
            rerun_completes(path, lab, objects, undisturbed)
    # Digests are withdrawn first; then 5 field chunks, time, ingested_at, digest and status,
    # the metadata of the five arrays along time, and the root.
    assert kill_at - 1 == 1 + 5 + 4 + 5 + 1


@pytest.mark.parametrize(
    ("code", "positions"), [(errno.ENOSPC, range(1, 17)), (errno.EROFS, (1, 7, 16))]
)
def test_a_storage_that_refuses_any_one_object_changes_nothing_that_was_true(
    code, positions, tmp_path, lab, before, undisturbed, objects, monkeypatch
):
    path = tmp_path / "x.zarr"
    put = LocalStore.set
    for refused in positions:
        reset(before, path)
        numbers = itertools.count(1)

        async def put_or_refuse(
            self: LocalStore, key: str, value: Any, numbers=numbers, refused=refused
        ) -> None:
            if next(numbers) == refused:
                raise OSError(code, os.strerror(code), str(path / key))
            await put(self, key, value)

        monkeypatch.setattr(LocalStore, "set", put_or_refuse)
        with pytest.raises(StorageError, match=os.strerror(code)) as caught:
            AnalysisArchive.open(path).publish(lab.disputed_frames(), now=lab.NOW)
        remedy = "free space" if code == errno.ENOSPC else "writable"
        assert remedy in str(caught.value)
        assert str(path) in str(caught.value)
        monkeypatch.setattr(LocalStore, "set", put)
        assert lab.check(path) == 32
        rerun_completes(path, lab, objects, undisturbed)


@contextmanager
def refusing(monkeypatch, name: str):
    """A storage that is full as soon as an object of the array comes."""
    put = LocalStore.set

    async def put_or_refuse(self: LocalStore, key: str, value: Any) -> None:
        if key.startswith(f"{name}/c/"):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), key)
        await put(self, key, value)

    with monkeypatch.context() as patched:
        patched.setattr(LocalStore, "set", put_or_refuse)
        with pytest.raises(StorageError):
            yield


@pytest.mark.parametrize("refused", ["source_digest", "status"])
def test_an_hour_marked_as_bad_behind_a_failed_writer_holds_no_field(
    tmp_path, lab, monkeypatch, refused
):
    archive = lab.create(tmp_path / "x.zarr", lab.SMALL_GRID)
    archive.publish(lab.make_frames([0, 2], grid=lab.SMALL_GRID), now=lab.NOW)
    with refusing(monkeypatch, refused):
        archive.publish(lab.make_frames([1], grid=lab.SMALL_GRID), now=lab.NOW)
    hour = lab.START + np.array([1]) * lab.HOUR
    assert np.isfinite(archive.read(hour)).all()

    archive.mark(hour, Status.QUARANTINED)

    assert np.isnan(archive.read(hour)).all()
    assert not archive.digests_at(hour).any()
    assert archive.status.tolist() == [Status.FINAL, Status.QUARANTINED, Status.FINAL]


def test_what_a_killed_writer_left_beyond_the_extent_never_surfaces(
    tmp_path, lab, before, objects, start_process
):
    path, clean = tmp_path / "x.zarr", tmp_path / "clean.zarr"
    reset(before, path)
    reset(before, clean)
    with start_process("serve", path) as server:
        write_until(server, "within 15")  # of the metadata: all chunks are there
    assert (path / "t2m" / "c" / "4").exists()
    for archive in (AnalysisArchive.open(path), AnalysisArchive.open(clean)):
        archive.publish(lab.make_frames([99]), now=lab.NOW)
    assert lab.check(path) == 100
    status = AnalysisArchive.open(path).status
    assert (status[32:99] == Status.MISSING).all()
    fields = AnalysisArchive.open(path).read(lab.START + np.arange(32, 99) * lab.HOUR)
    assert np.isnan(fields).all()
    inside = {"t2m/c/0/0/0", "t2m/c/1/0/0", "status/c/0", "source_digest/c/0/0", "ingested_at/c/0"}
    left, right = objects(path), objects(clean)
    assert left.keys() == right.keys()
    assert all(left[key] == right[key] for key in left.keys() - inside)


@pytest.mark.parametrize(("days", "at_least_s"), POLLED_DAYS)
def test_a_reader_polling_during_publishes_sees_only_whole_true_fields(
    days, at_least_s, tmp_path, lab, start_process
):
    path = tmp_path / "x.zarr"
    archive = lab.create(path)
    archive.publish(lab.make_frames(np.arange(4)))
    publishes = 0
    with start_process("poll", path) as reader:
        assert reader.stdout.readline() == "ready\n"
        started = time.monotonic()
        for day in itertools.count():
            if day >= days and time.monotonic() - started >= at_least_s:
                break
            slots = np.arange(24 * day, 24 * day + 30)
            archive.publish(lab.make_frames(slots[::2], Status.PRELIMINARY))
            archive.publish(lab.make_frames(slots))
            publishes += 2
        reader.stdin.close()
        reads, extents = map(int, reader.stdout.readline().split())
        assert reader.wait() == 0
    assert publishes >= 20
    assert reads >= 10
    assert extents >= 5


def test_a_second_writer_is_refused_and_told_who_is_at_work(tmp_path, lab, start_process):
    path = tmp_path / "x.zarr"
    archive = lab.create(path)
    with start_process("hold", path) as holder:
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(ArchiveBusyError, match=f"process {holder.pid} on ") as caught:
            archive.publish(lab.make_frames([0]), timeout_s=0.1)
        assert caught.value.is_transient
        assert archive.times.size == 0
        holder.kill()
        holder.wait()
        archive.publish(lab.make_frames([0]), timeout_s=5.0)
    assert lab.check(path) == 1


def test_a_writer_in_the_same_process_is_refused_too(tmp_path, lab):
    archive = lab.create(tmp_path / "x.zarr")
    with writer_lease(archive.path), pytest.raises(ArchiveBusyError, match=str(os.getpid())):
        archive.publish(lab.make_frames([0]), timeout_s=0.05)


@pytest.mark.parametrize("how", ["removed", "replaced"])
def test_a_writer_that_lost_its_lease_is_refused_at_the_next_object(
    how, tmp_path, lab, before, start_process, objects
):
    path, alone = tmp_path / "x.zarr", tmp_path / "alone.zarr"
    reset(before, path)
    with start_process("stall", path) as stalled:
        assert stalled.stdout.readline() == "stalled\n"
        with pytest.raises(ArchiveBusyError, match=f"process {stalled.pid}"):
            AnalysisArchive.open(path).publish(lab.make_frames([50]), timeout_s=0.05)
        lock = path.with_name("x.zarr.lock")
        lock.rename(tmp_path / "taken away")
        if how == "replaced":
            lock.touch()
        shutil.copytree(path, alone)
        for archive in (AnalysisArchive.open(path), AnalysisArchive.open(alone)):
            archive.publish(lab.make_frames(np.arange(26, 60)), now=lab.NOW)
        print(file=stalled.stdin, flush=True)
        said = stalled.stdout.readline()
    assert said.startswith(f"refused: Expected to be the only writer of {path}")
    assert "then run the same step again" in said
    # Whatever it had staged of hours 4 to 100, nothing came after its first object.
    assert objects(path) == objects(alone)
    assert lab.check(path) == 60


def test_a_writer_that_lost_its_lease_leaves_the_note_of_the_next_one(tmp_path):
    path = tmp_path / "x.zarr"
    note = tmp_path / "x.zarr.writer"
    with writer_lease(path) as lost:
        (tmp_path / "x.zarr.lock").unlink()
        with writer_lease(path) as held:
            assert (lost.is_held, held.is_held) == (False, True)
            with pytest.raises(ArchiveBusyError, match="another file in its place"):
                lost.check()
            held.check()
            note.write_text("next")
    assert not lost.is_held
