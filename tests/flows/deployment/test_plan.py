"""infra/*.yaml: complete, readable by Prefect, and one with the domains that ship."""

import itertools
from datetime import UTC, datetime, timedelta

import pytest
import yaml
from cronsim import CronSim
from prefect.events.schemas.automations import AutomationCore

from flows.deployment import plan
from flows.deployment.plan import AUTOMATIONS_FILE, PREFECT_FILE, plan_for
from lsntp.config import load_domain
from lsntp.errors import DeploymentError

FLOWS = {"ingest", "reconcile", "forecast", "evaluate", "watch", "train", "backfill"}
SHIPPED = ("demo", "era5-hourly", "gfs-6hourly", "ncep-6hourly")


def entries(domain=None):
    found = yaml.safe_load(PREFECT_FILE.read_text())["deployments"]
    return [one for one in found if domain in (None, one["name"])]


def flow_of(entry):
    return entry["entrypoint"].rpartition(":")[2]


def planned(name, **overrides):
    return plan_for(load_domain(name, overrides=overrides), name, overrides)


@pytest.mark.parametrize("name", SHIPPED)
def test_the_file_says_of_a_shipped_domain_what_lsntp_deploy_makes_of_it(name):
    ours = planned(name)
    written = {flow_of(entry): entry for entry in entries(name)}
    assert set(written) == FLOWS == {one.flow.name for one in ours.deployments}
    for one in ours.deployments:
        entry = written[one.flow.name]
        lines = [schedule["cron"] for schedule in entry.get("schedules", [])]
        assert lines == ([one.cron] if one.cron else [])
        assert entry["work_pool"] == one.pool
        assert entry["tags"] == one.tags
        assert entry["concurrency_limit"] == one.entry["concurrency_limit"]
        own = {key: value for key, value in one.parameters.items() if key != "overrides"}
        assert entry["parameters"] == own
    specs = [spec for entry in entries(name) for spec in entry.get("triggers", [])]
    assert specs == [trigger.spec for trigger in ours.triggers]


def test_no_domain_is_in_the_file_that_does_not_ship():
    assert {entry["name"] for entry in entries()} == set(SHIPPED)


def test_every_schedule_is_in_utc_and_every_collision_is_decided():
    slugs = []
    for entry in entries():
        assert entry["concurrency_limit"]["limit"] == 1
        by_hand = flow_of(entry) in ("train", "backfill")
        expected = "ENQUEUE" if by_hand else "CANCEL_NEW"
        assert entry["concurrency_limit"]["collision_strategy"] == expected
        for schedule in entry.get("schedules", []):
            assert schedule["timezone"] == "UTC"
            slugs.append(schedule["slug"])
    assert len(slugs) == len(set(slugs))


