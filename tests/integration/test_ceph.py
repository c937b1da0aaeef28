"""Archives in a bucket of Ceph, which checks signatures and enforces policies.

Needs the Debian packages ``radosgw ceph-mon ceph-osd ceph-common``.
"""

import json
import threading
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from botocore.exceptions import ClientError

from lsntp.archives.analysis import AnalysisArchive
from lsntp.archives.lease import writer_lease
from lsntp.archives.verification import verify_archive
from lsntp.doctor.bucket import check_bucket
from lsntp.doctor.check import Health
from lsntp.errors import ArchiveBusyError, CredentialsError
from lsntp.grid import Grid
from lsntp.names import Status
from lsntp.places import place_of
from tests.standins.ceph import Ceph, absent_programs, running_ceph

pytestmark = pytest.mark.slow

POLICIES = Path(__file__).resolve().parents[2] / "infra" / "policies"
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


@pytest.fixture
def become(ceph, users, monkeypatch):
    """``become(name)``: the usual variables say that we are this user."""

    def become(name: str, secret: str | None = None) -> None:
        keys = users[name]
        monkeypatch.setenv("AWS_ENDPOINT_URL", ceph.url)
        monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        monkeypatch.setenv("AWS_REGION", "us-east-1")
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", keys["aws_access_key_id"])
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", secret or keys["aws_secret_access_key"])

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
    with xr.open_zarr(str(archive.path)) as dataset:
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
    archive = create("raced")

    def write(first: int) -> None:
        for slot in range(first, 24, 2):
            AnalysisArchive.open(archive.path).publish(frames([slot]), timeout_s=300)

    writers = [threading.Thread(target=write, args=(first,)) for first in (0, 1)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert archive.status.tolist() == [Status.FINAL] * 24
    assert archive.read(START + np.arange(24) * HOUR)[:, 0, 0].tolist() == [
        250.0 + slot for slot in range(24)
    ]


def test_the_doctor_finds_that_conditions_are_kept(become):
    become("lsntp-writer")
    assert check_bucket(place_of(ROOT)).health == Health.OK  # type: ignore[arg-type]
