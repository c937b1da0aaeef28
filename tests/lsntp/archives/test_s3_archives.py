"""The publishing rule in a bucket: killed writers, lost answers, outages, racing writers."""

import os
import signal
import subprocess
import sys
import threading
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from lsntp import object_store
from lsntp.archives import s3_lease
from lsntp.archives.analysis import AnalysisArchive
from lsntp.archives.lease import is_being_written, writer_lease
from lsntp.archives.verification import verify_archive
from lsntp.errors import ArchiveBusyError, CredentialsError, StorageUnavailableError
from lsntp.names import Status
from lsntp.places import matching, place_of
from tests.lsntp.archives.dead_lease import check_that_a_dead_lease_is_taken_over
from tests.lsntp.archives.race import check_that_no_hour_is_lost

NAME = "root/analysis/x.zarr"
LEASE = f"{NAME}.lease"


@pytest.fixture(scope="module")
def before(tmp_path_factory, lab, objects) -> dict[str, bytes]:
    path = tmp_path_factory.mktemp("before") / "x.zarr"
    lab.prepare(path)
    return objects(path)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory, lab, objects) -> dict[str, bytes]:
    """The archive on disk, published to by nobody but one writer."""
    path = tmp_path_factory.mktemp("undisturbed") / "x.zarr"
    lab.prepare(path)
    AnalysisArchive.open(path).publish(lab.disputed_frames(), now=lab.NOW)
    return objects(path)


@pytest.fixture
def place(archive_bucket):
    return place_of(f"s3://{archive_bucket.bucket}/{NAME}")


def reset(bucket, before) -> None:
    bucket.forget()
    for key in bucket.stored():
        bucket.delete(key)
    for key, content in before.items():
        bucket.put(f"{NAME}/{key}", content, public=False)


def stored(bucket) -> dict[str, bytes]:
    return {key.removeprefix(f"{NAME}/"): bucket.get(key) for key in bucket.stored(f"{NAME}/")}


def publish(place, lab, **options):
    return AnalysisArchive.open(place).publish(lab.disputed_frames(), now=lab.NOW, **options)


def nothing_was_deleted(bucket) -> bool:
    return "DELETE" not in {request.method for request in bucket.requests}


def test_a_bucket_holds_the_very_objects_that_a_folder_does(
    archive_bucket, place, lab, undisturbed
):
    lab.prepare(place)
    publish(place, lab)
    assert stored(archive_bucket) == undisturbed
    assert lab.check(place) == 100  # by plain xarray
    assert nothing_was_deleted(archive_bucket)


@contextmanager
def server_of_writers(place):
    command = [sys.executable, str(Path(__file__).with_name("s3_process.py")), str(place)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, **pipes) as process:
        try:
            yield process
        finally:
            process.kill()


