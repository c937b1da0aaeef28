import json

import pytest

from lsntp.archives.lease import writer_lease
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
