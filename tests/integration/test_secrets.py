"""Keys that a worker holds are in nothing that it, the server or the archives keep."""

import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.integration.services import RARELY, Server, run_lsntp, worker_of
from tests.lsntp.sources.era5.conftest import ENGLAND
from tests.standins.cds import CdsServer

if TYPE_CHECKING:
    from tests.standins.s3 import S3

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("shared_data")]

CDS_KEY, S3_SECRET = "canary-4711-cds", "canary-4711-s3"
DOMAIN = f"""
domain: england
source: {{name: era5, pause_s: 0.1}}
grid: {{kind: regular, north: 51.75, south: 51.25, west: -0.75, east: -0.25, spacing: 0.25}}
cadence_h: 1
archive: {{start: 2025-02-27}}
split:
  train: {{start: 2025-02-27, end: 2025-03-01}}
  validation: {{start: 2025-03-01, end: 2025-03-02}}
  test: {{start: 2025-03-02, end: 2025-03-03}}
schedule:
  {{ingest: "{RARELY}", reconcile: "{RARELY}", forecast: "{RARELY}", evaluate: "{RARELY}",
    train: "{RARELY}", watch: "{RARELY}"}}
"""
DAYS = {"start": "2025-02-27", "end": "2025-02-28"}


@contextmanager
def holding(server: Server, cds: CdsServer, bucket: "S3", folder: Path) -> Iterator[Server]:
    """The same server, for clients and a worker that hold both keys."""
    keys = {
        "CDSAPI_URL": cds.url,
        "CDSAPI_KEY": CDS_KEY,
        "AWS_ENDPOINT_URL": bucket.url,
        "AWS_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "writer",
        "AWS_SECRET_ACCESS_KEY": S3_SECRET,
        "LSNTP_ROOT": f"s3://{bucket.bucket}/root",
        "LSNTP_WORK": str(folder / "work"),
        "HOME": str(folder),
    }
    holder = Server(server.environment | keys, server.api, server.service)
    with worker_of(holder.environment, folder):
        yield holder


def leaks(server: Server, bucket: "S3", folder: Path) -> list[str]:
    """Where one of the keys is found: files of worker and server, answers of its API, objects."""
    places = {}
    for root in (folder, server.service.log.parent):
        for path in root.rglob("*"):
            with suppress(FileNotFoundError, IsADirectoryError):  # the server goes on meanwhile
                places[str(path)] = path.read_bytes()
    for kind in ("logs", "artifacts", "flow_runs", "task_runs", "deployments", "events"):
        places[kind] = json.dumps(server.post(f"/{kind}/filter", {})).encode()
    places |= {key: bucket.get(key) for key in bucket.stored()}
    return [
        name
        for name, content in places.items()
        for key in (CDS_KEY, S3_SECRET)
        if key.encode() in content
    ]


def test_a_refused_key_is_asked_with_once_and_no_key_is_kept_anywhere(
    server: Server, archive_bucket: "S3", shared_data: Path, tmp_path: Path
) -> None:
    file = tmp_path / "england.yaml"
    file.write_text(DOMAIN)
    with (
        CdsServer([shared_data / ENGLAND], key="another") as cds,
        holding(server, cds, archive_bucket, tmp_path) as holder,
    ):
        run_lsntp(holder, "deploy", str(file), "--train-on", "cpu")
        failed = holder.finish(holder.trigger("ingest/england", DAYS))
        assert failed["state"]["type"] == "FAILED"
        assert "key" in failed["state"]["message"]
        paths = [path for _, path, _ in cds.calls]
        assert len(paths) == len(set(paths)) == 2  # the service's messages, and one refusal
        cds.key = CDS_KEY
        holder.complete(holder.trigger("ingest/england", DAYS))
        assert any("/analysis/england.zarr/" in key for key in archive_bucket.stored())
        assert leaks(holder, archive_bucket, tmp_path) == []
        (tmp_path / "planted").write_text(f"key: {S3_SECRET}")
        assert leaks(holder, archive_bucket, tmp_path) == [str(tmp_path / "planted")]
