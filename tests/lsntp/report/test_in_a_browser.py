"""The page in a real browser: its script runs, it plays, and it fits a phone."""

import html
import re
import shutil
import subprocess

import pytest

from lsntp.report.page import render

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")

ARGUMENTS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--virtual-time-budget=1500",
    "--window-size=1280,900",
    "--dump-dom",
)


def open_in_browser(text, folder, *arguments):
    """The document after 1.5 s of its own time."""
    path = folder / "index.html"
    path.write_text(text, "utf-8")
    command = [CHROMIUM, *ARGUMENTS, f"--user-data-dir={folder / 'profile'}", *arguments]
    done = subprocess.run(
        [*command, path.as_uri()], capture_output=True, text=True, timeout=120, check=True
    )
    return done.stdout


def test_it_plays_by_itself(make_data, tmp_path):
    document = open_in_browser(render(make_data()), tmp_path)
    assert 'class="playing"' in document
    assert 'aria-label="Pause"' in document
    assert re.search(r'<output id="readout"[^>]*>\+2 h, valid', document)  # one step of 0.9 s


def test_it_stands_still_for_those_who_prefer_it(make_data, tmp_path):
    document = open_in_browser(render(make_data()), tmp_path, "--force-prefers-reduced-motion")
    assert 'class="playing"' not in document
    assert 'aria-label="Play"' in document
    assert re.search(r'<output id="readout"[^>]*>\+1 h, valid', document)


def test_keys_and_buttons_work(make_data, tmp_path):
    script = """<script>
      document.getElementById("play").click();
      const lead = document.getElementById("lead");
      lead.value = 4; lead.dispatchEvent(new Event("input"));
      const second = document.querySelectorAll("input[name=case]")[1];
      second.checked = true; second.dispatchEvent(new Event("change"));
      document.querySelector(".legend button").click();
      const shown = [...document.querySelectorAll(".case:not([hidden]) .plate")]
        .map((plate) => [...plate.querySelectorAll("img")].findIndex((image) => !image.hidden));
      document.body.dataset.shown = shown.join();
      document.body.dataset.cases =
        [...document.querySelectorAll(".case")].map((entry) => entry.hidden).join();
      document.body.dataset.on = document.querySelectorAll(".chart .on").length;
    </script></body>"""
    text = render(make_data()).replace("</body>", script)
    document = open_in_browser(text, tmp_path)
    assert 'data-shown="4,4,4"' in document
    assert 'data-cases="true,false"' in document
    assert 'data-on="2"' in document
    assert 'class="playing"' not in document


def test_nothing_is_wider_than_a_phone(make_data, tmp_path):
    framed = f"""<body><iframe style="width:390px;height:800px;border:0"
      srcdoc="{html.escape(render(make_data()))}"></iframe><script>
      const frame = document.querySelector("iframe");
      frame.onload = () => {{
        const root = frame.contentDocument.documentElement;
        document.body.dataset.overflow = root.scrollWidth - root.clientWidth;
        document.body.dataset.wide = root.clientWidth > 390;
      }};</script></body>"""
    document = open_in_browser(framed, tmp_path)
    assert 'data-overflow="0"' in document
    assert 'data-wide="false"' in document
