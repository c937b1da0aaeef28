import json
import os

import numpy as np
import pytest
import zarr

from lsntp.archives.analysis import AnalysisArchive
from lsntp.archives.findings import Fault, Finding
from lsntp.archives.mending import is_mendable, mend, mend_metadata
from lsntp.archives.verification import verify_archive
from lsntp.names import Status
from lsntp.times import parse_time
from lsntp.workspace import Workspace

NOW = parse_time("2021-03-01")


@pytest.fixture
def domain(make_domain, make_fields, publish, tmp_path):
    """30 final hours in two chunks of 24."""
    domain = make_domain(tmp_path)
    publish(domain, make_fields(domain, 30))
    return domain


@pytest.mark.parametrize(
    ("fault", "array", "kind", "expected"),
    [
        (Fault.UNREADABLE, "t2m", "analysis", True),
        (Fault.METADATA, "model", "evaluation", True),
        (Fault.UNREADABLE, "model", "evaluation", False),
        (Fault.FOREIGN, "", "analysis", False),
    ],
)
def test_names_of_models_and_other_domains_cannot_be_mended(fault, array, kind, expected):
    assert is_mendable(Finding(fault, array, "what"), kind) is expected


def test_lost_fields_become_missing_and_their_digests_are_told(domain):
    path = Workspace.of(domain).analysis
    digests = np.asarray(zarr.open_group(path, mode="r")["source_digest"])
    os.truncate(path / "t2m/c/1/0/0", 10)
    withdrawn = mend(domain, path, "analysis", now=NOW)
    times = domain.start + np.arange(24, 30) * domain.cadence
    np.testing.assert_array_equal(withdrawn.times, times)
    np.testing.assert_array_equal(withdrawn.digests, digests[24:])
    assert withdrawn.models == ()
    archive = AnalysisArchive.open(path)
    assert archive.status.tolist() == [Status.FINAL] * 24 + [Status.MISSING] * 6
    assert np.isnan(archive.read(times)).all()
    assert verify_archive(path, "analysis", domain=domain).findings == ()


def test_a_lost_time_of_writing_is_now_and_nothing_is_withdrawn(domain):
    path = Workspace.of(domain).analysis
    (path / "ingested_at/c/0").unlink()
    withdrawn = mend(domain, path, "analysis", now=NOW)
    assert (withdrawn.times.size, withdrawn.digests.shape) == (0, (0, 32))
    written = np.asarray(zarr.open_group(path, mode="r")["ingested_at"])
    assert written.tolist() == [1_614_556_800] * 30  # date -u -d 2021-03-01 +%s


def test_the_extent_is_what_most_copies_say(domain):
    path = Workspace.of(domain).analysis
    (path / "zarr.json").unlink()
    status = path / "status/zarr.json"
    document = json.loads(status.read_text())
    assert document["shape"] == [30]
    status.write_text(json.dumps(document | {"shape": [90]}))
    mend_metadata(domain, path, "analysis")
    assert AnalysisArchive.open(path).status.tolist() == [Status.FINAL] * 30
    assert verify_archive(path, "analysis", domain=domain).findings == ()
