"""One watch: the page first, then whoever has to be told, and nothing breaks for want of them.

Events go to a list here; tests/integration/test_alarms.py finds them on a real server.
"""

import json
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from lsntp.alarms.notices import Notice
from lsntp.alarms.webhook import Webhook
from lsntp.config import Domain, load_domain
from lsntp.errors import CredentialsError, DeliveryError, StorageError
from lsntp.workspace import Workspace
from tasks import alarms
from tests.standins.webhook import Receiver, receiving

if TYPE_CHECKING:
    from tests.standins.s3 import S3

CANARY = "canary-4711-task"
NO_ROOM = {"alarms.disk_low_gb": 1e9, "alarms.disk_min_gb": 1e9}


@pytest.fixture
def emitted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[Notice]:
    """Every event; the root is an empty folder and no webhook is named."""
    events: list[Notice] = []
    monkeypatch.setattr(alarms, "emit", events.append)
    monkeypatch.setattr(alarms, "create_table_artifact", lambda **_: None)
    monkeypatch.setattr(alarms, "get_run_logger", lambda: logging.getLogger("test"))
    monkeypatch.setenv("LSNTP_ROOT", str(tmp_path / "root"))
    for name in ("LSNTP_ALARM_WEBHOOK", "http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    return events


@pytest.fixture
def receiver(monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    with receiving(f"/{CANARY}") as started:
        monkeypatch.setenv("LSNTP_ALARM_WEBHOOK", started.url)
        yield started


def watch(**overrides: Any) -> dict[str, Any]:
    return dict(alarms.watch_domain.fn(demo(**overrides)))


def demo(**overrides: Any) -> Domain:
    return load_domain("demo", overrides=overrides)


def test_an_alarm_is_an_event_and_a_post_once_and_so_is_its_end(
    emitted: list[Notice], receiver: Receiver
) -> None:
    watch(**NO_ROOM)
    watch(**NO_ROOM)
    outcome = watch()
    watch()
    assert [one.event for one in emitted] == [
        "lsntp.alarm.disk-space",
        "lsntp.all-clear.disk-space",
    ]
    assert receiver.contents == [one.to_json() for one in emitted]
    assert (outcome["open"], outcome["untold"]) == ({}, 0)


def test_the_page_and_the_document_show_the_open_alarm(emitted: list[Notice]) -> None:
    outcome = watch(**NO_ROOM)
    document = json.loads(Path(outcome["page"]).with_name("demo.json").read_text())
    (disk,) = [one for one in document["judgements"] if one["name"] == "disk-space"]
    assert (disk["level"], document["level"]) == ("red", "red")
    assert disk["open_since"] == document["made_at"]
    assert outcome["levels"]["disk-space"] == "red"


def test_the_page_does_not_wait_for_an_endpoint_and_the_watch_outlives_it(
    emitted: list[Notice],
    receiver: Receiver,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    page = Workspace.of(demo()).root / "status" / "index.html"
    seen = []

    def looked_at(self: Webhook, content: dict[str, Any]) -> None:
        seen.append(page.exists())
        post(Webhook(self.url, pause_s=0.01), content)

    post = Webhook.post
    monkeypatch.setattr(Webhook, "post", looked_at)
    receiver.answers = [500]
    outcome = watch(**NO_ROOM)
    assert seen == [True]
    assert outcome["untold"] == 1
    assert len(emitted) == 1
    receiver.answers = [200]
    assert watch(**NO_ROOM)["untold"] == 0
    assert receiver.contents[-1]["event"] == "lsntp.alarm.disk-space"
    assert len(emitted) == 1
    stored = b"".join(p.read_bytes() for p in page.parents[1].rglob("*") if p.is_file())
    assert CANARY.encode() not in stored
    assert CANARY not in caplog.text + json.dumps(outcome)


def test_without_a_webhook_nothing_waits_for_one(emitted: list[Notice]) -> None:
    assert watch(**NO_ROOM)["untold"] == 0
    assert len(emitted) == 1


def test_an_address_that_is_none_hinders_nothing_and_is_not_repeated(
    emitted: list[Notice], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("LSNTP_ALARM_WEBHOOK", CANARY)
    assert watch(**NO_ROOM)["untold"] == 1
    assert len(emitted) == 1
    assert "not told by webhook yet" in caplog.text
    assert CANARY not in caplog.text


def test_what_was_raised_while_the_address_could_not_be_read_is_posted_once_it_can(
    emitted: list[Notice], tmp_path: Path
) -> None:
    file = tmp_path / "webhook"
    named = {"alarms.webhook_file": str(file)}
    assert watch(**NO_ROOM, **named)["untold"] == 1  # no such file yet
    assert len(emitted) == 1
    with receiving(f"/{CANARY}") as receiver:
        file.write_text(receiver.url)
        assert watch(**NO_ROOM, **named)["untold"] == 0
    assert [one["event"] for one in receiver.contents] == ["lsntp.alarm.disk-space"]
    assert len(emitted) == 1


def test_a_server_that_takes_no_event_is_told_by_the_next_watch(
    emitted: list[Notice], receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(_: Notice) -> None:
        raise DeliveryError("nobody there")

    with monkeypatch.context() as patched:
        patched.setattr(alarms, "emit", away)
        assert watch(**NO_ROOM)["untold"] == 1
    assert len(receiver.posts) == 1  # the other channel does not wait for it
    assert watch(**NO_ROOM)["untold"] == 0
    assert (len(emitted), len(receiver.posts)) == (1, 1)


def test_a_page_that_cannot_be_written_is_an_error_but_alarms_are_told(
    emitted: list[Notice], receiver: Receiver, tmp_path: Path
) -> None:
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "status").write_text("a file where the folder should be")
    with pytest.raises(StorageError):
        watch(**NO_ROOM)
    assert len(emitted) == len(receiver.posts) == 1


def test_a_storage_that_refuses_even_the_lease_is_an_error_but_alarms_are_told(
    emitted: list[Notice], receiver: Receiver
) -> None:
    """As a full disk does: the lease begins with a note of who holds it."""
    (Workspace.of(demo()).work / "alarms.json.writer").mkdir(parents=True)
    with pytest.raises(StorageError, match=r"alarms\.json\.writer"):
        watch(**NO_ROOM)
    assert [one.event for one in emitted] == ["lsntp.alarm.disk-space"]
    assert len(receiver.posts) == 1


@pytest.fixture
def pod(archive_bucket: "S3", tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """A watch by the named pod: archives in the bucket, a work folder of its own."""
    root = f"s3://{archive_bucket.bucket}/archives"

    def watched(name: str, **overrides: Any) -> dict[str, Any]:
        return watch(root=root, work=str(tmp_path / name), **overrides)

    return watched


def test_an_alarm_and_its_end_are_told_once_whichever_pod_is_at_work(
    emitted: list[Notice], receiver: Receiver, pod: Callable[..., dict[str, Any]]
) -> None:
    pod("a", **NO_ROOM)
    pod("b", **NO_ROOM)
    assert len(emitted) == len(receiver.posts) == 1
    pod("b")
    pod("a")
    assert [one.event for one in emitted] == [
        "lsntp.alarm.disk-space",
        "lsntp.all-clear.disk-space",
    ]
    assert len(receiver.posts) == 2


def test_a_bucket_that_refuses_is_told_once_and_what_was_open_is_cleared_once(
    emitted: list[Notice], pod: Callable[..., dict[str, Any]], archive_bucket: "S3", tmp_path: Path
) -> None:
    archive_bucket.fail("PUT", ".", 403, "AccessDenied", times=1000)
    for _ in range(2):
        with pytest.raises(CredentialsError, match="allowed to write"):
            pod("a", **NO_ROOM)
    assert [one.kind for one in emitted] == ["raised"]
    kept = tmp_path / "a" / "work" / "demo" / "alarms.json"
    assert kept.exists()
    archive_bucket.forget()
    pod("a")
    assert [one.kind for one in emitted] == ["raised", "cleared"]
    assert not kept.exists()


def test_what_a_work_folder_remembers_from_before_is_not_raised_again(
    emitted: list[Notice], pod: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    kept = tmp_path / "a" / "work" / "demo" / "alarms.json"
    kept.parent.mkdir(parents=True)
    kept.write_text('{"open": {"disk-space": "2021-02-01T12:00:00Z"}, "notices": []}')
    pod("a", **NO_ROOM)
    pod("b", **NO_ROOM)
    assert emitted == []
    pod("b")
    assert [one.kind for one in emitted] == ["cleared"]
