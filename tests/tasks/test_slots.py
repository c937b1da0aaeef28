"""Every archive writer holds one slot, and so does whoever asks an upstream."""

import pkgutil
from contextlib import contextmanager, nullcontext
from importlib import import_module

import pytest
from prefect import Task
from prefect.settings import PREFECT_API_URL, temporary_settings

import tasks
from lsntp.config import load_domain
from lsntp.errors import ArchiveBusyError
from tasks import slots as module
from tasks.embedded import VARIABLE
from tasks.slots import (
    STEP_ASIDE_EMBEDDED_S,
    STEP_ASIDE_S,
    TURN_S,
    WAIT_S,
    slot_names,
    slots,
    turns,
)

SOURCE = "lsntp-source-files"
ANALYSIS, TRAINING, FORECASTS, EVALUATION, REPORT = (
    f"lsntp-era5-uk-{kind}"
    for kind in ("analysis", "training", "forecasts", "evaluation", "report")
)
WRITERS = {
    "ingest-hours": ("tasks.ingest.ingest", {SOURCE, ANALYSIS}),
    "reconcile-hours": ("tasks.reconcile.reconcile", {SOURCE, ANALYSIS}),
    "backfill-hours": ("tasks.backfill.backfill", {SOURCE, ANALYSIS}),
    "prepare-training-data": ("lsntp.training.prepare", {TRAINING}),
    "fit-models": ("lsntp.training.train", {TRAINING}),
    "gate": ("lsntp.training.gate.offer", {TRAINING}),
    "forecast-rivals": ("lsntp.forecasting.forecast_rivals", {TRAINING}),
    "write-forecasts": ("lsntp.forecasting.forecast_models", {FORECASTS}),
    "write-guidance": ("lsntp.forecasting.forecast_guidance", {SOURCE}),
    "score-forecasts": ("tasks.evaluate.evaluate", {EVALUATION}),
    "write-report": ("lsntp.report.write_report", {REPORT}),
}
"""Of each task that writes an archive or asks an upstream: what does so, and the slots it takes."""
WITHOUT = {
    "publish-coverage",
    "publish-skill",
    "watch-drift",
    "watch-domain",
    "refuse-without-gpu",
    "plan-training",
}
"""Tasks that read only, or write behind a lease of their own."""


def every_task() -> dict[str, Task]:
    modules = [import_module(f"tasks.{one.name}") for one in pkgutil.iter_modules(tasks.__path__)]
    found = [value for one in modules for value in vars(one).values() if isinstance(value, Task)]
    return {task.name: task for task in found}


def test_of_each_task_it_is_known_which_slots_it_takes() -> None:
    assert set(every_task()) == set(WRITERS) | WITHOUT


class ReachedError(Exception):
    """The work was reached."""


@pytest.mark.parametrize("name", WRITERS)
def test_a_task_works_while_it_holds_its_slots_and_gives_them_back(monkeypatch, name):
    held, during_work = set(), []

    @contextmanager
    def concurrency(names, *, strict, **_):
        assert strict
        held.update(names)
        try:
            yield
        finally:
            held.difference_update(names)

    def work(*_, during=None, **__):
        with during() if during else nullcontext():
            during_work.append(set(held))
        raise ReachedError

    place, expected = WRITERS[name]
    monkeypatch.setattr(module, "concurrency", concurrency)
    monkeypatch.setattr(place, work)
    arguments = {"versions": []} if name == "gate" else {}
    with (
        temporary_settings({PREFECT_API_URL: "http://127.0.0.1:1/api"}),
        pytest.raises(ReachedError),
    ):
        every_task()[name].fn(load_domain("era5-uk"), **arguments)
    assert during_work == [expected]
    assert not held


def test_domains_share_the_slot_of_an_upstream_but_not_of_an_archive() -> None:
    first = set(slot_names(load_domain("ncep-north-america")))
    second = set(slot_names(load_domain("era5-uk")))
    assert first & second == {"lsntp-source-files"}


OWN, CHOSEN = "http://127.0.0.1:1/api", "http://127.0.0.1:2/api"
"""The server that the command has started for itself, and one of somebody's choice."""


@pytest.mark.parametrize(("server", "takes_back"), [(OWN, True), (CHOSEN, False)])
def test_slots_of_killed_runs_are_taken_back_on_a_commands_own_server_only(
    monkeypatch, server, takes_back
):
    told = []

    @contextmanager
    def take_back(names):
        told.append(names)
        yield

    monkeypatch.setenv(VARIABLE, OWN)
    monkeypatch.setattr(module, "_sole_holder", take_back)
    monkeypatch.setattr(module, "concurrency", lambda *_, **__: nullcontext())
    with temporary_settings({PREFECT_API_URL: server}), module.slots("source"):
        assert told == [("source",)] * takes_back


@pytest.mark.parametrize(
    ("server", "aside_s"),
    [(CHOSEN, STEP_ASIDE_S), (OWN, STEP_ASIDE_EMBEDDED_S), (None, STEP_ASIDE_EMBEDDED_S)],
)
def test_a_long_work_gives_its_slots_back_after_each_piece_and_steps_aside_now_and_then(
    monkeypatch, server, aside_s
):
    now, told = [0.0], []

    class Clock:
        monotonic = staticmethod(lambda: now[0])

        @staticmethod
        def sleep(seconds):
            told.append(f"aside {seconds:g} s")
            now[0] += seconds

    @contextmanager
    def slots(*names):
        told.append(f"take {'+'.join(names)}")
        yield
        told.append("give back")

    monkeypatch.setenv(VARIABLE, OWN)
    monkeypatch.setattr(module, "time", Clock)
    monkeypatch.setattr(module, "slots", slots)
    during = turns("source", "archive")
    with temporary_settings({PREFECT_API_URL: server}):
        for _ in range(4):
            with during():
                now[0] += TURN_S / 2

    piece = ["take source+archive", "give back"]
    assert told == [*piece, *piece, f"aside {aside_s:g} s", *piece, *piece]
    # Who waits looks at least once while the other stands aside, and before it gives up.
    assert 1.3 * 30 < STEP_ASIDE_S < WAIT_S - TURN_S


def test_who_waited_in_vain_is_told_to_wait_and_nothing_that_takes_a_slot_from_a_live_run(
    monkeypatch,
):
    """A server takes the slot of a dead run back by itself, long before the wait is over."""

    def taken(*_, **__):
        raise TimeoutError

    monkeypatch.setattr(module, "concurrency", taken)
    address = {PREFECT_API_URL: "http://127.0.0.1:1/api"}
    with temporary_settings(address), pytest.raises(ArchiveBusyError) as caught, slots(ANALYSIS):
        pytest.fail("began without a slot")
    message = str(caught.value)
    assert f"free slot of {ANALYSIS}, found them taken for 600 s" in message
    assert "prefect flow-run ls --state Running" in message
    assert "active-slots" not in message
