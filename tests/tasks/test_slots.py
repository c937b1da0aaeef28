"""Every archive writer holds one slot, and so does whoever asks an upstream."""

from contextlib import contextmanager

import pytest
from prefect.settings import PREFECT_API_URL, temporary_settings

from lsntp.config import load_domain
from tasks import slots as module
from tasks.slots import STEP_ASIDE_EMBEDDED_S, STEP_ASIDE_S, TURN_S, WAIT_S, slot_names, turns


def test_domains_share_the_slot_of_an_upstream_but_not_of_an_archive() -> None:
    first = set(slot_names(load_domain("ncep-north-america")))
    second = set(slot_names(load_domain("era5-uk")))
    assert first & second == {"lsntp-source-files"}


@pytest.mark.parametrize(
    ("server", "aside_s"),
    [("http://127.0.0.1:1/api", STEP_ASIDE_S), (None, STEP_ASIDE_EMBEDDED_S)],
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
