"""The units for systemd: verified by systemd itself, and by the code they start."""

import shlex
import shutil
import sys
from pathlib import Path

import pytest

from tests.infra.command_lines import parse
from tests.infra.files import INFRA, complaints, lease_storage, tool, unknown_variables

FOLDER = INFRA / "systemd"
SERVICES = sorted(FOLDER.glob("*.service"))
INSTANCES = {
    "lsntp-prefect-server.service": "lsntp-prefect-server.service",
    "lsntp-worker@.service": "lsntp-worker@cpu.service",
    "lsntp-health@.service": "lsntp-health@demo.service",
    "lsntp-health@.timer": "lsntp-health@demo.timer",
}
MOST_EXPOSED = 3.0
"""On systemd's scale from 0 to 10, where a unit without any limits has 9.6."""

each_service = pytest.mark.parametrize("path", SERVICES, ids=lambda path: path.name)


def lines(path: Path, key: str) -> list[str]:
    return [
        line.removeprefix(f"{key}=")
        for line in path.read_text("utf-8").splitlines()
        if line.startswith(f"{key}=")
    ]


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """The units with the programs and a user of this machine."""
    for path in [*SERVICES, *FOLDER.glob("*.timer")]:
        shutil.copy(path, tmp_path)
        text = path.read_text("utf-8").replace(
            "/opt/lsntp/.venv/bin", str(Path(sys.executable).parent)
        )
        (tmp_path / path.name).write_text(
            text.replace("User=lsntp", "User=daemon").replace("Group=lsntp", "Group=daemon")
        )
    return tmp_path


def test_every_unit_is_verified() -> None:
    assert {path.name for path in [*SERVICES, *FOLDER.glob("*.timer")]} == set(INSTANCES)


@pytest.mark.parametrize("name", INSTANCES.values())
def test_systemd_finds_no_fault(name: str, installed: Path) -> None:
    assert complaints(tool("systemd-analyze"), "verify", "--man=no", installed / name) == ""


@each_service
def test_units_may_little(path: Path, installed: Path) -> None:
    threshold = f"--threshold={MOST_EXPOSED * 10:g}"
    unit = installed / path.name
    said = complaints(tool("systemd-analyze"), "security", "--offline=true", threshold, unit)
    assert said == ""


@each_service
def test_what_is_started_exists_and_is_told_what_it_reads(path: Path) -> None:
    (command,) = lines(path, "ExecStart")
    program, *words = shlex.split(command.replace("%i", "cpu" if "worker" in path.name else "demo"))
    assert parse([Path(program).name, *words])
    told = [pair for line in lines(path, "Environment") for pair in shlex.split(line)]
    assert unknown_variables({pair.split("=")[0] for pair in told}) == set()


def test_the_example_of_the_environment_has_names_that_are_read_and_no_secret() -> None:
    text = (FOLDER / "lsntp.env.example").read_text("utf-8")
    pairs = [line.lstrip("#").split("=", 1) for line in text.splitlines() if "=" in line]
    assert unknown_variables({name for name, _ in pairs}) == set()
    for name, value in pairs:
        assert not value or not any(word in name for word in ("KEY", "SECRET", "AUTH", "WEBHOOK"))


def test_server_and_worker_agree_on_the_address_and_the_server_keeps_its_leases() -> None:
    server = FOLDER / "lsntp-prefect-server.service"
    taken = parse(["prefect", *shlex.split(lines(server, "ExecStart")[0])[1:]])
    told = (FOLDER / "lsntp.env.example").read_text("utf-8")
    assert f"PREFECT_API_URL=http://{taken['host']}:{taken['port']}/api" in told
    setting = f"PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE={lease_storage()}"
    assert setting in lines(server, "Environment")


def test_the_timer_starts_the_health_check_at_a_time_that_systemd_understands() -> None:
    (when,) = lines(FOLDER / "lsntp-health@.timer", "OnCalendar")
    assert complaints(tool("systemd-analyze"), "calendar", when) == ""
    assert (FOLDER / "lsntp-health@.service").is_file()
