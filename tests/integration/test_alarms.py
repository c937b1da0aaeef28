"""Alarms through a real Prefect server and a real receiver: events, posts, and no key anywhere."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from prefect.blocks.webhook import Webhook
from prefect.settings import PREFECT_API_URL, temporary_settings

from tests.integration.services import PROJECT, Server, made_domain, run_lsntp, wait_for
from tests.standins.webhook import Receiver, receiving

CANARY = "canary-4711-server"
NO_ROOM = ("--set=alarms.disk_low_gb=1e9", "--set=alarms.disk_min_gb=1e9")


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving(f"/services/{CANARY}?token={CANARY}") as started:
        yield started


def tell(
    server: Server, root: Path, url: str, *arguments: str, domain: str = "demo"
) -> subprocess.CompletedProcess[str]:
    """`lsntp alarms --tell`, as the scheduled watch does it."""
    environment = {
        key: value for key, value in server.environment.items() if "proxy" not in key.lower()
    }
    return subprocess.run(
        [sys.executable, "-m", "flows", "alarms", domain, "--tell", *arguments],
        env=environment | {"LSNTP_ROOT": str(root), "LSNTP_ALARM_WEBHOOK": url},
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=False,
    )


def events(server: Server) -> list[dict[str, Any]]:
    """Alarms and all-clears of the demo, oldest first."""
    body = {
        "filter": {
            "event": {"prefix": ["lsntp.alarm.", "lsntp.all-clear."]},
            "resource": {"id": ["lsntp.domain.demo"]},
            "order": "ASC",
        }
    }
    return list(server.post("/events/filter", body)["events"])


@pytest.mark.slow
def test_an_alarm_is_raised_and_cleared_once_on_the_server_and_at_the_webhook(
    server: Server, receiver: Receiver, tmp_path: Path
) -> None:
    root, told = tmp_path / "root", []
    receiver.answers = [500, 500, 500, 204]
    for arguments, code, posts in (
        (NO_ROOM, 1, 3),  # raised; the endpoint fails three times, and breaks nothing
        (NO_ROOM, 1, 4),  # still there: the event is not repeated, the post arrives
        ((), 0, 5),  # cleared
        ((), 0, 5),  # and nothing more
    ):
        done = tell(server, root, receiver.url, *arguments)
        assert done.returncode == code, done.stderr
        assert len(receiver.posts) == posts
        told.append(done.stdout + done.stderr)
    assert "1 notices still to be told" in told[0]

    found = wait_for(lambda: found if len(found := events(server)) >= 2 else None, "events")
    assert [one["event"] for one in found] == [
        "lsntp.alarm.disk-space",
        "lsntp.all-clear.disk-space",
    ]
    raised, cleared = found
    assert receiver.contents[2:] == [raised["payload"], raised["payload"], cleared["payload"]]
    assert raised["id"] == raised["payload"]["id"]
    assert raised["resource"]["lsntp.alarm"] == "disk-space"
    (run,) = [one["prefect.resource.id"] for one in raised["related"]]
    assert run.startswith("prefect.flow-run.")

    # The key is nowhere: not in what was printed, logged, shown, sent to the server or stored.
    logs = server.post("/logs/filter", {"limit": 200})
    artifacts = server.post("/artifacts/filter", {})
    assert "alarms-demo" in {one["key"] for one in artifacts}
    assert CANARY not in json.dumps([told, found, logs, artifacts])
    runs = server.post("/flow_runs/filter", {})
    assert CANARY not in json.dumps(runs)
    for path in root.rglob("*"):
        assert not path.is_file() or CANARY.encode() not in path.read_bytes(), path


@pytest.mark.slow
def test_the_servers_own_webhook_is_told_of_alarms_and_of_a_watch_that_has_stopped(
    server: Server, tmp_path: Path
) -> None:
    path = tmp_path / "watched.yaml"
    path.write_text(made_domain("watched"))
    with (
        receiving() as hook,
        temporary_settings({PREFECT_API_URL: str(server.api.base_url)}),
    ):
        block = Webhook(url=hook.url, allow_private_urls=True).save("lsntp-alarms", overwrite=True)
        made: dict[str, Any] = {}
        try:
            run_lsntp(server, "deploy", str(path))
            made = {one["name"]: one for one in server.post("/automations/filter", {"limit": 200})}
            assert made["lsntp alarms of watched"]["enabled"]
            done = tell(server, tmp_path / "root", "", *NO_ROOM, domain=str(path))
            assert done.returncode == 1, done.stderr
            wait_for(lambda: hook.posts, "the post of the alarm", 120)
            raised = hook.contents[0]
            assert "[watched]" in raised["text"]
            assert raised["id"]

            hook.posts.clear()
            server.hurry(made["lsntp watch of watched has stopped"], 10)
            wait_for(lambda: hook.posts, "the post about the watch", 180)
            assert "[watched] no watch has completed" in hook.contents[0]["text"]
        finally:
            server.request("DELETE", f"/block_documents/{block}")
            for name in made.keys() & {
                "lsntp alarms of watched",
                "lsntp watch of watched has stopped",
            }:
                server.request("DELETE", f"/automations/{made[name]['id']}")
