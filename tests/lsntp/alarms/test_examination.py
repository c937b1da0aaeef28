from lsntp.alarms import AlarmName, Level, findings
from lsntp.times import hours, parse_time
from lsntp.workspace import Workspace
from tests.lsntp.ingest_files import stored_bytes

NOW = parse_time("2021-01-11T03")


def test_every_alarm_is_judged_once_and_nothing_is_changed(live, store):
    domain = live()
    store(domain)
    before = stored_bytes(Workspace.of(domain).root)
    found = findings(domain, NOW)
    assert [one.name for one in found] == list(AlarmName)
    assert all(one.expected and one.found and one.remedy and one.limits for one in found)
    assert stored_bytes(Workspace.of(domain).root) == before


def test_an_archive_that_cannot_be_read_is_an_alarm_of_all_who_need_it(live, store):
    domain = live()
    path = store(domain).path
    (path / "zarr.json").write_text("{")
    found = {one.name: one for one in findings(domain, NOW)}
    for name in (AlarmName.STALE_ANALYSIS, AlarmName.LOW_COVERAGE, AlarmName.QUALITY_REJECTIONS):
        assert found[name].level is Level.RED
        assert "could not be judged" in found[name].found
        assert "lsntp verify small --all" in found[name].remedy
    assert found[AlarmName.DISK_SPACE].level is not Level.RED


def test_a_dead_pipeline_turns_red_by_itself(live, store):
    domain = live()
    store(domain)
    levels = [findings(domain, NOW + hours(later))[0].level for later in (0, 24)]
    assert levels == [Level.GREEN, Level.RED]
