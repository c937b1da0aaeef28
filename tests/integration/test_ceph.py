"""Archives in a bucket of Ceph, which checks signatures and enforces policies.

Needs the Debian packages ``radosgw ceph-mon ceph-osd ceph-common``.
"""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import xarray as xr
from botocore.exceptions import ClientError

from lsntp.archives import s3_lease
from lsntp.archives.analysis import AnalysisArchive
from lsntp.archives.lease import writer_lease
from lsntp.archives.verification import verify_archive
from lsntp.doctor.bucket import check_bucket
from lsntp.doctor.check import Health
from lsntp.errors import ArchiveBusyError, CredentialsError
from lsntp.grid import Grid
from lsntp.names import Status
from lsntp.places import S3Path, place_of
from tests.lsntp.archives import archive_process as lab
from tests.lsntp.archives.dead_lease import check_that_a_dead_lease_is_taken_over
from tests.lsntp.archives.race import check_that_no_hour_is_lost
from tests.standins.ceph import Ceph, absent_programs, running_ceph

pytestmark = pytest.mark.slow

PROJECT = Path(__file__).resolve().parents[2]
POLICIES = PROJECT / "infra" / "policies"
ARCHIVES = PROJECT / "tests" / "lsntp" / "archives"
BUCKET, PREFIX = "archives", "weather"
ROOT = f"s3://{BUCKET}/{PREFIX}"
START = np.datetime64("2021-01-01", "ns")
HOUR = np.timedelta64(1, "h").astype("timedelta64[ns]")
GRID = Grid(np.array([50.0, 49.0]), np.array([0.0, 1.0, 2.0]))


@pytest.fixture(scope="module")
def ceph(tmp_path_factory):
    if absent := absent_programs():
        pytest.skip(f"Ceph is not installed here: no {', '.join(absent)}")
    with running_ceph(tmp_path_factory.mktemp("ceph")) as running:
        yield running


@pytest.fixture(scope="module")
def users(ceph: Ceph):
    """Credentials of the bucket's owner, and of those whom the policies are about."""
    found = {name: ceph.add_user(name) for name in ("owner", "lsntp-writer", "lsntp-reader")}
    owner = ceph.client(found["owner"])
    owner.create_bucket(Bucket=BUCKET)
    statements = []
    for file in sorted(POLICIES.glob("*.json")):
        text = file.read_text("utf-8").replace("BUCKET", BUCKET).replace("PREFIX", PREFIX)
        statements += json.loads(text.replace("ACCOUNT", ""))["Statement"]
    policy = json.dumps({"Version": "2012-10-17", "Statement": statements})
    owner.put_bucket_policy(Bucket=BUCKET, Policy=policy)
    owner.put_object(Bucket=BUCKET, Key="other/secret", Body=b"not yours")
    return found


def take_the_role(
    patch: pytest.MonkeyPatch, ceph: Ceph, keys: dict[str, str], secret: str | None = None
) -> None:
    """The usual variables say that we are the user of these keys."""
    patch.setenv("AWS_ENDPOINT_URL", ceph.url)
    patch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    patch.setenv("AWS_REGION", "us-east-1")
    patch.setenv("AWS_ACCESS_KEY_ID", keys["aws_access_key_id"])
    patch.setenv("AWS_SECRET_ACCESS_KEY", secret or keys["aws_secret_access_key"])


@pytest.fixture
def become(ceph, users, monkeypatch):
    """``become(name)``: from here on we are this user."""

    def become(name: str, secret: str | None = None) -> None:
        take_the_role(monkeypatch, ceph, users[name], secret)

    return become


def frames(slots) -> xr.Dataset:
    slots = np.asarray(slots)
    fields = np.broadcast_to(250 + slots[:, None, None], (slots.size, 2, 3)).astype(np.float32)
    digest = np.zeros((slots.size, 32), np.uint8)
    digest[:, 0] = slots + 1
    return xr.Dataset(
        {
            "t2m": (("time", "latitude", "longitude"), fields),
            "status": ("time", np.full(slots.size, Status.FINAL, np.int8)),
            "source_digest": (("time", "digest_byte"), digest),
        },
        {"time": START + slots * HOUR, "latitude": GRID.latitude, "longitude": GRID.longitude},
    )


def create(name: str) -> AnalysisArchive:
    return AnalysisArchive.create(
        place_of(f"{ROOT}/analysis/{name}.zarr"), grid=GRID, start=START, cadence=HOUR, attrs={}
    )


