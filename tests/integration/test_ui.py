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
def runs(server: Server, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Runs of every flow by its name, started from the command line against the server."""
    path = tmp_path_factory.mktemp("shown") / "shown.yaml"
    path.write_text(made_domain("shown"))
    run_lsntp(server, "deploy", str(path))
    for command in ("ingest", "train", "forecast", "evaluate", "report"):
        run_lsntp(server, command, str(path))
    found = server.post(
        "/flow_runs/filter", {"flow_runs": {"state": {"type": {"any_": ["COMPLETED"]}}}}
    )
    flows = {flow["id"]: flow["name"] for flow in server.post("/flows/filter", {})}
    return {flows[run["flow_id"]]: run["id"] for run in found}


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
    "dashboard": ("/dashboard", ["Flow Runs"]),
    "artifacts": ("/artifacts", ["coverage-shown", "skill-shown", "report-shown"]),
    "coverage": ("/artifacts/key/coverage-shown", ["shown"]),
    "skill": ("/artifacts/key/skill-shown", ["persistence"]),
    "report": ("/artifacts/key/report-shown", ["shown"]),
    "run": ("/runs/flow-run/{ingest}?tab=Artifacts", ["coverage-shown"]),
    "deployments": ("/deployments", ["shown"]),
}


@pytest.mark.parametrize("page", PAGES)
def test_prefects_pages_show_what_we_publish(
    server: Server, runs: dict[str, str], browser: Any, pictures: Path, page: str
) -> None:
    path, texts = PAGES[page]
    address = server.environment["PREFECT_UI_API_URL"].removesuffix("/api")
    browser.visit(address + path.format(**runs))

    def is_shown() -> bool:
        text = browser.run("document.body.innerText")
        return all(one in text for one in texts)

    wait_for(is_shown, f"{texts} on {path}", 60)
    wait_for(
        lambda: browser.run("document.getAnimations().every(a => a.playState != 'running')"),
        "rest",
        20,
    )
    browser.screenshot(pictures / f"prefect-{page}.png", whole=False)
    (pictures / f"prefect-{page}.txt").write_text(browser.run("document.body.innerText"))
