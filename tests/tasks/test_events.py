"""What is new is told, once, to who acts on it; the real client of events, only its end asserts."""

import logging
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from prefect.events.clients import AssertingEventsClient
from prefect.events.schemas.events import Event
from prefect.events.worker import EventsWorker
from prefect.settings import PREFECT_API_URL, temporary_settings

from lsntp.config import BASELINES, load_domain
from lsntp.errors import StorageError
from lsntp.publication import ForecastReport
from lsntp.times import Period
from lsntp.training import gate as judging
from lsntp.training.gate import Outcome, settle
from tasks import forecast, gate, ingest, train


@pytest.fixture(autouse=True)
def _recorded(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Events go to a client that keeps them; nobody listens at the server's address."""
    AssertingEventsClient.reset()
    EventsWorker.set_client_override(AssertingEventsClient)
    for module in (ingest, forecast, train, gate):
        monkeypatch.setattr(module, "get_run_logger", lambda: logging.getLogger("test"))
    for module in (ingest, train, gate):
        monkeypatch.setattr(module, "slots", lambda *_: nullcontext())
    with temporary_settings({PREFECT_API_URL: "http://127.0.0.1:9/api"}):
        yield
    EventsWorker.drain_all()
    monkeypatch.setattr(EventsWorker, "_client_override", None)
    AssertingEventsClient.reset()


def emitted() -> list[Event]:
    """All so far."""
    EventsWorker.drain_all()
    return [event for client in AssertingEventsClient.all for event in client.events]


def test_an_ingest_that_stores_hours_tells_so_and_one_that_finds_nothing_does_not(
    tmp_path: Path,
) -> None:
    domain = load_domain("demo", overrides={"root": str(tmp_path)})
    day = Period.parse("2024-01-01", "2024-01-02")
    ingest.ingest_hours.fn(domain, day)
    (told,) = emitted()
    assert (told.event, told.resource.id) == ("lsntp.new-analysis", "lsntp.domain.demo")
    assert told.payload == {"written": 24, "replaced": 0}
    ingest.ingest_hours.fn(domain, day)
    assert emitted() == [told]


def test_forecasts_are_told_with_how_many_each_model_made_and_only_new_ones() -> None:
    def report(model: str, written: int) -> ForecastReport:
        times = np.datetime64("2024-03-01", "ns") + np.arange(written) * np.timedelta64(1, "h")
        return ForecastReport(model, f"{model}-1", times, already=5, older=0, incomplete=0)

    domain = load_domain("demo")
    forecast._told(domain, [report("ridge", 2), report("persistence", 0)])
    (told,) = emitted()
    assert (told.event, told.resource.id) == ("lsntp.new-forecast", "lsntp.domain.demo")
    assert told.payload == {"written": {"ridge": 2}}
    forecast._told(domain, [report("ridge", 0)])
    assert emitted() == [told]


def settled_then_failing(*arguments: Any, **options: Any) -> Outcome:
    """A promotion takes effect; what would have followed does not."""
    outcome = settle(*arguments, **options)
    if outcome.decision.verdict == "promoted":
        raise StorageError("on cue")
    return outcome


def test_a_promotion_is_told_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    domain = load_domain("demo", overrides={"root": str(tmp_path)})
    ingest.ingest_hours.fn(domain, Period.parse("2024-01-01", "2024-03-11"))
    before = emitted()
    fitted = train.fit_models.fn(domain, models=list(BASELINES))
    versions = [entry["version"] for entry in fitted]
    with monkeypatch.context() as patch:  # crowned, and then something else goes wrong
        patch.setattr(judging, "settle", settled_then_failing)
        with pytest.raises(StorageError, match="on cue"):
            gate.pass_gate.fn(domain, versions)
    (told,) = emitted()[len(before) :]
    assert (told.event, told.resource.id) == ("lsntp.new-champion", "lsntp.domain.demo")
    assert told.payload["version"] in versions
    gate.pass_gate.fn(domain, versions)
    assert emitted() == [*before, told]
