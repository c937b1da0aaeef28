"""A reader sees the old report or the new one, whatever happens to the writer."""

import os
import shutil
import signal
import stat
import subprocess
import sys
import time

import pytest

from lsntp.errors import StorageError
from lsntp.report.publish import VERSIONS, publish, publish_pages

WRITER = """
import itertools, sys, time
from pathlib import Path
from lsntp.report.publish import publish_pages
print("ready", flush=True)
for number in itertools.count():
    pages = {f"{name}.html": f"{number}" * 20_000 for name in "abcdef"}
    publish_pages(pages, Path(sys.argv[1]))
    time.sleep(0.002)
"""

KILLED_AT = """
import os, signal, sys
from pathlib import Path
from lsntp.report.publish import publish_pages
call = {call}
def until_killed(*args, **kwargs):
    if "{moment}" == "after":
        call(*args, **kwargs)
    os.kill(os.getpid(), signal.SIGKILL)
{call} = until_killed
publish_pages({{"index.html": "new"}}, Path(sys.argv[1]))
"""
LAST = ("Path.replace", "after")
"""From here on a reader finds the new report."""


def pages_in(folder):
    """What a reader finds who follows the link once; again, if two reports came meanwhile."""
    while True:
        real = folder.resolve()
        try:
            found = {path.name: path.read_text() for path in real.iterdir()}
        except FileNotFoundError:
            found = {}
        if found.keys() >= {"a.html", "f.html"} or folder.resolve() == real:
            return found


def look_for(folder, seconds):
    """Read all the time; how often, each time finding whole reports of one writing."""
    end, looks = time.monotonic() + seconds, 0
    while time.monotonic() < end or not looks:
        found = pages_in(folder)
        assert sorted(found) == [f"{name}.html" for name in "abcdef"]
        assert len(set(found.values())) == 1
        looks += 1
    return looks


def test_all_pages_change_together_and_the_older_ones_stay_for_one_report(tmp_path):
    folder = tmp_path / "reports" / "small"
    publish_pages({"index.html": "1", "models.html": "1"}, folder)
    older = folder.resolve()
    publish_pages({"index.html": "2"}, folder)
    assert pages_in(folder) == {"index.html": "2"}
    assert (older / "models.html").read_text() == "1"
    publish_pages({"index.html": "3"}, folder)
    assert not older.exists()
    assert sorted(entry.name for entry in folder.parent.iterdir()) == [VERSIONS, "small"]
    assert len(list((folder.parent / VERSIONS).iterdir())) == 2


def test_a_domain_leaves_the_pages_of_others_alone(tmp_path):
    for name in ("small", "small-2", "small"):
        publish_pages({"index.html": name}, tmp_path / name)
    publish_pages({"index.html": "again"}, tmp_path / "small")
    assert pages_in(tmp_path / "small-2") == {"index.html": "small-2"}


def test_a_killed_writer_leaves_a_whole_report_and_the_next_one_sweeps(tmp_path):
    folder = tmp_path / "small"
    publish_pages({f"{name}.html": "x" for name in "abcdef"}, folder)
    looks = 0
    for delay_s in (0.0, 0.004, 0.011, 0.023, 0.037):
        with subprocess.Popen(
            [sys.executable, "-c", WRITER, str(folder)], stdout=subprocess.PIPE, text=True
        ) as writer:
            try:
                assert writer.stdout.readline() == "ready\n"
                looks += look_for(folder, 0.1 + delay_s)
            finally:
                writer.send_signal(signal.SIGKILL)
        assert look_for(folder, 0.0) == 1
    publish_pages({"index.html": "last"}, folder)
    publish_pages({"index.html": "last"}, folder)
    assert len(list((tmp_path / VERSIONS).iterdir())) == 2
    assert looks > 10


