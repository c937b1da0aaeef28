import asyncio
import json
import signal

import pytest
from zarr.core.buffer import default_buffer_prototype
from zarr.core.sync import sync
from zarr.storage import LocalStore

from lsntp.archives.lease import LeasedStore, writer_lease
from lsntp.errors import ArchiveBusyError


def test_a_finished_writer_leaves_only_the_lock_file(tmp_path):
    path = tmp_path / "new" / "x.zarr"
    with writer_lease(path):
        assert set(json.loads((path.parent / "x.zarr.writer").read_text())) == {
            "pid",
            "host",
            "since",
        }
    assert [entry.name for entry in path.parent.iterdir()] == ["x.zarr.lock"]


def test_after_a_failed_writer_the_next_one_sweeps_partial_objects(tmp_path):
    path = tmp_path / "x.zarr"
    chunk = path / "t2m" / "c" / "0"
    chunk.mkdir(parents=True)
    (chunk / "0.abc.partial").write_bytes(b"half")
    (chunk / "0").write_bytes(b"whole")
    with writer_lease(path):
        assert (chunk / "0.abc.partial").exists()
    with pytest.raises(KeyError), writer_lease(path):
        raise KeyError
    with writer_lease(path):
        assert [entry.name for entry in chunk.iterdir()] == ["0"]


def test_the_lease_is_free_again_after_an_error(tmp_path):
    path = tmp_path / "x.zarr"
    with pytest.raises(KeyError), writer_lease(path):
        raise KeyError
    with writer_lease(path, timeout_s=0):
        pass


def test_a_note_nobody_can_read_does_not_hide_that_the_archive_is_busy(tmp_path):
    path = tmp_path / "x.zarr"
    with writer_lease(path):
        (tmp_path / "x.zarr.writer").write_text("[")
        with (
            pytest.raises(ArchiveBusyError, match="another process"),
            writer_lease(path, timeout_s=0),
        ):
            pass


class SlowStore(LocalStore):
    """A disk that takes half a second for each object."""

    async def set(self, key, value):
        await asyncio.sleep(0.5)
        await super().set(key, value)


def test_an_interrupted_writer_keeps_the_lease_until_its_last_object_is_there(tmp_path):
    """The thread that puts objects goes on when Ctrl-C or a time limit ends the writer."""
    path = tmp_path / "x.zarr"
    value = default_buffer_prototype().buffer.from_bytes(b"late")
    signal.signal(signal.SIGALRM, signal.default_int_handler)
    signal.setitimer(signal.ITIMER_REAL, 0.1)
    try:
        with pytest.raises(KeyboardInterrupt), writer_lease(path) as lease:
            sync((store := LeasedStore(SlowStore(path), lease)).set("zarr.json", value))
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
    with writer_lease(path, timeout_s=0):
        assert (path / "zarr.json").read_bytes() == b"late"
    with pytest.raises(ArchiveBusyError, match="given back"):
        sync(store.set("zarr.json", value))
