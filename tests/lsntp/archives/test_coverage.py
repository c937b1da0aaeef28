import json

import numpy as np

from lsntp.archives.coverage import coverage
from lsntp.names import Status
from lsntp.times import Period
from tests.lsntp.archives.reading import reads


def test_without_an_archive_every_hour_of_the_period_is_missing(lab):
    period = Period(lab.START - 5 * lab.HOUR, lab.START + 4 * lab.HOUR)
    known = coverage(None, lab.START, lab.HOUR, period)
    assert known.times.tolist() == (lab.START + np.arange(4) * lab.HOUR).tolist()
    assert (known.status == Status.MISSING).all()
    assert known.times.size == 4
    assert not known.is_complete


def test_it_tells_what_is_known_within_and_beyond_the_extent(tmp_path, lab):
    archive = lab.create(tmp_path / "x.zarr", lab.SMALL_GRID)
    archive.publish(lab.make_frames([0, 1, 2], grid=lab.SMALL_GRID))
    archive.publish(lab.make_frames([4], Status.PRELIMINARY, lab.SMALL_GRID))
    archive.mark(lab.START + np.array([5, 6]) * lab.HOUR, Status.QUARANTINED)
    known = coverage(
        archive, lab.START, lab.HOUR, Period(lab.START + lab.HOUR, lab.START + 9 * lab.HOUR)
    )
    hour = [lab.START + index * lab.HOUR for index in range(10)]
    assert known.status.tolist() == [2, 2, 0, 1, 3, 3, 0, 0]
    assert known.usable.tolist() == np.array([hour[1], hour[2], hour[4]]).tolist()
    assert known.counts[Status.QUARANTINED] == 2
    assert [(run.start, run.end, run.status) for run in known.runs()] == [
        (hour[1], hour[3], Status.FINAL),
        (hour[3], hour[4], Status.MISSING),
        (hour[4], hour[5], Status.PRELIMINARY),
        (hour[5], hour[7], Status.QUARANTINED),
        (hour[7], hour[9], Status.MISSING),
    ]
    summary = json.loads(json.dumps(known.summary()))
    assert summary["start"] == "2020-02-28T01:00Z"
    assert summary["end"] == "2020-02-28T09:00Z"
    assert (summary["expected"], summary["usable"], summary["missing"]) == (8, 3, 3)
    assert summary["gaps"][1] == {
        "start": "2020-02-28T05:00Z",
        "end": "2020-02-28T07:00Z",
        "status": "quarantined",
    }


def test_a_period_before_the_start_expects_nothing(lab):
    period = Period(lab.START - 5 * lab.HOUR, lab.START)
    known = coverage(None, lab.START, lab.HOUR, period)
    assert known.runs() == []
    assert known.summary()["expected"] == 0
    assert known.is_complete


def test_ten_years_are_surveyed_by_one_read_of_their_status(tmp_path, lab, monkeypatch):
    archive = lab.create(tmp_path / "x.zarr", lab.SMALL_GRID)
    archive.publish(lab.make_frames([0, 87_647], grid=lab.SMALL_GRID))
    read = reads(monkeypatch)
    known = coverage(archive, lab.START, lab.HOUR, Period(lab.START, lab.START + 87_648 * lab.HOUR))
    assert [key for key in read if "/c/" in key] == ["status/c/0"]
    assert known.counts[Status.MISSING] == 87_646
