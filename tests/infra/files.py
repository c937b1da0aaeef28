"""The files of infra/ and what the code around them knows: pools, variables, secrets."""

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from prefect.settings import Settings
from prefect.settings.legacy import _get_settings_fields

PROJECT = Path(__file__).resolve().parents[2]
INFRA = PROJECT / "infra"
ENTRYPOINT = INFRA / "image" / "entrypoint.sh"

POOLS = {"cpu", "gpu"}
# Read by botocore, and by every program at its start.
OF_LIBRARIES = {
    *("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SHARED_CREDENTIALS_FILE", "AWS_REGION"),
    *("CDSAPI_URL", "CDSAPI_KEY", "DO_NOT_TRACK", "OMP_WAIT_POLICY", "MPLCONFIGDIR"),
    *("HOME", "PATH", "PYTHONDONTWRITEBYTECODE", "PYTHONUNBUFFERED"),
}


def read(name: str) -> Any:
    """A YAML file of infra/ with one document."""
    return yaml.safe_load((INFRA / name).read_text("utf-8"))


def tool(name: str) -> str:
    """The path of a program from the development packages or the system; else the test skips."""
    beside = Path(sys.executable).parent / name
    found = str(beside) if beside.exists() else shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not installed on this machine")
    return found


def complaints(*command: str | Path) -> str:
    """What a checker says; empty if it finds nothing wrong."""
    done = subprocess.run(
        [str(word) for word in command], capture_output=True, text=True, check=False, cwd=PROJECT
    )
    return (done.stdout + done.stderr) if done.returncode else ""


def deployed_pools() -> set[str]:
    """The work pools that `lsntp deploy` sends runs to."""
    return {entry["work_pool"]["name"] for entry in read("prefect.yaml")["deployments"]}


def lease_storage() -> str:
    """The setting of the server that the head of infra/prefect.yaml asks for."""
    text = (INFRA / "prefect.yaml").read_text("utf-8")
    found = re.search(r"PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE=(\S+)", text)
    assert found is not None
    return found[1]


def unknown_variables(names: set[str]) -> set[str]:
    """Those that neither our code, nor Prefect, nor a library reads."""
    prefects = set(_get_settings_fields(Settings))
    return names - prefects - OF_LIBRARIES - our_variables()


def our_variables() -> set[str]:
    """Every LSNTP_... that stands as a text in the code."""
    rooms = (PROJECT / room for room in ("lsntp", "tasks", "flows"))
    texts = (path.read_text("utf-8") for room in rooms for path in room.rglob("*.py"))
    return {name for text in texts for name in re.findall(r'"(LSNTP_[A-Z0-9_]+)"', text)}


def from_files() -> set[str]:
    """The variables that the image's entry point takes from files."""
    text = ENTRYPOINT.read_text("utf-8").replace("\\\n", " ")
    listed = re.search(r"for name in ([A-Z_ ]+);", text)
    assert listed is not None
    return set(listed[1].split())
