"""Outcomes of checks, for people and scripts."""

from lsntp.doctor.check import failed, passed, skipped


def test_every_outcome_is_plain_text_in_json():
    assert passed("clock", "12:00").to_json() == {
        "name": "clock",
        "health": "ok",
        "found": "12:00",
        "expected": "",
        "remedy": "",
    }
    assert skipped("clock", "no one to ask").to_json()["health"] == "skipped"
    bad = failed("disk", expected="2 GiB", found="1 GiB", remedy="make room").to_json()
    assert (bad["health"], bad["expected"], bad["remedy"]) == ("failed", "2 GiB", "make room")
