"""The command line: it teaches, it is quick to answer, and its exit codes mean something."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from flows.cli import app, main
from flows.console import MAX_GAPS, WHY_LENGTH, print_status
from lsntp.config import load_domain, preset_names
from lsntp.life_cycle import STATES, HourState, LifeCycle

COMMANDS = [
    "ingest",
    "reconcile",
    "backfill",
    "prepare",
    "train",
    "forecast",
    "evaluate",
    "compare",
    "report",
    "status",
    "doctor",
    "verify",
    "repair",
    "static",
    "demo",
    "deploy",
    "import-checkpoint",
]


def run_main(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["lsntp", *arguments])
    with pytest.raises(SystemExit) as caught:
        main()
    return int(caught.value.code or 0)


@pytest.mark.parametrize(
    "command",
    [[name] for name in COMMANDS]
    + [["config", "show"], ["analyse", "correlations"]]
    + [["quarantine", name] for name in ("list", "show", "release", "discard")]
    + [["models", name] for name in ("list", "show", "compare", "promote", "rollback")],
)
def test_every_command_explains_itself_with_an_example(command: list[str]) -> None:
    result = CliRunner().invoke(app, [*command, "--help"])
    assert result.exit_code == 0
    assert "Example:" in result.output
    assert f"lsntp {' '.join(command)}" in result.output


def test_the_overview_names_every_command_and_the_exit_codes() -> None:
    result = CliRunner().invoke(app, ["--help"])
    assert result.exit_code == 0
    for name in [*COMMANDS, "config", "analyse", "models", "quarantine"]:
        assert name in result.output
    assert "Exit codes" in result.output


@pytest.mark.parametrize(
    "arguments", [["--help"], ["status", "demo"], ["quarantine", "list", "demo"]]
)
def test_quick_answers_import_neither_torch_nor_prefect(arguments: list[str]) -> None:
    script = (
        "import sys\n"
        "from flows.cli import app\n"
        f"try: app({arguments!r})\n"
        "except SystemExit: pass\n"
        "print([name for name in ('torch', 'prefect', 'matplotlib') if name in sys.modules])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "[]"


def test_an_unknown_key_is_one_line_and_exit_code_2(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code = run_main(monkeypatch, "config", "show", "demo", "--set", "colour=blue")
    shown = capsys.readouterr().err
    assert code == 2
    assert shown.count("\n") == 1
    assert "unknown key colour" in shown
    assert "Traceback" not in shown


def test_a_domain_that_is_not_there_names_the_presets(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code = run_main(monkeypatch, "status", "no-such-domain")
    shown = capsys.readouterr().err
    assert code == 2
    for name in preset_names():
        assert name in shown


def test_a_checkpoint_that_is_not_there_is_said_before_anything_else(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["import-checkpoint", "demo", str(tmp_path / "no.pth")])
    assert result.exit_code == 2
    said = "".join(result.output.replace("│", "").split())  # the box breaks its lines anywhere
    assert "no.pth" in said


def test_status_says_what_to_run_next_as_it_was_typed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LSNTP_ROOT", str(tmp_path / "root"))
    own = tmp_path / "own.yaml"
    own.write_text(CliRunner().invoke(app, ["config", "show", "demo"]).output)
    shown = CliRunner().invoke(app, ["status", str(own)]).output
    assert "analyses    none yet" in shown
    assert shown.rstrip().endswith(f"next        lsntp ingest {own}")
    found = json.loads(CliRunner().invoke(app, ["status", str(own), "--json"]).output)
    assert set(found["steps"].values()) == {None}


def test_status_of_a_ragged_archive_stays_short(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    domain = load_domain("demo")
    size = 4 * MAX_GAPS
    codes = np.tile([STATES.index(HourState.FINAL), STATES.index(HourState.MISSING)], size // 2)
    never = np.full(size, np.datetime64("NaT", "ns"))
    why = np.full(size, "[red]x" * WHY_LENGTH, dtype=object)
    times = domain.start + np.arange(size) * domain.cadence
    hours = LifeCycle(times, codes.astype(np.int8), never, why, (), domain.cadence)
    print_status(domain, hours, [])
    shown = capsys.readouterr().out
    assert shown.count("missing") == MAX_GAPS + 1  # and the legend
    assert f"and {MAX_GAPS} earlier spans" in shown
    assert "[red]x" in shown  # a reason is text, never markup


def test_a_shown_configuration_can_be_loaded_again(
    tmp_path: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("LSNTP_ROOT", raising=False)
    shown = CliRunner().invoke(app, ["config", "show", "demo"]).output
    path = f"{tmp_path}/copy.yaml"
    with open(path, "w") as file:  # noqa: PTH123
        file.write(shown)
    again = CliRunner().invoke(app, ["config", "show", path]).output
    assert again == shown


def test_what_is_typed_beats_the_environment_which_beats_the_file(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("LSNTP_ROOT", "/srv/lsntp")
    assert "root: /srv/lsntp" in CliRunner().invoke(app, ["config", "show", "demo"]).output
    typed = ["config", "show", "demo", "--set", "root=/typed"]
    assert "root: /typed" in CliRunner().invoke(app, typed).output


@pytest.mark.parametrize("command", ["deploy", "ingest"])
def test_a_server_that_does_not_answer_ends_with_one_line_and_code_12(
    command: str, tmp_path: Path
) -> None:
    kept = {key: value for key, value in os.environ.items() if not key.startswith("PREFECT_")}
    done = subprocess.run(
        [sys.executable, "-m", "flows", command, "demo", "--set", f"root={tmp_path}/root"],
        env=kept
        | {
            "HOME": str(tmp_path),
            "PREFECT_API_URL": "http://127.0.0.1:9/api",
            "PREFECT_CLIENT_MAX_RETRIES": "0",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 12, done.stderr
    (line,) = done.stderr.strip().splitlines()
    assert "http://127.0.0.1:9/api" in line
    assert not (tmp_path / "root").exists()


def test_deploying_without_a_server_says_how_to_start_one(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: object
) -> None:
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path))
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    code = run_main(monkeypatch, "deploy", "demo")
    assert code == 12
    assert "prefect server start" in capsys.readouterr().err


@pytest.mark.parametrize("debug", [False, True])
def test_a_warning_is_printed_once_and_what_is_no_warning_for_debugging_only(debug: bool) -> None:
    lines = (
        f"from flows import runtime; runtime.configure(debug={debug})",
        "import logging; from prefect.logging.configuration import setup_logging; setup_logging()",
        "logging.getLogger('lsntp.intake').warning('it rains')",
        "logging.getLogger('lsntp.intake').info('it is wet')",
    )
    kept = {key: value for key, value in os.environ.items() if not key.startswith("PREFECT_")}
    done = subprocess.run(
        [sys.executable, "-c", "\n".join(lines)],
        cwd=Path(__file__).resolve().parents[2],
        env=kept,
        capture_output=True,
        text=True,
        check=True,
    )
    said = done.stdout + done.stderr
    assert (said.count("it rains"), said.count("it is wet")) == (1, debug)
