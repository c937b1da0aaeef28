"""What every expected hour is, since when and why."""

import json

import numpy as np
import pytest

from lsntp.config import load_domain
from lsntp.ingest import ingest
from lsntp.life_cycle import ASKED_IN_VAIN, UNDER_WAY, HourState, life_cycle
from lsntp.reconcile import reconcile
from lsntp.times import Period, format_time, hours
from lsntp.workspace import Workspace
from tests.lsntp.ingest_files import START, make_domain, weather, write
from tests.lsntp.late_source import install, tell


def text(hour):
    return format_time(START + hours(hour))


@pytest.fixture
def world(tmp_path, monkeypatch):
    """A domain and its upstream after a tick at hour 11 that met everything there is.

    Hours 0 to 3 are final, 4 and 5 preliminary, 6 zero-filled, 7 a hole, 8 not there, 9 under way;
    10 and 11 preliminary.
    """
    install(tmp_path / "site")
    monkeypatch.syspath_prepend(tmp_path / "site")
    folder = tmp_path / "upstream"
    tell(folder, now=text(11), holes=[text(7)], pending=[text(9)])
    values, times = weather(12), START + np.arange(12) * hours(1)
    values[6] = 0
    write(folder / "final.nc", values[:4], times=times[:4])
    late = np.array([4, 5, 6, 10, 11])
    write(folder / "late.nc", values[late], times=times[late], expver="0005")
    make_domain(tmp_path)
    domain = load_domain(
        tmp_path / "tiny.yaml",
        overrides={"source": {"name": "late", "options": {"folder": str(folder)}}},
    )
    ingest(domain, clock=lambda: START + hours(11))
    return domain, folder


def spans(domain, hour, **arguments):
    found = life_cycle(domain, clock=lambda: START + hours(hour), **arguments)
    return [
        (int((span.start - START) / hours(1)), int((span.end - START) / hours(1)), span.state.value)
        for span in found.spans()
    ]


def test_every_expected_hour_is_in_one_of_six_states(world):
    domain, _ = world
    assert spans(domain, 13) == [
        (0, 4, "final"),
        (4, 6, "preliminary"),
        (6, 7, "quarantined"),
        (7, 8, "upstream_hole"),
        (8, 9, "missing"),
        (9, 10, "pending"),
        (10, 12, "preliminary"),
        (12, 14, "missing"),  # published by now, and no tick has run since
    ]


def test_every_gap_says_when_and_why(world):
    domain, _ = world
    gaps = [s for s in life_cycle(domain).spans() if s.state not in ("final", "preliminary")]
    by_state = {span.state: span for span in reversed(gaps)}
    assert "zero-filled" in by_state[HourState.QUARANTINED].why
    assert by_state[HourState.UPSTREAM_HOLE].why == "Expected a field, the catalogue says 404."
    assert by_state[HourState.MISSING].why == ASKED_IN_VAIN
    assert by_state[HourState.PENDING].why == UNDER_WAY
    assert {by_state[state].since for state in by_state} == {START + hours(11)}


def test_the_json_accounts_for_every_hour(world):
    domain, _ = world
    found = json.loads(json.dumps(life_cycle(domain, clock=lambda: START + hours(13)).to_json()))
    assert (found["start"], found["end"], found["expected"]) == (text(0), text(14), 14)
    counted = [found[state.value] for state in HourState]
    assert counted == [3, 1, 4, 4, 1, 1]
    assert found["usable"] == 8
    assert found["spans"][2]["since"] == text(11)
    assert found["spans"][-1]["since"] is None


def test_a_damaged_entry_of_the_quarantine_hides_no_state(world):
    domain, _ = world
    (entry,) = Workspace.of(domain).quarantine.glob("*/reasons.json")
    entry.write_text("{")
    (rejected,) = [s for s in life_cycle(domain).spans() if s.state == HourState.QUARANTINED]
    assert str(entry.parent) in rejected.why


def test_a_period_can_be_chosen(world):
    domain, _ = world
    period = Period(START + hours(3), START + hours(5))
    assert spans(domain, 13, period=period) == [(3, 4, "final"), (4, 5, "preliminary")]


def test_replacements_are_shown_with_their_largest_change(world):
    domain, folder = world
    times = START + np.array([4, 5]) * hours(1)
    (folder / "late.nc").unlink()
    write(folder / "late.nc", weather(12)[4:6] + 0.5, times=times, expver="0001")
    reconcile(domain, period=Period(times[0], times[1] + hours(1)))
    (replaced,) = life_cycle(domain).to_json()["replaced"]
    assert (replaced["start"], replaced["end"]) == (text(4), text(6))
    assert replaced["largest_change_k"] == pytest.approx(0.5, abs=1e-4)


def test_before_the_first_ingest_of_files_everything_up_to_the_split_is_missing(tmp_path):
    found = life_cycle(make_domain(tmp_path))
    assert found.counts[HourState.MISSING] == found.times.size == 3 * 24
    assert not (tmp_path / "root").exists()