@pytest.mark.parametrize(
    "instants",
    [
        pytest.param([(3, True), (9, False), (12, True), (17, False)], id="4"),
        pytest.param(
            [(number, done) for number in range(1, 19) for done in (False, True)],
            id="all",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_a_writer_killed_at_any_put_leaves_a_true_archive_and_a_rerun_completes_it(
    instants, archive_bucket, place, lab, before, undisturbed
):
    """The 18 puts: lease; digests withdrawn; 5 fields, 4 seals and coordinates, 6 documents; lease.

    ``done``: the object is there, the answer never came.
    """
    with server_of_writers(place) as server:
        for number, is_done in instants:
            reset(archive_bucket, before)
            print("write", file=server.stdin, flush=True)
            writer = int(server.stdout.readline())

            def kill(writer=writer) -> None:
                os.kill(writer, signal.SIGKILL)

            archive_bucket.at("PUT", number, kill, done=is_done)
            print("go", file=server.stdin, flush=True)
            said = server.stdout.readline()
            assert said == "ended\n"
            archive_bucket.cues.clear()
            assert lab.check(place) == (100 if (number, is_done) >= (17, True) else 32)
            if LEASE in archive_bucket.stored():
                archive_bucket.delete(LEASE)  # as if its term had passed
            publish(place, lab)
            assert stored(archive_bucket) == undisturbed
            assert nothing_was_deleted(archive_bucket)


def test_what_a_killed_writer_left_beyond_the_extent_is_blanked_not_deleted(
    archive_bucket, place, lab, before, monkeypatch
):
    reset(archive_bucket, before)
    monkeypatch.setattr(object_store, "RETRY_S", 0.2)
    archive_bucket.fail("PUT", "t2m/zarr.json", 503, "SlowDown", times=1000)
    with pytest.raises(StorageUnavailableError):
        publish(place, lab)
    assert f"{NAME}/t2m/c/3/0/0" in archive_bucket.stored()
    archive_bucket.forget()
    archive = AnalysisArchive.open(place)
    assert archive.times.size == 32
    archive.publish(lab.make_frames([99]), now=lab.NOW)
    assert lab.check(place) == 100
    hidden = AnalysisArchive.open(place).read(lab.START + np.arange(32, 99) * lab.HOUR)
    assert np.isnan(hidden).all()
    assert (AnalysisArchive.open(place).status[32:99] == Status.MISSING).all()
    assert nothing_was_deleted(archive_bucket)


def test_a_put_whose_answer_got_lost_counts_as_put(archive_bucket, place, lab, before, undisturbed):
    reset(archive_bucket, before)
    for path in (LEASE, "t2m/c/0", "t2m/c/3", "status/c/0", "x.zarr/zarr.json"):
        archive_bucket.lose_answer("PUT", path)
    publish(place, lab)
    assert archive_bucket.cues == [] or not any(cue.times for cue in archive_bucket.cues)
    assert stored(archive_bucket) == undisturbed


def test_a_storage_that_is_overloaded_for_a_while_is_asked_again(
    archive_bucket, place, lab, before, undisturbed
):
    reset(archive_bucket, before)
    archive_bucket.fail("PUT", "t2m/c/1", 503, "SlowDown", times=2)
    archive_bucket.fail("GET", "status/c/0", 500, "InternalError", times=2)
    archive_bucket.cut("t2m/c/0", after=10)
    publish(place, lab)
    assert not any(cue.times for cue in archive_bucket.cues)
    assert stored(archive_bucket) == undisturbed


def test_a_storage_that_is_gone_for_two_seconds_delays_a_writer_and_loses_nothing(
    s3_server, archive_bucket, place, lab, before, undisturbed
):
    reset(archive_bucket, before)
    archive = AnalysisArchive.open(place)
    is_back = threading.Event()
    with s3_server.down():
        threading.Timer(2.0, is_back.set).start()
        writer = threading.Thread(
            target=archive.publish, args=(lab.disputed_frames(),), kwargs={"now": lab.NOW}
        )
        writer.start()
        is_back.wait()
    writer.join()
    assert stored(archive_bucket) == undisturbed


def test_a_storage_that_stays_away_is_worth_a_retry_later(
    s3_server, archive_bucket, place, lab, before, undisturbed, monkeypatch
):
    reset(archive_bucket, before)
    archive = AnalysisArchive.open(place)
    with s3_server.down(), monkeypatch.context() as patch:
        patch.setattr(object_store, "RETRY_S", 0.3)
        with pytest.raises(StorageUnavailableError, match="run the same step again") as caught:
            archive.publish(lab.disputed_frames(), now=lab.NOW)
    assert caught.value.is_transient
    assert stored(archive_bucket) == before
    publish(place, lab)
    assert stored(archive_bucket) == undisturbed


def test_a_reader_polling_during_publishes_sees_only_whole_true_fields(
    archive_bucket, place, lab, start_process
):
    archive = lab.create(place)
    archive.publish(lab.make_frames(np.arange(4)), now=lab.NOW)
    with start_process("poll", place) as reader:
        assert reader.stdout.readline() == "ready\n"
        for day in range(4):
            slots = np.arange(24 * day, 24 * day + 30)
            archive.publish(lab.make_frames(slots[::2], Status.PRELIMINARY), now=lab.NOW)
            archive.publish(lab.make_frames(slots), now=lab.NOW)
        reader.stdin.close()
        reads, _ = map(int, reader.stdout.readline().split())
        assert reader.wait() == 0
    assert reads >= 1
    assert lab.check(place) == 102


def test_a_second_writer_is_refused_and_told_who_is_at_work(archive_bucket, place, lab):
    archive = lab.create(place)
    with writer_lease(place):
        assert is_being_written(place)
        with pytest.raises(ArchiveBusyError, match=f"process {os.getpid()} on ") as caught:
            archive.publish(lab.make_frames([0]), timeout_s=0.1)
    assert caught.value.is_transient
    assert not is_being_written(place)
    archive.publish(lab.make_frames([0]), timeout_s=0.0)
    assert lab.check(place) == 1


def test_of_two_writers_each_hour_comes_once_and_none_is_lost(archive_bucket, place, lab):
    lab.create(place)
    check_that_no_hour_is_lost(place, lab, count=8)


def test_the_lease_of_a_writer_that_died_is_taken_over_once_its_term_has_passed(
    archive_bucket, place, monkeypatch
):
    monkeypatch.setattr(s3_lease, "TERM_S", 0.5)
    check_that_a_dead_lease_is_taken_over(place)
    # Who lost it does not give back what is another's.
    assert not is_being_written(place)


def test_a_holder_renews_its_lease_for_as_long_as_it_needs(archive_bucket, place, monkeypatch):
    monkeypatch.setattr(s3_lease, "TERM_S", 6.0)
    renewals = threading.Semaphore(0)
    with writer_lease(place) as lease:
        archive_bucket.before("PUT", LEASE, renewals.release, times=100)
        for _ in range(2):
            assert renewals.acquire(timeout=60)
        assert lease.is_held
        assert is_being_written(place)


def test_a_writer_that_slept_through_its_term_is_refused_at_the_object(
    archive_bucket, place, lab, before
):
    reset(archive_bucket, before)
    is_reached, may_go = threading.Event(), threading.Event()

    def sleep() -> None:
        is_reached.set()
        may_go.wait(60)

    archive_bucket.before("PUT", "source_digest/c/0", sleep)
    said: list[str] = []

    def write() -> None:
        try:
            publish(place, lab)
        except ArchiveBusyError as error:
            said.append(str(error))

    sleeper = threading.Thread(target=write)
    sleeper.start()
    assert is_reached.wait(60)
    archive_bucket.delete(LEASE)  # as if its term had passed
    AnalysisArchive.open(place).publish(lab.make_frames(np.arange(26, 60)), now=lab.NOW)
    alone = stored(archive_bucket)
    may_go.set()
    sleeper.join()
    assert len(said) == 1
    assert "changed by another writer" in said[0]
    assert "run the same step again" in said[0]
    assert stored(archive_bucket) == alone
    assert lab.check(place) == 60


def test_a_reader_that_runs_for_long_sees_what_came_since(archive_bucket, place, lab):
    archive = lab.create(place)
    assert archive.times.size == 0
    folder = place.parent
    assert [path.name for path in matching(folder, "*.zarr")] == ["x.zarr"]
    AnalysisArchive.open(place).publish(lab.make_frames([0, 1]), now=lab.NOW)
    lab.create(place.with_name("y.zarr"))
    assert archive.times.size == 2
    assert [path.name for path in matching(folder, "*.zarr")] == ["x.zarr", "y.zarr"]


def test_refused_credentials_cost_one_request_and_no_log_shows_them(
    archive_bucket, place, lab, before, caplog
):
    reset(archive_bucket, before)
    caplog.set_level("DEBUG")
    archive_bucket.fail("GET", ".", 403, "InvalidAccessKeyId", times=1000)
    with pytest.raises(CredentialsError, match="AWS_ACCESS_KEY_ID") as caught:
        AnalysisArchive.open(place)
    assert len(archive_bucket.requests) == 1
    assert not caught.value.is_transient
    assert "InvalidAccessKeyId" in str(caught.value)
    archive_bucket.forget()
    archive = AnalysisArchive.open(place)
    archive_bucket.fail("PUT", ".", 403, "AccessDenied", times=1000)
    with pytest.raises(CredentialsError, match="allowed to write"):
        archive.publish(lab.make_frames([50]), now=lab.NOW)
    assert [request.method for request in archive_bucket.requests].count("PUT") == 1
    assert "canary-secret" not in caplog.text + str(caught.value)


def test_no_credentials_at_all_are_said_to_be_absent(archive_bucket, place, monkeypatch, tmp_path):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    with pytest.raises(CredentialsError, match="NoCredentialsError"):
        AnalysisArchive.open(place)
    assert archive_bucket.requests == []


def test_an_outage_is_no_damage(archive_bucket, place, lab, before, monkeypatch):
    reset(archive_bucket, before)
    assert verify_archive(place, "analysis").findings == ()
    monkeypatch.setattr(object_store, "RETRY_S", 0.1)
    for path in ("t2m/c/1", "x.zarr/zarr.json"):
        archive_bucket.fail("GET", path, 503, "SlowDown", times=1000)
        with pytest.raises(StorageUnavailableError):
            verify_archive(place, "analysis")
        archive_bucket.forget()


def test_a_damaged_object_is_found(archive_bucket, place, lab, before):
    reset(archive_bucket, before)
    content = bytearray(before["t2m/c/1/0/0"])
    content[len(content) // 2] ^= 1
    archive_bucket.put(f"{NAME}/t2m/c/1/0/0", bytes(content), public=False)
    (finding,) = verify_archive(place, "analysis").findings
    assert (finding.array, finding.key) == ("t2m", "t2m/c/1/0/0")


def test_anyone_reads_an_archive_with_plain_xarray(archive_bucket, place, lab, before):
    reset(archive_bucket, before)
    options = {"endpoint_url": archive_bucket.url, "key": "reader", "secret": "any"}
    with xr.open_zarr(str(place), storage_options=options, chunks=None) as dataset:
        assert dataset.sizes["time"] == 32
        assert np.array_equal(dataset.t2m[4].values, lab.truth([4], Status.FINAL)[0])
