"""A document from archives on disk."""

import datetime as dt

import numpy as np
import pytest

from lsntp.alarms import AlarmName, Level, findings
from lsntp.evaluation.breakdown import skill_through_time
from lsntp.names import Status as HourStatus
from lsntp.status.collect import moment, status_of
from lsntp.times import Period, hours, parse_time
from lsntp.training.champion import promote
from lsntp.training.versions import latest_version
from lsntp.workspace import Workspace

NOW = parse_time("2021-01-16T02")
SINCE = dt.datetime(2021, 1, 15, tzinfo=dt.UTC)


@pytest.fixture(scope="module")
def scored(_trained_root, make_domain, tmp_path_factory):
    """The small domain with ridge as champion, its last forecasts scored."""
    import shutil

    from lsntp.evaluation.scoring import evaluate
    from lsntp.forecasting import forecast

    root = tmp_path_factory.mktemp("scored") / "root"
    shutil.copytree(_trained_root, root)
    domain = make_domain(root, bootstrap_samples=100)
    ridge = latest_version(Workspace.of(domain).models, "ridge")
    promote(domain, ridge.version, by="test", reason="test")
    forecast(
        domain, models=["persistence", "ridge"], period=Period.parse("2021-01-13", "2021-01-16")
    )
    evaluate(domain)
    return domain


def test_a_document_says_what_the_archives_hold(scored):
    found = findings(scored, NOW)
    status = status_of(scored, found, {AlarmName.DISK_SPACE: SINCE}, NOW)
    assert status.analysis.time == dt.datetime(2021, 1, 15, 23, tzinfo=dt.UTC)
    assert (status.analysis.status, status.analysis.age_h) == ("final", 3.0)
    assert status.forecast.init_time == status.analysis.time
    assert status.forecast.valid_until == dt.datetime(2021, 1, 16, 2, tzinfo=dt.UTC)
    assert status.forecast.model_version.startswith("ridge-")
    assert (status.coverage.expected, status.coverage.final) == (168, 168)
    assert status.disk.total_gb >= status.disk.free_gb > 0
    assert (status.made_at, status.good_until) == (
        moment(NOW),
        moment(NOW) + dt.timedelta(minutes=60),
    )
    since = {one.name: one.open_since for one in status.judgements}
    assert since.pop(AlarmName.DISK_SPACE) == SINCE
    assert set(since.values()) == {None}


def test_the_skill_is_that_of_the_champion_against_persistence(scored):
    status = status_of(scored, findings(scored, NOW), {}, NOW)
    whole = skill_through_time(
        scored,
        window_days=3,
        baseline="persistence",
        models=["champion"],
        period=Period.parse("2021-01-13", "2021-01-16"),
    ).sel(model="champion")
    assert status.skill.skill == pytest.approx(float(whole["skill"][-1]), abs=1e-4)
    assert status.skill.init_times == int(whole["init_times"][-1])
    assert [day.day for day in status.skill.daily] == ["2021-01-13", "2021-01-14", "2021-01-15"]
    assert status.why_no_skill == ""


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
