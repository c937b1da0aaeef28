"""What a worker loads by its path: Prefect puts the folder of the file before everything else."""

import sys
from pathlib import Path

import flows

FOLDER = Path(flows.__file__).parent


def test_no_module_of_the_flows_hides_one_of_pythons_own() -> None:
    """The folder goes on to child processes, where ``import calendar`` found ours."""
    names = {path.stem for path in FOLDER.iterdir()}
    assert "ingest" in names
    assert not names & sys.stdlib_module_names
