"""The drift event, through the real client of events; only the server's end asserts."""

import datetime as dt
import logging
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from prefect.events.clients import AssertingEventsClient
from prefect.events.schemas.events import Event
from prefect.events.worker import EventsWorker
from prefect.settings import PREFECT_API_URL, temporary_settings

from flows import evaluate as flow
from lsntp.config import Domain, load_domain
from lsntp.errors import EvaluationError
from lsntp.evaluation.drift import judge_drift
from lsntp.training.champion import Reign, champion_path, pointer_lease, put_champion
from tasks import evaluate


@pytest.fixture
def _recorded(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Events go to a client that keeps them; nobody listens at the server's address."""
    AssertingEventsClient.reset()
    EventsWorker.set_client_override(AssertingEventsClient)
    monkeypatch.setattr(evaluate, "get_run_logger", lambda: logging.getLogger("test"))
    with temporary_settings({PREFECT_API_URL: "http://127.0.0.1:9/api"}):
        yield
    EventsWorker.drain_all()
    monkeypatch.setattr(EventsWorker, "_client_override", None)
    AssertingEventsClient.reset()


def watch(monkeypatch: pytest.MonkeyPatch, *skill: float) -> tuple[Domain, dict[str, object]]:
    domain = load_domain("demo")
    days = np.datetime64("2024-03-01", "ns") + np.arange(len(skill)) * np.timedelta64(1, "D")
    found = judge_drift(days, np.array(skill), threshold=0.0, for_days=2, window_days=1)
    monkeypatch.setattr(evaluate, "drift_of", lambda *_: found)
    return domain, evaluate.watch_drift.fn(domain)


def emitted() -> list[Event]:
    """All so far."""
    EventsWorker.drain_all()
    return [event for client in AssertingEventsClient.all for event in client.events]


@pytest.mark.usefixtures("_recorded")
def test_a_drift_is_an_event_with_its_numbers_of_one_id_a_day(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    _, verdict = watch(monkeypatch, 0.2, -0.1, -0.2)
    (first,) = emitted()
    assert first.event == evaluate.DRIFT_EVENT == "lsntp.skill-drift"
    assert first.resource.id == "lsntp.domain.demo"
    assert first.payload == verdict
    assert verdict["skill"] == -0.2
    watch(monkeypatch, 0.2, -0.1, -0.2)
    assert [event.id for event in emitted()] == [first.id] * 2
    watch(monkeypatch, 0.2, -0.1, -0.2, -0.2)
    assert emitted()[-1].id != first.id


@pytest.mark.usefixtures("_recorded")
def test_a_champion_that_holds_emits_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    _, verdict = watch(monkeypatch, 0.2, -0.1, 0.2)
    assert not verdict["is_drifting"]
    assert emitted() == []


def test_the_task_asks_about_the_present_champion(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    reign = Reign(
        version="net-0123456789ab",
        since=dt.datetime(2024, 3, 1, tzinfo=dt.UTC),
        action="forced",
        by="test",
        reason="test",
    )
    monkeypatch.setenv("LSNTP_ROOT", str(tmp_path))
    domain = load_domain("demo")
    monkeypatch.setattr(evaluate, "get_run_logger", lambda: logging.getLogger("test"))
    assert evaluate._champion(domain) is None
    with pointer_lease(domain) as lease:
        put_champion(domain, reign, before=None, lease=lease)
    assert evaluate._champion(domain) == "net-0123456789ab"
    champion_path(domain).write_text("{}")
    assert evaluate._champion(domain) is None


def test_drift_is_looked_at_where_there_is_no_skill_to_publish(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    looked = []

    def nothing(_: Domain) -> str:
        raise EvaluationError("nothing in common")

    monkeypatch.setattr(flow, "score_forecasts", lambda *_, **__: {})
    monkeypatch.setattr(flow, "publish_skill", nothing)
    monkeypatch.setattr(flow, "watch_drift", looked.append)
    with pytest.raises(EvaluationError, match="nothing in common"):
        flow.evaluate.fn("demo")
    assert [domain.domain for domain in looked] == ["demo"]
