"""The report in a real browser: every page, wide and narrow, light and dark, by mouse and keys."""

import json
from importlib import resources

import pytest

from lsntp.report.html import PAGES
from tests.lsntp.report.browser import CHROMIUM, chromium

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")

FILES = [page.file for page in PAGES]
LOOKS = [(1280, "light"), (1280, "dark"), (360, "light"), (360, "dark")]
READ = [LOOKS[0], *(pytest.param(*look, marks=pytest.mark.slow) for look in LOOKS[1:3]), LOOKS[3]]
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]

OVERFLOW = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
CLIPPED = """
  [...document.querySelectorAll("body *")].filter((element) => {
    const box = element.getBoundingClientRect();
    return box.width && box.right > innerWidth + 1 && !element.closest(".scroll, pre, .skip, svg");
  }).map((element) => element.outerHTML.slice(0, 120))
"""
SHOWN = """
  [...document.querySelectorAll(".case:not([hidden]) .plate")]
    .map((plate) => [...plate.querySelectorAll("img")].findIndex((image) => !image.hidden))
"""


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with chromium(tmp_path_factory.mktemp("profile")) as opened:
        yield opened


@pytest.fixture(scope="module")
def axe():
    """The accessibility rules of Deque's axe-core, as JavaScript."""
    pytest.importorskip("axe_core_python", reason="axe-core-python is not installed")
    return (resources.files("axe_core_python") / "axe.min.js").read_text("utf-8")


@pytest.mark.parametrize(("width", "scheme"), LOOKS)
@pytest.mark.parametrize("file", [*FILES, "../index.html"])
def test_a_page_fits_its_window_and_asks_for_nothing(browser, site, file, width, scheme):
    browser.look(width=width, scheme=scheme)
    browser.open(site / file)
    assert browser.complaints == []
    assert [url for url in browser.requests if not url.startswith(("file:", "data:"))] == []
    assert sum(url.startswith("file:") for url in browser.requests) == 1  # the page itself
    assert browser.run(OVERFLOW) == 0
    assert browser.run(CLIPPED) == []


@pytest.mark.parametrize(("width", "scheme"), READ)
def test_no_rule_of_accessibility_is_broken(browser, site, axe, width, scheme):
    browser.look(width=width, scheme=scheme)
    options = json.dumps({"runOnly": RULES, "resultTypes": ["violations"]})
    broken = {}
    for file in [*FILES, "../index.html"]:
        browser.open(site / file)
        browser.run("document.querySelectorAll('details').forEach((d) => { d.open = true; })")
        browser.run(f"{axe}; 0")
        found = browser.run(
            f"axe.run({options}).then((result) => result.violations.map((one) =>"
            " `${one.id}: ${one.nodes.map((node) => node.target.join(' ')).join(', ')}`))"
        )
        if found:
            broken[file] = found
    assert broken == {}


def test_dark_means_dark_and_the_curves_follow(browser, site):
    brightness = """(() => {
      const of = (colour) => colour.match(/\\d+/g).slice(0, 3).reduce((a, b) => a + Number(b), 0);
      const text = document.querySelector(".chart text");
      return [of(getComputedStyle(document.body).backgroundColor), of(getComputedStyle(text).fill)];
    })()"""
    for file in ("index.html", "skill.html", "models.html"):
        browser.look(width=1280, scheme="light")
        browser.open(site / file)
        paper, ink = browser.run(brightness)
        assert paper > 700 > ink + 200
        browser.look(width=1280, scheme="dark")
        paper, ink = browser.run(brightness)
        assert paper < 120 < ink - 200


def test_the_navigation_leads_through_all_pages_and_back(browser, site):
    browser.look(width=1280)
    browser.open(site.parent / "index.html")
    browser.follow("article a")
    seen = []
    for file in FILES:
        browser.follow(f'nav a[href="{file}"]')
        seen.append(browser.run("document.querySelector('nav [aria-current=page]').innerText"))
        assert browser.run("location.pathname.split('/').pop()") == file
        assert browser.run("document.querySelectorAll('main h2').length") > 0
    assert seen == [page.label for page in PAGES]
    browser.follow(".eyebrow a")
    assert browser.run("document.querySelector('h1').innerText") == "Temperature forecasts"


def test_the_first_key_skips_to_the_content_and_the_next_ones_reach_everything(browser, site):
    browser.look(width=360)
    browser.open(site / "quality.html")
    browser.press("Tab", 9)
    assert browser.run("document.activeElement.className") == "skip"
    assert browser.run("document.activeElement.getBoundingClientRect().left") >= 0
    browser.run("document.activeElement.click()")
    assert browser.run("document.activeElement.id") == "main"
    browser.open(site / "quality.html")
    reached = set()
    for _ in range(30):
        browser.press("Tab", 9)
        reached.add(browser.run("document.activeElement.outerHTML.slice(0, 200)"))
    wanted = browser.run(
        "[...document.querySelectorAll('a[href], button, input, summary, [tabindex=\"0\"]')]"
        ".map((element) => element.outerHTML.slice(0, 200))"
    )
    assert set(wanted) <= reached


def test_the_animation_plays_by_itself_and_stands_still_for_those_who_prefer_it(browser, site):
    browser.look(width=1280, reduced_motion=True)
    browser.open(site / "index.html")
    playing = "document.getElementById('play').getAttribute('aria-label')"
    assert browser.run(playing) == "Play"
    browser.look(width=1280, reduced_motion=False)
    browser.open(site / "index.html")
    assert browser.run(playing) == "Pause"
    browser.run("new Promise((done) => setTimeout(done, 1100))")
    assert browser.run("document.getElementById('lead').value") == "1"


def test_the_buttons_of_the_animation_and_the_legend_work(browser, site):
    browser.look(width=360, reduced_motion=True)
    browser.open(site / "index.html")
    browser.run("document.getElementById('play').click()")
    assert browser.run("document.getElementById('play').className") == "playing"
    browser.run("document.getElementById('lead').focus()")
    browser.press("ArrowRight", 39)
    assert browser.run("document.getElementById('play').className") == ""
    browser.press("End", 35)
    assert browser.run(SHOWN) == [2, 2, 2]
    assert browser.run("document.getElementById('readout').innerText").startswith("+3 h, valid ")
    browser.run("document.querySelectorAll('input[name=case]')[1].click()")
    hidden = "[...document.querySelectorAll('.case')].map((entry) => entry.hidden)"
    assert browser.run(hidden)[:2] == [True, False]
    assert browser.run(SHOWN) == [2, 2, 2]
    browser.run("document.querySelector('.legend button').click()")
    assert browser.run("document.querySelectorAll('.chart .on').length") == 2
    browser.run("document.querySelector('.legend button').click()")
    assert browser.run("document.querySelectorAll('.chart .on').length") == 0
    assert browser.complaints == []


def test_copying_puts_the_lines_on_the_clipboard_or_selects_them(browser, site):
    browser.look(width=1280)
    browser.open(site / "index.html")
    browser.run("document.getElementById('copy').click()")
    browser.run("new Promise((done) => setTimeout(done, 200))")
    assert browser.run("document.getElementById('copy').textContent") in ("Copied", "Selected")
