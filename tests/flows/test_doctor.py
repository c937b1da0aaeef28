"""`lsntp doctor`: a line a check, a remedy a failure, an exit code for scripts."""

import datetime as dt
import json
import subprocess
import sys

import numpy as np
import pytest
from typer.testing import CliRunner

from flows.cli import app
from lsntp.config import load_domain
from lsntp.ingest import ingest
from lsntp.times import Period, hours
from tests.integration.services import made_domain

KEY = "canary-4711-aaaa"


def utc_today() -> dt.date:
    return dt.datetime.now(dt.UTC).date()


@pytest.fixture
def plain(tmp_path, monkeypatch):
    """A machine without Prefect server, and with a key of the Data Store that nobody answers to."""
    for name in ("PREFECT_API_URL", "PREFECT_HOME", "PREFECT_PROFILES_PATH"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("LSNTP_ROOT", str(tmp_path / "root"))
    monkeypatch.setenv("CDSAPI_URL", "http://127.0.0.1:9/api")
    monkeypatch.setenv("CDSAPI_KEY", KEY)


@pytest.mark.usefixtures("plain")
def test_a_sound_machine_ends_with_code_0():
    result = CliRunner().invoke(app, ["doctor", "demo"])
    assert result.exit_code == 0, result.output
    assert "archive root" in result.output
    assert "skipped  no server chosen" in result.output


@pytest.mark.usefixtures("plain")
def test_a_failure_says_what_was_expected_and_what_to_do_and_no_key():
    result = CliRunner().invoke(app, ["doctor"])
    assert result.exit_code == 1
    line = next(line for line in result.output.splitlines() if line.startswith("cds key"))
    assert "FAILED" in line
    assert "expected: an answer of the Climate Data Store" in result.output
    assert "do: check the network" in result.output
    assert KEY not in result.output


@pytest.mark.usefixtures("plain")
def test_an_analysis_that_has_stopped_growing_is_a_failure(tmp_path):
    path = tmp_path / "stale.yaml"
    path.write_text(made_domain("stale", start=utc_today() - dt.timedelta(days=20)))
    domain = load_domain(path)
    first = np.datetime64(utc_today() - dt.timedelta(days=20), "ns")
    ingest(domain, period=Period(first, first + hours(48)))
    result = CliRunner().invoke(app, ["doctor", str(path), "--json"])
    assert result.exit_code == 1, result.output
    (check,) = (c for c in json.loads(result.output)["checks"] if c["name"] == "newest analysis")
    assert check["health"] == "failed"
    assert "lsntp ingest" in check["remedy"]


@pytest.mark.usefixtures("plain")
def test_scripts_read_json():
    result = CliRunner().invoke(app, ["doctor", "--json"])
    found = json.loads(result.output)
    assert found["ok"] is False
    failures = [check for check in found["checks"] if check["health"] == "failed"]
    assert [check["name"] for check in failures] == ["cds key"]
    assert all(check["remedy"] for check in failures)


@pytest.mark.usefixtures("plain")
def test_without_a_chosen_server_neither_torch_nor_prefect_is_imported():
    script = (
        "import sys\n"
        "from flows.cli import app\n"
        "try: app(['doctor', 'demo'])\n"
        "except SystemExit: pass\n"
        "print([name for name in ('torch', 'prefect', 'matplotlib') if name in sys.modules])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert "archive root" in done.stdout
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.usefixtures("plain")
def test_a_scheduler_that_does_not_answer_is_a_failure(monkeypatch):
    from prefect.settings import PREFECT_API_URL, PREFECT_CLIENT_MAX_RETRIES, temporary_settings

    from flows.health import check_scheduler

    url = "http://user:password@127.0.0.1:9/api"
    with temporary_settings({PREFECT_API_URL: url, PREFECT_CLIENT_MAX_RETRIES: 0}):
        (check,) = check_scheduler("demo")
    assert check.health == "failed"
    assert "prefect server start" in check.remedy
    assert "password" not in str(check)
