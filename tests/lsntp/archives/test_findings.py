import json
from pathlib import Path

import numpy as np
import pytest

from lsntp.archives.findings import ArchiveReport, Fault, Finding, VerifyReport, runs


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ([], []),
        ([0, 0], []),
        ([1, 1, 1], [(0, 3)]),
        ([1, 0, 0, 1], [(0, 1), (3, 4)]),
        ([0, 1, 1, 0, 1, 0], [(1, 3), (4, 5)]),
    ],
)
def test_runs_are_the_half_open_spans_of_true_flags(flags, expected):
    assert runs(np.array(flags, bool)) == expected


def test_a_finding_tells_its_positions_along_the_dimensions_it_has():
    finding = Finding(Fault.CONTENT, "t2m", "odd", ("time", "latitude"), ((3, 5), (0, 2)))
    assert finding.along("time") == slice(3, 5)
    assert finding.along("latitude") == slice(0, 2)
    assert finding.along("longitude") is None
    assert Finding(Fault.METADATA, "", "absent").along("time") is None


def test_reports_count_what_is_wrong_and_are_plain_json():
    finding = Finding(
        Fault.MISSING, "t2m", "is not there", key="t2m/c/0", where="here", remedy="cure"
    )
    damaged = ArchiveReport(Path("/a/x.zarr"), "analysis", 60, 9, 8, (finding, finding))
    whole = ArchiveReport(Path("/a/f.zarr"), "forecast", 5, 4, 4, ())
    report = VerifyReport((damaged, whole))
    assert report.findings == 2
    assert VerifyReport(()).findings == 0
    content = json.loads(json.dumps(report.to_json()))
    assert content["findings"] == 2
    assert content["archives"][0]["findings"][1] == {
        "fault": "missing",
        "array": "t2m",
        "what": "is not there",
        "where": "here",
        "object": "t2m/c/0",
        "remedy": "cure",
    }
    assert content["archives"][1] == {
        "path": "/a/f.zarr",
        "kind": "forecast",
        "slots": 5,
        "objects": 4,
        "decoded": 4,
        "findings": [],
    }
