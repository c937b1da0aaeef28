"""The ledger of hours: what was asked for in vain and why, and what was replaced."""

import json

import numpy as np
import pytest

from lsntp.archives.ledger import REASON_LENGTH, Asked, HourLedger, Replacement
from lsntp.times import hours, parse_time

START = parse_time("2020-02-28")
NOW, LATER = parse_time("2020-05-01"), parse_time("2020-05-02")
HOUR = hours(1)


def at(*steps):
    return START + np.array(steps) * HOUR


@pytest.fixture
def ledger(tmp_path):
    return HourLedger(tmp_path / "quarantine" / "tiny", HOUR)


def test_consecutive_hours_with_one_story_are_one_entry(ledger):
    times = at(*range(6))
    ledger.note_asked(times, in_vain=at(0, 1, 2, 4), why={at(1)[0]: "404"}, now=NOW)
    assert ledger.asked() == [
        Asked(*at(0, 1), NOW, ""),
        Asked(*at(1, 2), NOW, "404"),
        Asked(*at(2, 3), NOW, ""),
        Asked(*at(4, 5), NOW, ""),
    ]
    assert ledger.asked_at(at(0, 3, 4)).tolist() == np.array([NOW, "NaT", NOW], "M8[ns]").tolist()


def test_an_hour_that_was_obtained_is_forgotten_and_the_others_stay(ledger):
    ledger.note_asked(at(0, 1, 2), in_vain=at(0, 1, 2), why={}, now=NOW)
    ledger.note_asked(at(1, 2), in_vain=at(2), why={}, now=LATER)
    assert ledger.asked() == [Asked(*at(0, 1), NOW, ""), Asked(*at(2, 3), LATER, "")]


def test_nothing_in_vain_leaves_no_file(ledger):
    ledger.note_asked(at(0, 1), in_vain=at(), why={}, now=NOW)
    assert not ledger.path.parent.exists()


def test_the_same_note_twice_touches_nothing(ledger):
    ledger.note_asked(at(0), in_vain=at(0), why={}, now=NOW)
    before = ledger.path.stat()
    ledger.note_asked(at(0), in_vain=at(0), why={}, now=NOW)
    assert ledger.path.stat().st_ino == before.st_ino


def test_ten_years_of_holes_in_a_row_are_one_short_entry(ledger):
    times = START + np.arange(87_600) * HOUR
    ledger.note_asked(times, in_vain=times, why=dict.fromkeys(times, "x" * 10_000), now=NOW)
    (entry,) = ledger.asked()
    assert len(entry.why) == REASON_LENGTH
    assert ledger.path.stat().st_size < 1000


def test_overlapping_replacements_become_one_with_the_larger_change(ledger):
    ledger.note_replaced(at(10, 11), 0.25, now=NOW)
    ledger.note_replaced(at(0, 1), 0.5, now=NOW)
    ledger.note_replaced(at(11, 12), 0.125, now=LATER)
    assert ledger.replaced() == [
        Replacement(*at(0, 2), NOW, 0.5),
        Replacement(*at(10, 13), LATER, 0.25),
    ]


@pytest.mark.parametrize("content", ["", "{", "[]", '{"asked": [{}]}', '{"asked": 3}'])
def test_a_damaged_ledger_costs_reasons_and_stops_nothing(ledger, content, caplog):
    ledger.note_asked(at(0), in_vain=at(0), why={}, now=NOW)
    ledger.path.write_text(content)
    assert ledger.asked() == []
    assert "asked for again" in caplog.text
    ledger.note_asked(at(1), in_vain=at(1), why={}, now=NOW)
    assert ledger.asked() == [Asked(*at(1, 2), NOW, "")]


def test_an_answer_that_cannot_be_used_is_told_from_none(ledger):
    times = at(0, 1, 2)
    ledger.note_asked(times, in_vain=times, why={}, now=NOW)
    ledger.note_asked(at(1), in_vain=at(1), why={}, now=NOW, is_unusable=True)
    assert ledger.is_unusable(times).tolist() == [False, True, False]
    assert len(ledger.asked()) == 3
    ledger.note_asked(at(1), in_vain=at(1), why={}, now=NOW)
    assert not ledger.is_unusable(times).any()


def test_anyone_can_read_it(ledger):
    ledger.note_asked(at(0), in_vain=at(0), why={at(0)[0]: "404"}, now=NOW)
    ledger.note_replaced(at(3), 0.5, now=NOW)
    assert json.loads(ledger.path.read_text()) == {
        "asked": [
            {
                "start": "2020-02-28T00:00Z",
                "end": "2020-02-28T01:00Z",
                "at": "2020-05-01T00:00Z",
                "why": "404",
                "is_unusable": False,
            }
        ],
        "replaced": [
            {
                "start": "2020-02-28T03:00Z",
                "end": "2020-02-28T04:00Z",
                "at": "2020-05-01T00:00Z",
                "largest_change_k": 0.5,
            }
        ],
    }
