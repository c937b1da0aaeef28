"""Yearly files on disk; what becomes of answers is tested with the source they are for."""

import logging
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from lsntp.errors import SourceUnavailableError, StorageError
from lsntp.grid import regular_grid
from lsntp.sources.transfer import Limits
from lsntp.sources.yearly import YearlyFiles
from lsntp.times import hours, parse_time
from tests.standins.file_host import FileHost, Status
from tests.standins.reanalysis_files import EXCERPT, yearly_file

AREA = regular_grid(north=50, south=40, west=-110, east=-100, spacing=2.5)
PATH = "/air.2014.nc"


@pytest.fixture
def host() -> Iterator[FileHost]:
    with FileHost().running() as running:
        yield running


@pytest.fixture
def open_files(host: FileHost, tmp_path: Path) -> Callable[..., YearlyFiles]:
    def make(*more: str) -> YearlyFiles:
        return YearlyFiles(
            tmp_path / "files",
            lambda year: f"air.{year}.nc",
            [host.url, *more],
            area=AREA,
            cadence=hours(6),
            limits=Limits(retries=0, pause_s=0.01),
        )

    return make


@pytest.fixture
def content(shared_data: Path) -> Callable[..., bytes]:
    return lambda **changes: yearly_file(shared_data / EXCERPT, 2014, **changes)


def test_nothing_on_disk_is_nothing_held_and_no_host_is_asked(
    host: FileHost, open_files: Callable[..., YearlyFiles]
) -> None:
    assert open_files().held(2014) is None
    assert host.requests == []


def test_a_growing_file_is_asked_for_once_a_run(
    host: FileHost, open_files: Callable[..., YearlyFiles], content: Callable[..., bytes]
) -> None:
    host.put(PATH, content(count=10))
    files = open_files()
    answers = [files.get(2014) for _ in range(3)]
    assert answers[0] is answers[2]
    assert len(host.asked(PATH)) == 1
    held = answers[0].held
    assert held is not None
    assert answers[0].is_current
    assert not held.is_complete
    assert held.times[-1] == parse_time("2014-01-03T06")
    again = open_files().held(2014)
    assert again is not None
    assert np.array_equal(again.times, held.times)


def test_a_file_of_another_length_than_its_note_says_is_fetched_again(
    host: FileHost,
    open_files: Callable[..., YearlyFiles],
    content: Callable[..., bytes],
    tmp_path: Path,
) -> None:
    host.put(PATH, content(count=10))
    open_files().get(2014)
    with (tmp_path / "files/air.2014.nc").open("ab") as file:
        file.write(b"more")
    assert open_files().held(2014) is None
    answer = open_files().get(2014)
    assert answer.held is not None
    assert [request.status for request in host.asked(PATH)] == [200, 200]


def test_the_version_of_one_host_is_not_named_to_another(
    host: FileHost, open_files: Callable[..., YearlyFiles], content: Callable[..., bytes]
) -> None:
    with FileHost().running() as mirror:
        mirror.put(PATH, content(count=10))
        host.put(PATH, content(count=10))
        host.fail(PATH, Status(503))
        open_files(mirror.url).get(2014)
        open_files(mirror.url).get(2014)
        (request,) = [request for request in host.asked(PATH) if request.status == 200]
        assert "If-None-Match" not in request.headers


def test_the_problem_of_the_last_host_that_may_come_back_is_told(
    host: FileHost, open_files: Callable[..., YearlyFiles]
) -> None:
    with FileHost().running() as mirror:
        host.fail(PATH, Status(503))
        mirror.fail(PATH, Status(403))
        answer = open_files(mirror.url).get(2014)
    assert answer.held is None
    assert not answer.is_current
    assert isinstance(answer.problem, SourceUnavailableError)


def test_equal_fields_of_a_new_version_are_no_change(
    host: FileHost,
    open_files: Callable[..., YearlyFiles],
    content: Callable[..., bytes],
    caplog: pytest.LogCaptureFixture,
) -> None:
    host.put(PATH, content(count=10))
    open_files().get(2014)
    host.put(PATH, content(count=12, data_model="NETCDF3_CLASSIC"))
    with caplog.at_level(logging.WARNING):
        answer = open_files().get(2014)
    assert answer.held is not None
    assert answer.held.times.size == 12
    assert "differ" not in caplog.text


def test_a_folder_that_cannot_be_made_is_the_storages_fault(
    open_files: Callable[..., YearlyFiles], tmp_path: Path
) -> None:
    (tmp_path / "files").write_text("in the way")
    with pytest.raises(StorageError, match=r"Expected to keep air\.2014\.nc"):
        open_files().get(2014)