def test_a_writer_with_the_least_privilege_publishes_and_a_reader_reads(become):
    become("lsntp-writer")
    archive = create("published")
    archive.publish(frames(np.arange(30)))
    archive.publish(frames(np.arange(20, 60)))
    assert verify_archive(archive.path, "analysis").findings == ()
    become("lsntp-reader")
    with xr.open_zarr(str(archive.path), chunks=None) as dataset:
        assert dataset.t2m[:, 0, 0].values.tolist() == [250.0 + slot for slot in range(60)]
    assert AnalysisArchive.open(archive.path).status.tolist() == [Status.FINAL] * 60


def refused(call, **request) -> bool:
    try:
        call(Bucket=BUCKET, **request)
    except ClientError as error:
        return error.response["ResponseMetadata"]["HTTPStatusCode"] == 403
    return False


def test_a_writer_cannot_delete_nor_touch_other_prefixes_and_a_reader_cannot_write(
    ceph, users, become
):
    become("lsntp-writer")
    archive = create("guarded")
    archive.publish(frames([0]))
    mine = f"{PREFIX}/analysis/guarded.zarr/zarr.json"
    writer, reader = (ceph.client(users[f"lsntp-{role}"]) for role in ("writer", "reader"))
    assert refused(writer.delete_object, Key=mine)
    assert refused(writer.get_object, Key="other/secret")
    assert refused(writer.put_object, Key="other/mine", Body=b"")
    assert refused(writer.list_objects_v2, Prefix="other/")
    # Without a prefix names can be listed: a store asks the same right before it says 404, not 403.
    assert "other/secret" in {
        one["Key"] for one in writer.list_objects_v2(Bucket=BUCKET)["Contents"]
    }
    assert refused(reader.put_object, Key=f"{PREFIX}/mine", Body=b"")
    assert refused(reader.delete_object, Key=mine)
    assert refused(reader.get_object, Key="other/secret")
    become("lsntp-reader")
    with pytest.raises(CredentialsError, match="allowed to write"):
        AnalysisArchive.open(archive.path).publish(frames([1]))


def test_a_wrong_secret_is_refused_at_once(become):
    become("lsntp-writer", secret="canary-secret")
    with pytest.raises(CredentialsError, match="SignatureDoesNotMatch") as caught:
        AnalysisArchive.open(f"{ROOT}/analysis/published.zarr")
    assert "canary-secret" not in str(caught.value)


def test_a_second_writer_is_refused_while_the_first_one_is_at_work(become):
    become("lsntp-writer")
    archive = create("leased")
    with writer_lease(archive.path), pytest.raises(ArchiveBusyError, match="process"):
        archive.publish(frames([0]), timeout_s=0.1)
    archive.publish(frames([0]))
    assert archive.times.size == 1


def test_of_two_writers_each_hour_comes_once_and_none_is_lost(become):
    become("lsntp-writer")
    path = place_of(f"{ROOT}/analysis/raced.zarr")
    lab.create(path)
    check_that_no_hour_is_lost(path, lab)


def test_the_doctor_finds_that_conditions_are_kept(become):
    become("lsntp-writer")
    assert check_bucket(place_of(ROOT)).health == Health.OK  # type: ignore[arg-type]


@contextmanager
def server_of_writers(path: S3Path) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, str(ARCHIVES / "s3_process.py"), str(path)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            yield process
        finally:
            with suppress(psutil.NoSuchProcess):  # one that a failing test left asleep
                for writer in psutil.Process(process.pid).children():
                    writer.kill()
            process.kill()


@dataclass(frozen=True)
class Prepared:
    """An archive that a writer in another process is about to publish to.

    Attributes:
        path: of the archive.
        server: the process that forks writers.
        client: of S3, for looking at what is stored.
    """

    path: S3Path
    server: subprocess.Popen[str]
    client: Any

    def start(self, order: str = "go") -> psutil.Process:
        """Let a writer go, with an order of s3_process.py."""
        print("write", file=self.server.stdin, flush=True)
        writer = psutil.Process(int(self.server.stdout.readline()))
        print(order, file=self.server.stdin, flush=True)
        return writer

    def has_published(self) -> bool:
        """Whether the writer did what it was to do; waits for its end."""
        lines = list(iter(self.server.stdout.readline, "ended\n"))
        return lines == ["published\n"]

    def stored(self) -> dict[str, bytes]:
        """Every object of the archive."""
        prefix = f"{PREFIX}/analysis/{self.path.name}/"
        found = self.client.list_objects_v2(Bucket=BUCKET, Prefix=prefix)["Contents"]
        keys = [one["Key"] for one in found]
        return {
            key.removeprefix(prefix): self.client.get_object(Bucket=BUCKET, Key=key)["Body"].read()
            for key in keys
        }


