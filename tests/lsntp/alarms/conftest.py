"""The small domain with a source that promises to be up to date, and an archive in any state."""

import datetime as dt
import shutil

import numpy as np
import pytest

from lsntp.archives.analysis import AnalysisArchive
from lsntp.archives.forecast import ForecastArchive
from lsntp.names import CHAMPION, Status
from lsntp.times import hours
from lsntp.training.champion import Reign, pointer_lease, put_champion
from lsntp.workspace import Workspace

HELD_H = 240
"""Analyses from 2021-01-01T00 to 2021-01-10T23."""
TEST_START = {
    "train": {"start": "2021-01-01", "end": "2021-01-05"},
    "validation": {"start": "2021-01-05", "end": "2021-01-07"},
    "test": {"start": "2021-01-07", "end": "2021-02-01"},
}


@pytest.fixture
def live(make_domain, tmp_path):
    """``live(source="gfs", **changes)``: a domain without anything stored; 1 h steps, 4 h back."""

    def make(source="gfs", **changes):
        config = {"name": source}
        if source == "gfs":
            config |= {"publication_h": 4, "resolution": "0p25"}
        return make_domain(tmp_path / "root", source=config, split=TEST_START, **changes)

    return make


@pytest.fixture(scope="session")
def _whole_archive(make_domain, publish, make_fields, tmp_path_factory):
    domain = make_domain(tmp_path_factory.mktemp("whole"))
    return publish(domain, make_fields(domain, HELD_H)).path


@pytest.fixture
def store(_whole_archive, publish, make_fields):
    """``store(domain, missing=(), count=240)``: analyses, except at some steps."""

    def make(domain, *, missing=(), count=HELD_H):
        path = Workspace.of(domain).analysis
        if not missing and count == HELD_H:
            shutil.copytree(_whole_archive, path)
            return AnalysisArchive.open(path)
        fields = make_fields(domain, count)
        lacking = sorted(missing)
        for first, end in zip([-1, *lacking], [*lacking, count], strict=True):
            if end > first + 1:
                archive = publish(domain, fields[first + 1 : end], first=first + 1)
        return archive

    return make


@pytest.fixture
def crown():
    """``crown(domain, last)``: a champion whose last forecast starts at that step."""

    def make(domain, last=None):
        reign = Reign(
            version="ridge-0123456789ab",
            since=dt.datetime(2021, 1, 7, tzinfo=dt.UTC),
            action="forced",
            by="test",
            reason="test",
        )
        with pointer_lease(domain) as lease:
            put_champion(domain, reign, before=None, lease=lease)
        if last is not None:
            forecast(domain, last)

    return make


def forecast(domain, step):
    archive = ForecastArchive.create(
        Workspace.of(domain).forecast(CHAMPION),
        grid=domain.target_grid,
        start=domain.start,
        cadence=domain.cadence,
        lead_times=domain.lead_times,
        attrs={},
    )
    archive.publish(
        np.array([domain.start + step * hours(1)]),
        np.full((1, domain.horizon, *domain.target_grid.shape), 280.0, np.float32),
        model_version="ridge-0123456789ab",
        analysis_status=np.array([Status.FINAL], np.int8),
    )
