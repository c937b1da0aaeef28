"""A fault of source, configuration or storage during an ingest: nothing stored is changed."""

from pathlib import Path

import numpy as np
import pytest

import lsntp.intake
from lsntp.archives.analysis import AnalysisArchive
from lsntp.errors import ArchiveError, DomainError, SourceDataError, StorageError
from lsntp.grid import regular_grid
from lsntp.names import Status
from lsntp.times import Period, hours
from tests.lsntp.ingest_files import (
    START,
    make_domain,
    run,
    statuses,
    stored_bytes,
    weather,
    write,
)


def broken(path: Path) -> None:
    path.write_bytes(b"GRIB and nothing behind it")


SOURCE_FAULTS = {
    "missing file": (lambda folder: None, "gone-*.nc", SourceDataError, "found none"),
    "unreadable file": (lambda folder: broken(folder / "x.grib"), "x.grib", SourceDataError, "x.g"),
    "wrong variable": (
        lambda folder: write(folder / "x.nc", weather(), name="d2m"),
        "x.nc",
        SourceDataError,
        "d2m",
    ),
    "wrong units": (
        lambda folder: write(folder / "x.nc", weather(), units="m s-1"),
        "x.nc",
        SourceDataError,
        "m s-1",
    ),
    "domain outside the data": (
        lambda folder: write(
            folder / "x.nc",
            weather(24)[:, 5:],
            grid=regular_grid(north=55, south=40, west=-12, east=4, spacing=1),
        ),
        "x.nc",
        DomainError,
        "55",
    ),
    "nothing after the start": (
        lambda folder: write(
            folder / "x.nc", weather(2), times=START - np.array([2, 1]) * hours(1)
        ),
        "x.nc",
        SourceDataError,
        "archive.start",
    ),
}


@pytest.mark.parametrize("fault", SOURCE_FAULTS)
@pytest.mark.parametrize("is_filled", [False, True], ids=["new", "filled"])
def test_a_fault_of_the_source_changes_nothing_stored(tmp_path, fault, is_filled):
    make, paths, error, words = SOURCE_FAULTS[fault]
    if is_filled:
        write(tmp_path / "good.nc", weather(5))
        run(make_domain(tmp_path, "good.nc"))
    before = stored_bytes(tmp_path / "root")
    make(tmp_path)

    with pytest.raises(error, match=words):
        run(make_domain(tmp_path, paths))

    assert stored_bytes(tmp_path / "root") == before


def test_a_period_before_the_archive_is_refused_with_the_remedy(tmp_path):
    write(tmp_path / "a.nc", weather())
    with pytest.raises(DomainError, match=r"another name and an earlier archive\.start"):
        run(make_domain(tmp_path), period=Period(START - hours(24), START + hours(1)))


@pytest.mark.parametrize(
    "overrides",
    [{"grid.spacing": 4}, {"archive.start": "2019-02-01"}, {"cadence_h": 2}],
    ids=["grid", "start", "cadence"],
)
def test_a_domain_that_was_changed_does_not_fit_its_archive(tmp_path, overrides):
    write(tmp_path / "a.nc", weather())
    run(make_domain(tmp_path))
    before = stored_bytes(tmp_path / "root")
    with pytest.raises(ArchiveError, match="give the domain a new name"):
        run(make_domain(tmp_path, **overrides))
    assert stored_bytes(tmp_path / "root") == before


def test_a_root_that_cannot_be_written_is_a_storage_error(tmp_path):
    write(tmp_path / "a.nc", weather())
    (tmp_path / "root").write_text("a file where a folder should be")
    with pytest.raises(StorageError):
        run(make_domain(tmp_path))


def test_a_run_killed_between_two_blocks_is_completed_by_the_next(tmp_path, monkeypatch):
    write(tmp_path / "a.nc", weather(48))
    monkeypatch.setattr(lsntp.intake, "BLOCK", hours(24))
    domain = make_domain(tmp_path)
    publish = AnalysisArchive.publish

    def die_on_the_second(self, frames, **arguments):
        if frames["time"].values[0] > START:
            raise KeyboardInterrupt
        return publish(self, frames, **arguments)

    with monkeypatch.context() as patched:
        patched.setattr(AnalysisArchive, "publish", die_on_the_second)
        with pytest.raises(KeyboardInterrupt):
            run(domain)
    assert statuses(domain) == [Status.FINAL] * 24
    report = run(domain)
    assert (report.already, report.written) == (24, 24)
