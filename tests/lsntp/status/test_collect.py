"""A document from archives on disk."""

import datetime as dt

import numpy as np
import pytest

from lsntp.alarms import AlarmName, Level, findings
from lsntp.evaluation.scoring import evaluate
from lsntp.names import Status as HourStatus
from lsntp.status.collect import status_of
from lsntp.times import hours, parse_time
from lsntp.workspace import Workspace
from tests.lsntp.evaluation.conftest import make_world

NOW = parse_time("2021-01-16T02")
SINCE = dt.datetime(2021, 1, 15, tzinfo=dt.UTC)


@pytest.fixture(scope="module")
def scored(tmp_path_factory):
    """Six-hourly to 2024-02-02T18; the champion misses by 1 K since 29 January, persistence 2 K."""
    world = make_world(tmp_path_factory.mktemp("scored"))
    world.ingest(world.times[:56])
    world.prepare()
    world.forecast("persistence", world.times[36:56], 2.0)
    world.forecast("champion", world.times[36:56], 1.0, version="net-0123456789ab")
    evaluate(world.domain)
    return world.domain


def test_a_document_says_what_the_archives_hold(scored):
    now = parse_time("2024-02-02T21")
    status = status_of(scored, findings(scored, now), {AlarmName.DISK_SPACE: SINCE}, now)
    assert status.analysis.time == dt.datetime(2024, 2, 2, 18, tzinfo=dt.UTC)
    assert (status.analysis.status, status.analysis.age_h) == ("final", 3.0)
    assert status.forecast.init_time == status.analysis.time
    assert status.forecast.valid_until == dt.datetime(2024, 2, 3, 6, tzinfo=dt.UTC)
    assert status.forecast.model_version == "net-0123456789ab"
    assert (status.coverage.expected, status.coverage.final) == (28, 28)
    assert status.disk.total_gb >= status.disk.free_gb > 0
    assert status.made_at == dt.datetime(2024, 2, 2, 21, tzinfo=dt.UTC)
    assert status.good_until - status.made_at == dt.timedelta(minutes=60)
    since = {one.name: one.open_since for one in status.judgements}
    assert since.pop(AlarmName.DISK_SPACE) == SINCE
    assert set(since.values()) == {None}


def test_the_skill_is_that_of_the_champion_against_persistence(scored):
    skill = status_of(scored, [], {}, NOW).skill
    assert skill.skill == pytest.approx(0.5, abs=1e-3)  # 1 - 1 K / 2 K
    assert skill.mae_k == pytest.approx(1.0, abs=1e-3)
    assert skill.init_times == 18  # the last two have no truth for their last lead
    assert skill.until == "2024-02-02"
    days = [f"2024-{day}" for day in ("01-29", "01-30", "01-31", "02-01", "02-02")]
    assert [one.day for one in skill.daily] == days
    assert [one.skill for one in skill.daily] == pytest.approx([0.5] * 5, abs=1e-3)


def test_an_empty_root_has_nothing_and_says_why(make_domain, tmp_path):
    domain = make_domain(tmp_path / "root")
    status = status_of(domain, findings(domain, NOW), {}, NOW)
    assert (status.analysis, status.forecast, status.coverage, status.skill) == (None,) * 4
    assert "lsntp evaluate small" in status.why_no_skill


def test_the_level_is_the_gravest_of_all(make_domain, tmp_path):
    domain = make_domain(tmp_path / "root", alarms={"disk_low_gb": 1e9, "disk_min_gb": 1e9})
    assert status_of(domain, findings(domain, NOW), {}, NOW).level is Level.RED


def test_a_damaged_archive_leaves_a_document_that_says_so(ingested):
    (Workspace.of(ingested).analysis / "zarr.json").write_text("{")
    status = status_of(ingested, findings(ingested, NOW), {}, NOW)
    assert (status.analysis, status.level) == (None, Level.RED)
    assert "could not be judged" in status.judgements[0].found


def test_counts_are_those_of_the_days_up_to_the_newest_analysis(make_domain, publish, tmp_path):
    domain = make_domain(tmp_path / "root", alarms={"coverage_days": 1})
    fields = np.linspace(270, 280, 30 * 48).reshape(30, 6, 8).astype(np.float32)
    archive = publish(domain, fields[:10])
    publish(domain, fields[12:], first=12, status=HourStatus.PRELIMINARY)
    archive.mark(domain.start + np.array([10]) * hours(1), HourStatus.QUARANTINED)
    archive.mark(domain.start + np.array([11]) * hours(1), HourStatus.UPSTREAM_HOLE)
    found = status_of(domain, [], {}, NOW).coverage
    # 24 steps, 6 to 29: four final, one rejected, one hole, eighteen preliminary
    assert found.model_dump() == {
        "days": 1,
        "expected": 24,
        "final": 4,
        "preliminary": 18,
        "quarantined": 1,
        "upstream_hole": 1,
        "missing": 0,
    }
