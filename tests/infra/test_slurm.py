"""The job scripts for Slurm. What Slurm itself does is done by a stand-in for `srun`."""

import os
import re
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from tests.infra.command_lines import parse
from tests.infra.files import INFRA, complaints, tool

FOLDER = INFRA / "slurm"
# What srun does on one node with one task: its own options go, the command runs.
SRUN = '#!/bin/sh\nwhile case "$1" in -*) true ;; *) false ;; esac; do shift; done\nexec "$@"\n'
ASKS_THE_CLUSTER = """
import sys
from distributed import Client
(option, setting) = sys.argv[1:]
with Client(setting.removeprefix("dask.cluster="), timeout=120) as client:
    client.wait_for_workers(1, timeout=120)
    print(option, client.submit(pow, 6, 2).result())
"""


def test_the_linter_of_shell_scripts_finds_nothing() -> None:
    assert complaints(tool("shellcheck"), *sorted(FOLDER.glob("*.sbatch"))) == ""


def test_commands_in_their_heads_are_ones_that_exist() -> None:
    for script in FOLDER.glob("*.sbatch"):
        text = script.read_text("utf-8")
        (shown,) = re.findall(r"^#   sbatch \S+ infra/slurm/(.*)$", text, re.MULTILINE)
        name, *words = shown.split()
        assert name == script.name
        assert parse(words if words[0] == "lsntp" else ["lsntp", "train", *words])


@pytest.mark.slow
def test_a_command_finds_the_cluster_of_its_job_and_nothing_is_left(tmp_path: Path) -> None:
    (tmp_path / "srun").write_text(SRUN)
    (tmp_path / "srun").chmod(stat.S_IRWXU)
    (tmp_path / "ask.py").write_text(ASKS_THE_CLUSTER)
    folder = tmp_path / "job"
    folder.mkdir()
    programs = [tmp_path, Path(sys.executable).parent]
    done = subprocess.run(
        ["bash", FOLDER / "dask.sbatch", sys.executable, tmp_path / "ask.py"],
        cwd=folder,
        env=os.environ
        | {
            "PATH": os.pathsep.join([*map(str, programs), os.environ["PATH"]]),
            "LSNTP_VENV": str(Path(sys.executable).parents[1]),
            "SLURM_JOB_ID": "7",
            "TMPDIR": str(tmp_path),
        },
        capture_output=True,
        text=True,
        check=False,
        timeout=500,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "--set 36"
    assert list(folder.iterdir()) == []
    assert not list(tmp_path.glob("tmp.*"))


@pytest.mark.slow
def test_the_exit_code_is_that_of_the_command(tmp_path: Path) -> None:
    (tmp_path / "srun").write_text(SRUN)
    (tmp_path / "srun").chmod(stat.S_IRWXU)
    done = subprocess.run(
        ["bash", FOLDER / "dask.sbatch", "sh", "-c", "exit 7", "sh"],
        cwd=tmp_path,
        env=os.environ
        | {
            "PATH": os.pathsep.join([str(tmp_path), os.environ["PATH"]]),
            "LSNTP_VENV": str(Path(sys.executable).parents[1]),
            "SLURM_JOB_ID": "8",
        },
        capture_output=True,
        check=False,
        timeout=500,
    )
    assert done.returncode == 7