@pytest.mark.parametrize("call", ["Path.mkdir", "os.fsync", "Path.symlink_to", "Path.replace"])
@pytest.mark.parametrize("moment", ["before", "after"])
def test_whatever_a_writer_killed_at_a_call_left_is_swept(tmp_path, call, moment):
    folder = tmp_path / "small"
    publish_pages({"index.html": "old"}, folder)
    killed = KILLED_AT.format(call=call, moment=moment)
    writer = subprocess.run([sys.executable, "-c", killed, str(folder)], check=False)
    assert writer.returncode == -signal.SIGKILL
    assert pages_in(folder) == {"index.html": "new" if (call, moment) == LAST else "old"}
    publish_pages({"index.html": "next"}, folder)
    publish_pages({"index.html": "last"}, folder)
    assert pages_in(folder) == {"index.html": "last"}
    assert len(list((tmp_path / VERSIONS).iterdir())) == 2


def test_a_plain_folder_as_a_copied_root_has_it_becomes_a_link(tmp_path):
    publish_pages({"index.html": "1"}, tmp_path / "old" / "small")
    shutil.copytree(tmp_path / "old", tmp_path / "new")  # follows the link
    folder = tmp_path / "new" / "small"
    assert not folder.is_symlink()
    publish_pages({"index.html": "2"}, folder)
    assert folder.is_symlink()
    assert pages_in(folder) == {"index.html": "2"}
    (tmp_path / "new").rename(tmp_path / "moved")  # the link is relative
    assert pages_in(tmp_path / "moved" / "small") == {"index.html": "2"}


def test_below_a_linked_folder_the_older_report_stays_for_one_more(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "reports").symlink_to("elsewhere")
    folder = tmp_path / "reports" / "small"
    publish_pages({"index.html": "1"}, folder)
    older = folder.resolve()
    publish_pages({"index.html": "2"}, folder)
    assert (older / "index.html").read_text() == "1"


def test_a_plain_folder_moved_away_by_a_killed_writer_is_put_back(tmp_path):
    folder = tmp_path / "small"
    folder.mkdir()
    (folder / "index.html").write_text("old")
    killed = KILLED_AT.format(call="Path.replace", moment="before")
    writer = subprocess.run([sys.executable, "-c", killed, str(folder)], check=False)
    assert writer.returncode == -signal.SIGKILL
    assert not folder.exists()
    with pytest.raises(StorageError):
        publish_pages({"x" * 300: "a name too long for any disk"}, folder)
    assert pages_in(folder) == {"index.html": "old"}
    publish_pages({"index.html": "next"}, folder)
    assert pages_in(folder) == {"index.html": "next"}


def test_a_refused_report_keeps_the_older_one_and_leaves_nothing(tmp_path):
    folder = tmp_path / "small"
    publish_pages({"index.html": "old"}, folder)
    with pytest.raises(StorageError, match="run `lsntp report` again"):
        publish_pages({"index.html": "new", "x" * 300: "a name too long for any disk"}, folder)
    assert pages_in(folder) == {"index.html": "old"}
    assert len(list((tmp_path / VERSIONS).iterdir())) == 1


def test_a_page_replaces_the_older_one_and_leaves_nothing_aside(tmp_path):
    path = tmp_path / "reports" / "index.html"
    publish("old", path)
    before = path.stat().st_ino
    publish("new", path)
    assert path.read_text() == "new"
    assert path.stat().st_ino != before  # another file under the same name: never half of one
    assert [entry.name for entry in path.parent.iterdir()] == ["index.html"]


def test_a_failed_write_keeps_the_older_page(tmp_path, monkeypatch):
    path = tmp_path / "index.html"
    publish("old", path)

    def refuse(self, target):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pathlib.Path.replace", refuse)
    with pytest.raises(StorageError, match="No space left on device"):
        publish("new", path)
    monkeypatch.undo()
    assert path.read_text() == "old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["index.html"]


def test_a_place_that_is_a_file_is_refused_with_the_remedy(tmp_path):
    (tmp_path / "reports").write_text("not a folder")
    with pytest.raises(StorageError, match="run `lsntp report` again"):
        publish("page", tmp_path / "reports" / "index.html")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_read_only_folder_is_refused(tmp_path):
    tmp_path.chmod(stat.S_IRUSR | stat.S_IXUSR)
    with pytest.raises(StorageError, match="Permission denied"):
        publish("page", tmp_path / "index.html")
