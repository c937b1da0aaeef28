"""Memory grows with the block, never with the archive that is made."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.lsntp.memory_process import COLUMNS, ROWS

SCRIPT = Path(__file__).with_name("memory_process.py")
ROOT = Path(__file__).resolve().parents[2]


BEFORE = {"forecast": ("ingest", "fit"), "evaluate": ("ingest", "fit", "forecast")}
"""What must be there already, made by processes that are not measured."""
LEADS = 6


def peak_mib(role: str, days: int, folder: Path) -> int:
    folder.mkdir()
    environment = {key: value for key, value in os.environ.items() if key != "LSNTP_ROOT"}
    for step in (*BEFORE.get(role, ()), role):
        done = subprocess.run(
            [sys.executable, str(SCRIPT), step, str(days), str(folder)],
            env=environment | {"PYTHONPATH": str(ROOT), "MALLOC_ARENA_MAX": "1"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
    return int(done.stdout.split()[-1])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("role", "few", "many"),
    [("prepare", 150, 700), ("ingest", 70, 250), ("forecast", 20, 60), ("evaluate", 20, 60)],
)
def test_a_longer_archive_takes_no_more_memory(
    role: str, few: int, many: int, tmp_path: Path
) -> None:
    leads = LEADS if role in BEFORE else 1
    added_mib = leads * 4 * ROWS * COLUMNS * 24 * (many - few) / 2**20
    grown = peak_mib(role, many, tmp_path / "many") - peak_mib(role, few, tmp_path / "few")
    assert added_mib > 100
    assert grown < added_mib / 4
