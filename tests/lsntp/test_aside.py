import os
import signal
import socket
import subprocess
import sys
import time

from lsntp.aside import LEFTOVER_S, aside_of, sweep_asides, temporary_folder

HOST = socket.gethostname()


DEAD = 2**22 + 1
"""No process of Linux has so high a number."""


def test_a_name_tells_whose_it_is_and_is_hidden(tmp_path):
    assert aside_of(tmp_path / "a.nc") == tmp_path / f".a.nc.{HOST}.{os.getpid()}.partial"


def test_what_a_dead_process_left_is_removed_and_what_a_living_one_makes_is_not(tmp_path):
    (tmp_path / f".a.nc.{HOST}.{DEAD}.partial").touch()
    (tmp_path / f".folder.{HOST}.{DEAD}.partial").mkdir()
    (tmp_path / f".folder.{HOST}.{DEAD}.partial" / "page").touch()
    kept = {f".b.nc.{HOST}.{os.getppid()}.partial", "a.nc.partial", ".a.nc.partial", "a.nc"}
    for name in kept:
        (tmp_path / name).touch()
    sweep_asides(tmp_path, "*")
    assert {path.name for path in tmp_path.iterdir()} == kept


def test_what_another_machine_has_not_touched_for_a_day_is_removed(tmp_path):
    # Its process of that number, whether there is one here or not.
    names = [f".a.nc.other-{HOST}x.{os.getpid()}.partial", ".a.nc.elsewhere.1.partial"]
    for name in names:
        (tmp_path / name).touch()
    sweep_asides(tmp_path, "*")
    assert {path.name for path in tmp_path.iterdir()} == set(names)
    long_ago = time.time() - LEFTOVER_S - 60
    for name in names:
        os.utime(tmp_path / name, (long_ago, long_ago))
    sweep_asides(tmp_path, "*")
    assert not list(tmp_path.iterdir())


def test_what_cannot_be_removed_stays_and_stops_nothing(tmp_path, monkeypatch):
    first, second = (tmp_path / f".{name}.{HOST}.{DEAD}.partial" for name in "ab")
    first.touch()
    second.touch()

    def refuse(_):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr("pathlib.Path.unlink", refuse)
    sweep_asides(tmp_path, "*")
    assert first.exists()
    assert second.exists()


KILLED = """
import os, signal
from pathlib import Path
from lsntp.aside import temporary_folder
folder = temporary_folder()
(Path(folder.name) / "unpacked.nc").touch()
print(folder.name, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_the_temporary_folder_of_a_killed_process_is_removed_by_the_next(tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    done = subprocess.run(
        [sys.executable, "-c", KILLED], capture_output=True, text=True, check=False
    )
    assert done.returncode == -signal.SIGKILL
    assert [str(path) for path in tmp_path.iterdir()] == [done.stdout.strip()]
    with temporary_folder() as folder:
        assert [str(path) for path in tmp_path.iterdir()] == [folder]
    assert not list(tmp_path.iterdir())
