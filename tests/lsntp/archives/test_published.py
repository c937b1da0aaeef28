import numpy as np
import pytest

from lsntp.archives.analysis import AnalysisArchive
from lsntp.archives.forecast import ForecastArchive
from lsntp.archives.lease import writer_lease
from lsntp.errors import ArchiveError
from lsntp.times import hours


def create(path, lab, leads=(1, 2), cadence_h=1):
    return ForecastArchive.create(
        path,
        grid=lab.SMALL_GRID,
        start=lab.START,
        cadence=hours(cadence_h),
        lead_times=np.array([hours(lead) for lead in leads]),
        attrs={"title": "first"},
    )


def test_an_opened_archive_knows_its_grid_axis_and_lead_times(tmp_path, lab):
    create(tmp_path / "f.zarr", lab, leads=(6, 12), cadence_h=6)
    archive = ForecastArchive.open(str(tmp_path / "f.zarr"))
    assert archive.path == tmp_path / "f.zarr"
    assert archive.grid.matches(lab.SMALL_GRID)
    assert (archive.start, archive.cadence) == (lab.START, hours(6))
    assert archive.lead_times.tolist() == np.array([hours(6), hours(12)]).tolist()
    assert archive.lead_times.dtype == "timedelta64[ns]"
    assert archive.attrs["title"] == "first"


def test_every_difference_is_named_at_once(tmp_path, lab):
    create(tmp_path / "f.zarr", lab)
    with pytest.raises(ArchiveError) as refused:
        create(tmp_path / "f.zarr", lab, leads=(3, 6, 9), cadence_h=3)
    for words in ("cadence 3 h, found 1 h", "lead times 3 h, 6 h, 9 h, found 1 h, 2 h"):
        assert words in str(refused.value)


def test_an_open_archive_sees_what_others_publish_later(tmp_path, lab):
    writer = lab.create(tmp_path / "x.zarr", lab.SMALL_GRID)
    reader = AnalysisArchive.open(tmp_path / "x.zarr")
    assert reader.times.size == 0
    writer.publish(lab.make_frames([0, 1], grid=lab.SMALL_GRID))
    assert reader.times.tolist() == [lab.START.item(), (lab.START + lab.HOUR).item()]
    assert reader.dataset().sizes["time"] == 2


def test_opening_and_reading_need_no_lease(tmp_path, lab):
    lab.create(tmp_path / "x.zarr", lab.SMALL_GRID)
    with writer_lease(tmp_path / "x.zarr"):
        archive = AnalysisArchive.open(tmp_path / "x.zarr")
        assert np.isnan(archive.read(np.array([lab.START]))).all()
