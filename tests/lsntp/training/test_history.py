import numpy as np
import pytest

from lsntp.archives.analysis import AnalysisArchive
from lsntp.errors import ArchiveError, ArchiveNotFoundError
from lsntp.training.history import is_complete, open_analysis, read_fields, status_of, times_of
from lsntp.workspace import Workspace


def test_times_lie_offsets_steps_from_the_initial_time(ingested):
    archive = open_analysis(ingested)
    times = times_of(archive, np.array(["2021-01-02T00"], "datetime64[ns]"), (-24, -1, 0))
    expected = [["2021-01-01T00", "2021-01-01T23", "2021-01-02T00"]]
    np.testing.assert_array_equal(times, np.array(expected, "datetime64[ns]"))


def test_fields_come_in_the_order_of_offsets(ingested):
    archive = AnalysisArchive.open(Workspace.of(ingested).analysis)
    init_times = archive.times[[30, 7]]
    fields = read_fields(archive, init_times, (-3, 0))
    np.testing.assert_array_equal(fields[0], archive.read(archive.times[[27, 30]]))
    np.testing.assert_array_equal(fields[1], archive.read(archive.times[[4, 7]]))


def test_a_history_is_complete_if_every_hour_is_usable():
    status = np.array([[2, 2], [1, 2], [0, 2], [2, 3], [4, 2]], np.int8)
    assert is_complete(status).tolist() == [True, True, False, False, False]


def test_hours_outside_the_archive_are_missing(ingested):
    archive = open_analysis(ingested)
    assert status_of(archive, archive.times[:1], (-1, 0)).tolist() == [[0, 2]]


def test_no_archive_is_said_so(tmp_path, ingested):
    with pytest.raises(ArchiveNotFoundError):
        open_analysis(ingested.model_copy(update={"root": str(tmp_path / "elsewhere")}))


def test_an_archive_of_another_grid_is_refused(ingested):
    other = ingested.model_copy(update={"grid": ingested.grid.model_copy(update={"east": 6.0})})
    with pytest.raises(ArchiveError, match=r"grid 6 x 7 cells.*found 6 x 8 cells"):
        open_analysis(other)
