import errno
import socket

import pytest

from lsntp.durable import replace_file, written_aside


def test_a_file_is_replaced_whole(tmp_path):
    replace_file(tmp_path / "a", b"old")
    replace_file(tmp_path / "a", memoryview(b"new"))
    assert (tmp_path / "a").read_bytes() == b"new"
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_a_refused_write_changes_nothing_and_leaves_nothing(tmp_path, small_files):
    replace_file(tmp_path / "a", b"old")
    small_files(1000)
    with pytest.raises(OSError, match="File too large"):
        replace_file(tmp_path / "a", bytes(2000))
    assert (tmp_path / "a").read_bytes() == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_an_interrupted_write_leaves_nothing(tmp_path, monkeypatch):
    def interrupt(_):
        raise KeyboardInterrupt

    monkeypatch.setattr("os.fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        replace_file(tmp_path / "a", b"new")
    assert not list(tmp_path.iterdir())


def write_half(path):
    with written_aside(path) as aside:
        aside.write_bytes(b"half of the n")
        raise OSError(errno.ENOSPC, "No space left on device")


def test_what_is_written_aside_is_there_at_the_end_or_not_at_all(tmp_path):
    with written_aside(tmp_path / "a.nc") as aside:
        aside.write_bytes(b"old")
        assert not (tmp_path / "a.nc").exists()
    with pytest.raises(OSError, match="No space left"):
        write_half(tmp_path / "a.nc")
    assert (tmp_path / "a.nc").read_bytes() == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["a.nc"]


def test_a_name_is_no_pattern(tmp_path):
    other, own = (
        tmp_path / f".{name}.{socket.gethostname()}.{2**22 + 1}.partial"
        for name in ("outs.nc", "out[s].nc")
    )
    other.touch()
    own.touch()
    with written_aside(tmp_path / "out[s].nc") as aside:
        aside.write_bytes(b"new")
    assert {path.name for path in tmp_path.iterdir()} == {other.name, "out[s].nc"}