def test_era5_is_asked_every_hour_and_six_hourly_sources_once_a_run_at_least():
    def ticks(name, count):
        cron = CronSim(load_domain(name).schedule.ingest, datetime(2026, 3, 1, 0, 0, tzinfo=UTC))
        return [next(cron) for _ in range(count)]

    era5 = ticks("era5-hourly", 25)
    assert {later - one for one, later in itertools.pairwise(era5)} == {timedelta(hours=1)}
    for name in ("gfs-6hourly", "ncep-6hourly"):
        spans = {tick.hour // 6 for tick in ticks(name, 24)}
        assert spans == {0, 1, 2, 3}


def test_gfs_is_asked_as_soon_as_a_run_was_measured_to_be_there_and_again_until_it_surely_is():
    """Measured: f006 after 3 h 36 min, the end of a run after 5 h 35 min in 99 % of cases."""
    begin = datetime(2026, 3, 1, tzinfo=UTC)
    cron = CronSim(load_domain("gfs-6hourly").schedule.ingest, begin)
    ticks = [tick for tick in itertools.islice(cron, 40) if tick < begin + timedelta(days=3)]
    for cycle in range(8):
        run = begin + timedelta(hours=6 * cycle)
        ages = [tick - run for tick in ticks]
        first = min(age for age in ages if age >= timedelta(hours=3, minutes=36))
        assert first <= timedelta(hours=3, minutes=45)
        assert any(timedelta(hours=5, minutes=35) <= age < timedelta(hours=6) for age in ages)


def test_retraining_waits_for_a_gpu_unless_the_domain_says_cpu():
    for name, pool in (("gfs-6hourly", "gpu"), ("demo", "cpu")):
        (train,) = (one for one in planned(name).deployments if one.flow.name == "train")
        assert train.pool["name"] == pool
        assert train.parameters["require_gpu"] is (pool == "gpu")
    moved = planned("gfs-6hourly", **{"retrain.pool": "cpu"})
    (train,) = (one for one in moved.deployments if one.flow.name == "train")
    assert train.pool["name"] == "cpu"
    assert train.parameters["require_gpu"] is False
    assert [pool.name for pool in moved.pools] == ["cpu"]
    assert "retrain.pool" not in train.parameters["overrides"]


def test_relative_paths_of_overrides_mean_the_same_in_the_folder_of_a_worker(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("LSNTP_WORK", raising=False)
    given = {
        "work": "scratch",
        "static": {"paths": ["ground/*.nc"]},
        "alarms.webhook_file": "secret/webhook",
    }
    for one in planned("demo", **given).deployments:
        found = one.parameters["overrides"]
        assert found["work"] == str(tmp_path / "scratch")
        assert found["static.paths"] == [str(tmp_path / "ground/*.nc")]
        assert found["alarms.webhook_file"] == str(tmp_path / "secret/webhook")
        (tmp_path / "worker").mkdir(exist_ok=True)
        monkeypatch.chdir(tmp_path / "worker")
        there = load_domain("demo", overrides=found)
        assert there.static.paths == (str(tmp_path / "ground/*.nc"),)
        monkeypatch.chdir(tmp_path)


def test_a_relative_work_folder_of_a_file_is_pinned_and_a_machines_own_is_not(
    tmp_path, monkeypatch
):
    def work_of(content):
        path = tmp_path / "mine.yaml"
        path.write_text(yaml.safe_dump({**demo, **content}))
        made = plan_for(load_domain(path), str(path), {})
        return {one.parameters["overrides"].get("work") for one in made.deployments}

    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("LSNTP_WORK", raising=False)
    demo = yaml.safe_load((plan.PROJECT / "lsntp/presets/demo.yaml").read_text())
    assert work_of({"work": "scratch"}) == {str(tmp_path / "scratch")}
    assert work_of({"work": "/scratch"}) == {None}  # the same anywhere; LSNTP_WORK may win there
    assert work_of({"work": "~/scratch"}) == {None}  # of each user
    assert work_of({}) == {None}
    monkeypatch.setenv("LSNTP_WORK", "here")
    assert work_of({"work": "scratch"}) == {None}


def test_the_events_of_one_domain_start_nothing_of_another():
    for trigger in planned("ncep-6hourly", domain="mine").triggers:
        assert trigger.spec["match"] == {"prefect.resource.id": "lsntp.domain.mine"}
        assert "mine" in trigger.name
        assert "demo" not in str(trigger.spec)


def test_three_heartbeats_come_within_the_patience_of_the_automation_that_waits_for_them():
    (found,) = (
        AutomationCore.model_validate(one)
        for one in yaml.safe_load(AUTOMATIONS_FILE.read_text())["automations"]
        if "heartbeats" in one["name"]
    )
    assert found.trigger.posture == "Proactive"
    assert found.trigger.within == timedelta(seconds=90)
    assert found.trigger.for_each == {"prefect.resource.id"}
    # Armed by either: a run may die before its first heartbeat.
    assert found.trigger.after == {"prefect.flow-run.Running", "prefect.flow-run.heartbeat"}
    ends = {
        f"prefect.flow-run.{end}"
        for end in (
            "Completed",
            "Failed",
            "TimedOut",
            "Cancelled",
            "Crashed",
            "Paused",
            "Suspended",
        )
    }
    assert found.trigger.expect == ends | {"prefect.flow-run.heartbeat"}
    assert [action.state.value for action in found.actions] == ["CRASHED"]
    for entry in entries():
        beat = int(entry["work_pool"]["job_variables"]["env"]["PREFECT_FLOWS_HEARTBEAT_FREQUENCY"])
        assert 3 * beat <= 90


def test_a_run_that_never_begins_is_given_ten_minutes():
    (found,) = (
        AutomationCore.model_validate(one)
        for one in yaml.safe_load(AUTOMATIONS_FILE.read_text())["automations"]
        if "never began" in one["name"]
    )
    assert found.trigger.within == timedelta(minutes=10)
    assert found.trigger.after == {"prefect.flow-run.Pending"}
    assert "prefect.flow-run.Running" in found.trigger.expect
    assert [action.state.value for action in found.actions] == ["CRASHED"]


def test_it_exists_before_anything_that_could_need_it():
    kinds = [thing.kind for thing in planned("demo").things]
    assert kinds.index("automation") < kinds.index("deployment")


def test_an_entry_more_in_the_file_is_an_automation_of_each_domain(tmp_path, monkeypatch):
    more = {
        "name": "lsntp alarms of {domain}",
        "trigger": {
            "type": "event",
            "match": {"prefect.resource.id": "lsntp.domain.{domain}"},
            "expect": ["lsntp.alarm.*"],
        },
        "actions": [{"type": "call-webhook", "block": "webhook/lsntp-alarms"}],
    }
    file = tmp_path / "automations.yaml"
    file.write_text(yaml.safe_dump({"automations": [more]}))
    monkeypatch.setattr(plan, "AUTOMATIONS_FILE", file)
    (standing,) = planned("demo").standing
    assert standing.name == "lsntp alarms of demo"
    assert standing.spec["trigger"]["match"] == {"prefect.resource.id": "lsntp.domain.demo"}


def test_a_pool_that_the_file_does_not_define_is_refused_with_those_it_does(tmp_path, monkeypatch):
    file = tmp_path / "prefect.yaml"
    file.write_text(PREFECT_FILE.read_text().replace("    cpu: &cpu\n", "    cpus: &cpu\n"))
    monkeypatch.setattr(plan, "PREFECT_FILE", file)
    with pytest.raises(DeploymentError, match=r"\(cpus, gpu\) for ingest/demo, found 'cpu'"):
        planned("demo")
