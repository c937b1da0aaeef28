"""The status page in a real browser: it fits, breaks no rule, and notices that it grows old."""

import datetime as dt
import json
from importlib import resources

import pytest

from lsntp.status.page import render_status
from tests.lsntp.report.browser import CHROMIUM, chromium
from tests.lsntp.report.test_in_a_browser import CLIPPED, LOOKS, OVERFLOW, RULES
from tests.lsntp.status.conftest import LONG_AGO

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")

WORDS = "[...document.querySelectorAll('h2 .level')].map((mark) => mark.innerText)"


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with chromium(tmp_path_factory.mktemp("profile")) as opened:
        yield opened


@pytest.fixture(scope="module")
def page(make_status, make_troubled, make_new, tmp_path_factory):
    """All well, in trouble, just begun, and out of date."""
    path = tmp_path_factory.mktemp("status") / "index.html"
    old = make_status("ncep-6hourly", made_at=LONG_AGO)
    path.write_text(render_status([make_new(), make_troubled(), make_status(), old]))
    return path


@pytest.mark.parametrize(("width", "scheme"), LOOKS)
def test_the_page_fits_its_window_and_breaks_no_rule(browser, page, width, scheme):
    browser.look(width=width, scheme=scheme)
    browser.open(page)
    assert browser.complaints == []
    assert [url for url in browser.requests if not url.startswith("data:")] == [page.as_uri()]
    assert browser.run(OVERFLOW) == 0
    assert browser.run(CLIPPED) == []
    pytest.importorskip("axe_core_python", reason="axe-core-python is not installed")
    axe = (resources.files("axe_core_python") / "axe.min.js").read_text("utf-8")
    options = json.dumps({"runOnly": RULES, "resultTypes": ["violations"]})
    browser.run(f"{axe}; 0")
    broken = browser.run(
        f"axe.run({options}).then((result) => result.violations.map((one) =>"
        " `${one.id}: ${one.nodes.map((node) => node.target.join(' ')).join(', ')}`))"
    )
    assert broken == []


def test_levels_are_words_as_well_as_colours(browser, page):
    browser.look(width=1280)
    browser.open(page)
    assert browser.run(WORDS) == ["alarm", "nothing to judge yet", "well", "out of date"]
    colours = browser.run(
        "[...document.querySelectorAll('article h2 .level')].map((m) => getComputedStyle(m).color)"
    )
    assert colours[0] == colours[3]
    assert len(set(colours)) == 3


def test_a_page_that_nobody_writes_any_more_turns_red_by_itself(browser, make_status, tmp_path):
    path = tmp_path / "index.html"
    path.write_text(render_status([make_status("gfs-europe", made_at=LONG_AGO)]))
    browser.look(width=1280)
    browser.open(path)
    assert browser.run("document.querySelector('h1').innerText") == "1 out of date, no alarm"
    assert browser.run("document.title").startswith("1 out of date")
    stale = browser.run("document.querySelector('.stale').innerText")
    assert stale.startswith("Out of date. This was written at 2021-02-01 12:00,")
    assert "days ago" in stale
    assert "The watch has stopped" in stale
    assert browser.run("document.querySelector('article').classList.contains('red')")


def test_a_fresh_page_grows_old_while_it_is_open(browser, make_status, tmp_path):
    path = tmp_path / "index.html"
    made_at = dt.datetime.now(dt.UTC).replace(microsecond=0)
    path.write_text(render_status([make_status(made_at=made_at)]))
    browser.look(width=1280)
    browser.open(path)
    assert browser.run("document.querySelector('.stale').hidden")
    assert browser.run("document.querySelector('.value .ago').innerText") == "(5 h ago)"
    browser.run(
        "Date.now = ((now) => () => now() + 61 * 60_000)(Date.now);"
        "document.dispatchEvent(new Event('visibilitychange'))"
    )
    assert not browser.run("document.querySelector('.stale').hidden")
    assert browser.run(WORDS) == ["out of date"]


def test_a_clock_that_is_behind_is_named(browser, make_status, tmp_path):
    path = tmp_path / "index.html"
    ahead = dt.datetime.now(dt.UTC).replace(microsecond=0) + dt.timedelta(hours=3)
    path.write_text(render_status([make_status(made_at=ahead)]))
    browser.look(width=1280)
    browser.open(path)
    told = browser.run("document.getElementById('clock').innerText")
    assert told.startswith("The clock of this device is at least 3 h behind")


def test_the_page_says_when_it_was_made_without_scripts_too(page):
    text = page.read_text()
    assert '<time datetime="2021-02-01T12:00:00Z">2021-02-01 12:00</time>' in text