@pytest.fixture(scope="module")
def prepare(ceph, users):
    """``prepare(name)``: an archive and a process for its writers, as a context."""
    client = ceph.client(users["lsntp-writer"])

    @contextmanager
    def prepare(name: str) -> Iterator[Prepared]:
        path = place_of(f"{ROOT}/analysis/{name}.zarr")
        lab.prepare(path)
        with server_of_writers(path) as server:
            yield Prepared(path, server, client)

    return prepare


@pytest.fixture(scope="module")
def owner(ceph, users):
    """May delete what others put, and may not read it: an object is its writer's."""
    return ceph.client(users["owner"])


def end_the_term_of(path: S3Path, owner) -> None:
    """As if the time of the lease had passed."""
    owner.delete_object(Bucket=BUCKET, Key=f"{PREFIX}/analysis/{path.name}.lease")


@pytest.fixture(scope="module")
def undisturbed(ceph, users, prepare) -> dict[str, bytes]:
    """What a writer leaves that nobody disturbs."""
    with pytest.MonkeyPatch.context() as patch:
        take_the_role(patch, ceph, users["lsntp-writer"])
        with prepare("undisturbed") as archive:
            archive.start()
            assert archive.has_published()
            return archive.stored()


@pytest.mark.parametrize("order", ["kill 3", "kill 7 done", "kill 12", "kill 16 done", "kill 18"])
def test_a_writer_killed_at_any_put_leaves_a_true_archive_and_a_rerun_completes_it(
    become, owner, prepare, undisturbed, order
):
    """The 17th of its 18 puts is the one from which on others see what is new."""
    become("lsntp-writer")
    with prepare(f"killed-{order.replace(' ', '-')}") as archive:
        archive.start(order)
        assert not archive.has_published()
        assert lab.check(archive.path) == (100 if order == "kill 18" else 32)
        end_the_term_of(archive.path, owner)
        AnalysisArchive.open(archive.path).publish(lab.disputed_frames(), now=lab.NOW)
        assert lab.check(archive.path) == 100
        assert archive.stored() == undisturbed


def test_a_reader_polling_during_publishes_sees_only_whole_true_fields(become):
    become("lsntp-writer")
    archive = lab.create(place_of(f"{ROOT}/analysis/polled.zarr"))
    archive.publish(lab.make_frames(np.arange(4)), now=lab.NOW)
    become("lsntp-reader")
    command = [sys.executable, str(ARCHIVES / "archive_process.py"), "poll", str(archive.path)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as reader:
        assert reader.stdout.readline() == "ready\n"
        become("lsntp-writer")
        for day in range(4):
            slots = np.arange(24 * day, 24 * day + 30)
            archive.publish(lab.make_frames(slots[::2], Status.PRELIMINARY), now=lab.NOW)
            archive.publish(lab.make_frames(slots), now=lab.NOW)
        reader.stdin.close()
        reads, _ = map(int, reader.stdout.readline().split())
        assert reader.wait() == 0
    assert reads >= 1
    assert lab.check(archive.path) == 102


@pytest.mark.parametrize("order", ["stop 5", "stop 8", "stop 17"])
def test_a_writer_that_slept_through_its_term_is_refused_at_the_object(
    become, owner, prepare, order
):
    """What it still puts before it is refused is of no hour that a reader takes for usable."""
    become("lsntp-writer")
    with prepare(order.replace(" ", "-")) as archive:
        writer = archive.start(order)
        while writer.status() != psutil.STATUS_STOPPED:
            time.sleep(0.05)
        end_the_term_of(archive.path, owner)
        AnalysisArchive.open(archive.path).publish(lab.make_frames(np.arange(26, 60)), now=lab.NOW)
        writer.resume()
        assert not archive.has_published()
        archive.server.kill()
        assert "changed by another writer" in archive.server.stderr.read()
        assert lab.check(archive.path) == 60
        AnalysisArchive.open(archive.path).publish(lab.disputed_frames(), now=lab.NOW)
        assert lab.check(archive.path) == 100
        assert verify_archive(archive.path, "analysis").findings == ()


def test_the_lease_of_a_writer_that_died_is_taken_over_once_its_term_has_passed(
    become, monkeypatch
):
    become("lsntp-writer")
    archive = create("taken-over")
    monkeypatch.setattr(s3_lease, "TERM_S", 2.0)
    check_that_a_dead_lease_is_taken_over(archive.path)
