"""`lsntp alarms` and `lsntp status --page`: they look, and call nobody unless told to."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from flows.cli import app
from lsntp.alarms import AlarmName
from lsntp.errors import ConfigError, DeliveryError
from tests.standins.webhook import receiving

CANARY = "canary-4711-cli"
NO_ROOM = ("--set", "alarms.disk_low_gb=1e9", "--set", "alarms.disk_min_gb=1e9")


@pytest.fixture(autouse=True)
def _plain(tmp_path, monkeypatch):
    monkeypatch.setenv("LSNTP_ROOT", str(tmp_path / "root"))
    for name in ("LSNTP_ALARM_WEBHOOK", "http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)


def run(*arguments):
    return CliRunner().invoke(app, arguments)


def test_a_domain_without_alarm_ends_with_code_0_and_one_with_an_alarm_says_what_to_do(tmp_path):
    sound = run("alarms", "demo")
    assert sound.exit_code == 0, sound.output
    assert [line.split()[0] for line in sound.output.splitlines()] == list(AlarmName)
    alarm = run("alarms", "demo", *NO_ROOM)
    assert alarm.exit_code == 1
    for said in ("disk-space          red", "expected: 1e+09 GB free", "limits: ", "do: make room"):
        assert said in alarm.output
    assert not (tmp_path / "root").exists()


def test_for_scripts_every_finding_has_the_same_keys():
    found = json.loads(run("alarms", "demo", "--json").output)
    assert found["domain"] == "demo"
    assert [one["name"] for one in found["findings"]] == list(AlarmName)
    keys = {"name", "level", "expected", "found", "where", "remedy", "limits"}
    assert all(set(one) == keys for one in found["findings"])


def test_status_page_writes_the_page_and_raises_no_alarm(tmp_path):
    done = run("status", "demo", "--page", *NO_ROOM)
    assert done.exit_code == 0, done.output
    page = Path(done.output.removeprefix("status ").strip())
    assert page == tmp_path / "root" / "status" / "index.html"
    assert "1 alarm" in page.read_text()
    assert not (tmp_path / "root" / "work" / "demo" / "alarms.json").exists()


def test_a_webhook_can_be_tried_and_its_key_is_not_shown(monkeypatch):
    with receiving(f"/{CANARY}") as receiver:
        monkeypatch.setenv("LSNTP_ALARM_WEBHOOK", receiver.url)
        done = run("alarms", "demo", "--test")
        assert done.exit_code == 0, done.output
        assert "127.0.0.1 has taken a test notice" in done.output
        (content,) = receiver.contents
        assert (content["kind"], content["domain"]) == ("test", "demo")
        receiver.answers = [404]
        refused = run("alarms", "demo", "--test")
    assert isinstance(refused.exception, DeliveryError)
    assert CANARY not in done.output + refused.output + str(refused.exception)


def test_trying_no_webhook_says_how_to_name_one():
    refused = run("alarms", "demo", "--test")
    assert isinstance(refused.exception, ConfigError)
    assert "set LSNTP_ALARM_WEBHOOK" in str(refused.exception)
