"""What the schedule does with GFS: ticks without a period, a hole that is filled, a backfill."""

from pathlib import Path

import numpy as np
import pytest
import xarray as xr
import yaml

from lsntp.archives.analysis import AnalysisArchive
from lsntp.backfill import backfill
from lsntp.config import Domain
from lsntp.ingest import IngestReport, ingest
from lsntp.names import Status
from lsntp.times import Period, hours
from lsntp.workspace import Workspace
from tests.standins import gfs
from tests.standins.gfs_season import CYCLE, DOMAIN, START, Season
from tests.standins.s3 import S3

ABSENT = 3
ABSENT_TIME = START + ABSENT * CYCLE


@pytest.fixture
def domain(bucket: S3, tmp_path: Path) -> Domain:
    content = DOMAIN.format(bucket=bucket.bucket, root=tmp_path / "root")
    return Domain.model_validate(yaml.safe_load(content))


@pytest.fixture
def season(library: gfs.Library, bucket: S3) -> Season:
    """Twelve analyses in the bucket, one of them missing."""
    season = Season(library)
    for index in range(12):
        if index != ABSENT:
            season.put(bucket, START + index * CYCLE, 0)
    return season


def tick(domain: Domain, now: np.datetime64) -> IngestReport:
    return ingest(domain, clock=lambda: now)


def status(domain: Domain) -> list[int]:
    archive = AnalysisArchive.open(Workspace.of(domain).analysis)
    return archive.status_at(START + np.arange(ABSENT + 1) * CYCLE).tolist()


def asked_for_the_absent(bucket: S3) -> bool:
    key = gfs.key(ABSENT_TIME, 0)
    found = any(request.path.endswith(key) for request in bucket.requests)
    bucket.forget()
    return found


def test_a_missing_analysis_is_not_yet_then_a_hole_that_rests_then_the_field_when_it_comes(
    domain: Domain, season: Season, bucket: S3
) -> None:
    """``give_up_h`` is 48 after the initial time, ``retry_h`` 24 after it was asked for."""
    final, hole = int(Status.FINAL), int(Status.UPSTREAM_HOLE)
    assert tick(domain, ABSENT_TIME + hours(22)).written == 6  # 0 to 6 without 3
    assert status(domain) == [final, final, final, int(Status.MISSING)]
    asked = ABSENT_TIME + hours(49)
    assert tick(domain, asked).written == 4  # 7 to 10
    assert status(domain) == [final, final, final, hole]
    bucket.forget()
    tick(domain, asked + hours(6))
    assert not asked_for_the_absent(bucket)
    season.put(bucket, ABSENT_TIME, 0)
    bucket.forget()
    tick(domain, asked + hours(25))
    assert asked_for_the_absent(bucket)
    assert status(domain) == [final] * 4


def test_a_backfill_leaves_the_archive_that_ticks_do(
    domain: Domain, season: Season, bucket: S3, tmp_path: Path
) -> None:
    now = START + 11 * CYCLE + hours(4)
    for late in (6, 3, 0):
        tick(domain, now - late * CYCLE)
    filled = domain.model_copy(update={"root": str(tmp_path / "filled")})
    period = Period(START, START + 12 * CYCLE)
    report = backfill(filled, period=period, newest_first=True, clock=lambda: now)
    assert report.written == 11
    ticked, whole = (
        xr.open_zarr(Workspace.of(one).analysis, chunks=None)
        .drop_vars("ingested_at")
        .drop_attrs()
        .load()
        for one in (domain, filled)
    )
    xr.testing.assert_identical(whole, ticked)
