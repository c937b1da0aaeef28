"""What an operator sees in Prefect's own pages: our runs, and our artifacts as tables.

Pictures are kept in the folder that ``LSNTP_SCREENSHOTS`` names, for people to look at:
``LSNTP_SCREENSHOTS=/tmp/shots pytest -m slow tests/integration/test_ui.py``.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.services import Server, made_domain, run_lsntp, wait_for
from tests.lsntp.report.browser import CHROMIUM, chromium

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(1800),
    pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed"),
]


@pytest.fixture(scope="module")
def ids(server: Server, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Of a run of every flow by its name, and of every artifact by its key."""
    path = tmp_path_factory.mktemp("shown") / "shown.yaml"
    path.write_text(made_domain("shown"))
    run_lsntp(server, "deploy", str(path))
    for command in ("ingest", "train", "forecast", "evaluate", "report"):
        run_lsntp(server, command, str(path))
    completed = {"flow_runs": {"state": {"type": {"any_": ["COMPLETED"]}}}}
    found = [  # the server is other tests', too
        run
        for run in server.post("/flow_runs/filter", completed)
        if run["parameters"].get("domain") == str(path)
    ]
    flows = {flow["id"]: flow["name"] for flow in server.post("/flows/filter", {})}
    artifacts = server.post("/artifacts/filter", {})
    return {
        **{flows[run["flow_id"]]: run["id"] for run in found},
        **{
            one["key"].removesuffix("-shown"): one["id"]
            for one in artifacts
            if (one["key"] or "").endswith("-shown")
        },
    }


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with chromium(tmp_path_factory.mktemp("profile")) as opened:
        opened.look(width=1400, height=1000)
        yield opened


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    kept = os.environ.get("LSNTP_SCREENSHOTS")
    folder = Path(kept) if kept else tmp_path_factory.mktemp("pictures")
    folder.mkdir(exist_ok=True, parents=True)
    return folder


PAGES = {
    "dashboard": ("/dashboard", ["Task Runs", "Completed"]),
    "artifacts": ("/artifacts", ["coverage-shown", "skill-shown", "report-shown"]),
    "history": ("/artifacts/key/skill-shown", ["is best", "Created skill-shown"]),
    "coverage": ("/artifacts/artifact/{coverage}", ["2024-01-01T00:00Z"]),
    "skill": ("/artifacts/artifact/{skill}", ["persistence", "mae"]),
    "report-link": ("/artifacts/artifact/{report}", ["report-shown"]),
    "run": ("/runs/flow-run/{evaluate}", ["Completed", "ridge is best"]),
    "deployments": ("/deployments", ["shown"]),
}


@pytest.mark.parametrize("page", PAGES)
def test_prefects_pages_show_what_we_publish(
    server: Server, ids: dict[str, str], browser: Any, pictures: Path, page: str
) -> None:
    path, texts = PAGES[page]
    address = server.environment["PREFECT_UI_API_URL"].removesuffix("/api")
    browser.visit(address + path.format(**ids))

    def text() -> str:
        return str(browser.run("document.body.innerText"))

    def is_at_rest() -> bool:
        # A run at work is drawn with an animation that has no end.
        ends = "a.effect.getComputedTiming().endTime < Infinity"
        moving = f"document.getAnimations().some(a => a.playState == 'running' && {ends})"
        return not browser.run(moving)

    try:
        wait_for(lambda: all(one in text() for one in texts), f"{texts} on {path}", 60)
        wait_for(is_at_rest, "rest", 20)
    finally:
        browser.screenshot(pictures / f"prefect-{page}.png", whole=False)
        (pictures / f"prefect-{page}.txt").write_text(text())
