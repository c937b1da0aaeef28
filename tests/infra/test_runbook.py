"""The pages of infra/: every command exists, and the procedures do what they show."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import xarray as xr

from lsntp.config import Domain, load_domain
from lsntp.errors import ArchiveError
from lsntp.ingest import ingest
from lsntp.names import CHAMPION
from lsntp.times import Period, parse_time
from lsntp.training import train
from lsntp.training.champion import champion_of, promote
from lsntp.training.gate import offer
from lsntp.workspace import Workspace
from tests.infra.command_lines import UnknownCommandLineError, parse
from tests.infra.files import INFRA, PROJECT
from tests.infra.runbook import IN_A_CONTAINER, anchors, blocks, commands

RUNBOOK = INFRA / "RUNBOOK.md"
PAGES = [RUNBOOK, INFRA / "README.md"]
SHOWN = [(page.name, command) for page in PAGES for command in commands(page)]
PROCEDURES = {name: steps for name, steps in blocks(RUNBOOK) if name}
OWN = """
domain: my
description: A small synthetic domain.
source: {name: synthetic, seed: 7, spacing: 1.0}
grid: {kind: regular, north: 54, south: 46, west: -6, east: 6, spacing: 2}
cadence_h: 1
history: 6
horizon: 3
archive: {start: 2024-01-01}
split:
  train: {start: 2024-01-01, end: 2024-01-05}
  validation: {start: 2024-01-05, end: 2024-01-07}
  test: {start: 2024-01-07, end: 2024-01-14}
networks: {}
bootstrap_samples: 200
"""


# --- every command exists --------------------------------------------------------------------


@pytest.mark.parametrize(("page", "command"), SHOWN)
def test_every_command_that_is_shown_is_one_that_its_program_takes(page: str, command: str) -> None:
    words = [word.rstrip(",;") for word in shlex.split(command.partition(" > ")[0])]
    assert isinstance(parse(words), dict)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_what_is_run_in_a_container_gets_its_secrets(page: Path) -> None:
    text = " ".join(page.read_text("utf-8").split())
    shown = re.findall(r"docker compose [^`]*\bexec\b[^`]*", text)
    assert shown
    assert [one for one in shown if not one.startswith(IN_A_CONTAINER)] == []


def test_the_pages_show_many_commands() -> None:
    assert len(SHOWN) > 40


@pytest.mark.parametrize(
    "command",
    [
        "lsntp rol-back my.yaml",
        "lsntp models rollback my.yaml",
        "lsntp ingest my.yaml --form 2024-01-01",
        "prefect work-pol pause cpu",
        "prefect work-pool pause cpu --now-really",
        "dask worker --no-such-option",
    ],
)
def test_a_command_that_does_not_exist_would_be_found(command: str) -> None:
    with pytest.raises(UnknownCommandLineError):
        parse(shlex.split(command))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)]+)\)", page.read_text("utf-8")):
        path, _, anchor = target.partition("#")
        found = (page.parent / path).resolve() if path else page
        assert found.exists(), target
        assert not anchor or anchor in anchors(found), target


def test_every_alarm_has_its_section_and_each_says_the_three_things() -> None:
    from lsntp.alarms.finding import AlarmName

    chapter = RUNBOOK.read_text("utf-8").split("\n## ")[1]
    assert chapter.startswith("Alarms\n")
    sections = {text.splitlines()[0]: text for text in chapter.split("\n### ")[1:]}
    assert set(sections) == {*AlarmName, "dead scheduler"}
    for text in sections.values():
        for part in ("**Means.**", "**Look.**", "**Do.**"):
            assert part in text


# --- the procedures do what they show ----------------------------------------------------------


@pytest.fixture
def domain(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Domain:
    """`my.yaml` in the working folder, archives below it, no server but an embedded one."""
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith(("PREFECT_", "LSNTP_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PYTHONPATH", str(PROJECT))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path / "prefect"))
    monkeypatch.setenv("PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS", "600")
    Path("my.yaml").write_text(OWN)
    return load_domain("my.yaml")


def follow(name: str) -> None:
    """Type what a procedure shows; commands to a server are only parsed, for there is none."""
    for step in PROCEDURES[name]:
        program, *words = shlex.split(step.command)
        if program == "lsntp":
            typed = [sys.executable, "-m", "flows", *words]
            done = subprocess.run(typed, capture_output=True, text=True, check=False)
            finds_damage = words[0] == "verify" and done.returncode == ArchiveError.exit_code
            assert finds_damage or done.returncode == 0, (step.command, done.stderr)
            assert step.missing_from(done.stdout) == [], (step.command, done.stdout)
        elif program == "prefect":
            parse([program, *words])
        else:
            subprocess.run([program, *words], check=True)


def span(start: str, end: str) -> Period:
    return Period(parse_time(start), parse_time(end))


def seen(domain: Domain) -> dict[str, bytes]:
    """All that a plain reader sees of the analyses, but when they were stored."""
    with xr.open_zarr(Workspace.of(domain).analysis, chunks=None) as opened:
        names = [name for name in opened.variables if name != "ingested_at"]
        return {str(name): opened[name].to_numpy().tobytes() for name in names}


def damage(domain: Domain, day: int) -> None:
    """Turn a bit in the fields of a day."""
    file = Workspace.of(domain).analysis / "t2m" / "c" / str(day) / "0" / "0"
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


def test_every_procedure_is_followed_by_a_test() -> None:
    assert set(PROCEDURES) == {"roll back", "ingest again", "reconcile", "repair", "restore"}


def test_repair_makes_a_damaged_day_what_it_was(domain: Domain) -> None:
    ingest(domain)
    before = seen(domain)
    damage(domain, 3)
    follow("repair")
    assert seen(domain) == before


@pytest.mark.slow
def test_a_day_without_fields_is_ingested_again_as_if_it_had_never_failed(domain: Domain) -> None:
    ingest(domain)
    whole = seen(domain)
    shutil.rmtree(Workspace.of(domain).root)
    ingest(domain, period=span("2024-01-01", "2024-01-04"))
    ingest(domain, period=span("2024-01-05", "2024-01-14"))
    assert seen(domain) != whole
    follow("ingest again")
    follow("reconcile")
    assert seen(domain) == whole


@pytest.mark.slow
def test_a_backup_that_is_older_is_restored_and_filled_up(domain: Domain) -> None:
    ingest(domain, period=span("2024-01-01", "2024-01-10"))
    shutil.copytree(Workspace.of(domain).root / "analysis", "backup/analysis")
    ingest(domain)
    before = seen(domain)
    damage(domain, 3)
    follow("restore")
    assert seen(domain) == before
    assert not Path("lsntp-data/analysis/my.zarr.damaged").exists()


@pytest.mark.slow
def test_rolling_back_returns_to_the_champion_before_and_forecasts_with_it(domain: Domain) -> None:
    ingest(domain)
    versions = {report.model: report.version for report in train(domain)}
    offer(domain, list(versions.values()))
    first = champion_of(domain)
    assert first is not None
    worse = next(one for one in versions.values() if one != first.version)
    promote(domain, worse, by="anna", reason="a mistake")
    follow("roll back")
    now = champion_of(domain)
    assert now is not None
    assert now.version == first.version
    assert now.reason == "too warm at night since Monday"
    with xr.open_zarr(Workspace.of(domain).forecast(CHAMPION), chunks=None) as forecasts:
        (made_by,) = set(forecasts.model_version.to_numpy()[forecasts.written_leads > 0])
    assert made_by == first.version
