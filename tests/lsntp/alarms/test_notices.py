"""Raised once, cleared once, told until it was taken; killed anywhere and gone on with."""

import datetime as dt
import json

import pytest

from lsntp.alarms import notices
from lsntp.alarms.finding import AlarmName, Finding, Level
from lsntp.alarms.notices import Watch, remember, remembered, tell, watching
from lsntp.archives.lease import writer_lease
from lsntp.errors import ArchiveBusyError, DeliveryError
from lsntp.workspace import Workspace

T0 = dt.datetime(2021, 2, 1, 12, tzinfo=dt.UTC)
HOUR = dt.timedelta(hours=1)
BOTH = ("event", "webhook")


@pytest.fixture
def domain(make_domain, tmp_path):
    return make_domain(tmp_path / "root")


def finding(level, name=AlarmName.DISK_SPACE, found="1 GB free"):
    return Finding(name, level, "2 GB free", found, "/archives", "make room", "red below 2 GB")


def look(domain, level, at, channels=BOTH, **changes):
    """One watch of one thing: what is remembered after it."""
    watch = remembered(domain).after(domain, [finding(level, **changes)], channels, at)
    remember(domain, watch)
    return watch


def taken(domain, channels=BOTH):
    """Everything that is told now, by channel."""
    told = {name: [] for name in channels}
    tell(domain, remembered(domain), {name: told[name].append for name in channels})
    return {name: [(one.kind, one.name.value) for one in told[name]] for name in channels}


RAISED, CLEARED = [("raised", "disk-space")], [("cleared", "disk-space")]


def test_an_alarm_is_told_once_however_long_it_lasts_and_its_end_once(domain):
    seen = []
    levels = ("green", "red", "red", "red", "yellow", "green", "red")
    for place, level in enumerate(levels):
        look(domain, Level(level), T0 + place * HOUR)
        seen.append(taken(domain)["webhook"])
    assert seen == [[], RAISED, [], [], CLEARED, [], RAISED]
    assert remembered(domain).open == {AlarmName.DISK_SPACE: T0 + 6 * HOUR}


def test_a_notice_says_everything_and_both_kinds_have_ids_that_stay(domain):
    (raised,) = look(domain, Level.RED, T0).notices
    assert raised.event == "lsntp.alarm.disk-space"
    told = raised.to_json()
    assert told == {
        "id": str(raised.id),
        "kind": "raised",
        "name": "disk-space",
        "event": "lsntp.alarm.disk-space",
        "domain": "small",
        "since": "2021-02-01T12:00:00Z",
        "at": "2021-02-01T12:00:00Z",
        "expected": "2 GB free",
        "found": "1 GB free",
        "where": "/archives",
        "remedy": "make room",
        "text": "[small] ALARM disk-space: expected 2 GB free; found 1 GB free; in /archives. "
        "Do: make room",
    }
    again = Watch().after(domain, [finding(Level.RED)], BOTH, T0)
    assert again.notices[0].id == raised.id
    _, cleared = look(domain, Level.GREEN, T0 + HOUR, found="9 GB free").notices
    assert (cleared.event, cleared.since) == ("lsntp.all-clear.disk-space", T0)
    assert cleared.text == "[small] all clear, disk-space: 9 GB free"
    assert cleared.id != raised.id


def test_each_channel_is_told_until_it_has_taken_a_notice(domain):
    look(domain, Level.RED, T0)
    calls = []

    def dead(notice):
        calls.append(notice)
        raise DeliveryError("nobody there")

    left = tell(domain, remembered(domain), {"event": lambda _: None, "webhook": dead})
    assert [one.waits_for for one in left.notices] == [("webhook",)]
    look(domain, Level.GREEN, T0 + HOUR)
    tell(domain, remembered(domain), {"event": lambda _: None, "webhook": dead})
    assert len(calls) == 2  # one a watch, not one a notice
    assert taken(domain) == {"event": [], "webhook": RAISED + CLEARED}
    assert remembered(domain).notices == ()


def test_nobody_is_told_of_what_is_a_day_old(domain):
    look(domain, Level.RED, T0)
    look(domain, Level.RED, T0 + 24 * HOUR)
    assert len(remembered(domain).notices) == 1
    look(domain, Level.RED, T0 + 24 * HOUR + dt.timedelta(minutes=1))
    assert remembered(domain).notices == ()
    assert remembered(domain).open  # and it is no new alarm


class _Killed(BaseException):
    pass


@pytest.mark.parametrize("after_calls", [0, 1, 2, 3])
def test_a_watch_that_is_killed_anywhere_is_gone_on_with(domain, monkeypatch, after_calls):
    """Nobody misses a notice, and each id is told twice at most."""
    looks = [finding(Level.RED), finding(Level.RED, AlarmName.LOW_COVERAGE)]
    remember(domain, Watch().after(domain, looks, ("webhook",), T0))
    told, writes = [], []

    def killed_before(*arguments):
        writes.append(arguments)
        if len(writes) > after_calls:
            raise _Killed
        remember(*arguments)

    with monkeypatch.context() as patched:
        patched.setattr(notices, "remember", killed_before)
        try:
            tell(domain, remembered(domain), {"webhook": told.append})
        except _Killed:
            assert after_calls < 2
    tell(domain, remembered(domain), {"webhook": told.append})
    ids = [one.id for one in told]
    assert len(set(ids)) == 2
    assert len(ids) <= 3
    assert remembered(domain).notices == ()


def test_a_damaged_memory_raises_anew_rather_than_nothing(domain, caplog):
    look(domain, Level.RED, T0)
    path = Workspace.of(domain).work / "alarms.json"
    path.write_text(path.read_text()[:-20])
    watch = look(domain, Level.RED, T0 + HOUR)
    assert [one.kind for one in watch.notices] == ["raised"]
    assert "cannot be read" in caplog.text


def test_a_storage_that_refuses_the_memory_hinders_no_call(domain, caplog):
    folder = Workspace.of(domain).work
    folder.parent.mkdir(parents=True)
    folder.write_text("a file where the folder should be")
    watch = Watch().after(domain, [finding(Level.RED)], ("webhook",), T0)
    remember(domain, watch)
    told = []
    tell(domain, watch, {"webhook": told.append})
    assert len(told) == 1
    assert "will be told again" in caplog.text


def test_two_watches_of_a_domain_never_tell_at_once(domain, monkeypatch):
    monkeypatch.setattr(notices, "writer_lease", lambda path: writer_lease(path, timeout_s=0.1))
    with (
        watching(domain),
        pytest.raises(ArchiveBusyError),
        watching(domain),
    ):
        pass


def test_the_memory_is_small_plain_json(domain):
    look(domain, Level.RED, T0)
    stored = json.loads((Workspace.of(domain).work / "alarms.json").read_text())
    assert stored["open"] == {"disk-space": "2021-02-01T12:00:00Z"}
    assert stored["notices"][0]["waits_for"] == ["event", "webhook"]
