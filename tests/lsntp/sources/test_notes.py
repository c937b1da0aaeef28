from pathlib import Path

import pytest

from lsntp.sources.notes import Version, read_note, version_in, write_note


def test_a_note_is_read_as_it_was_written_and_leaves_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "air.nc.json"
    write_note(path, {"url": "https://host/air.nc", "etag": '"1"', "size": 3})
    write_note(path, {"url": "https://host/air.nc", "etag": '"2"', "size": 4})
    assert read_note(path)["size"] == 4
    assert version_in(read_note(path)) == Version(etag='"2"')
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b"\xff\xfe", b'"text"'])
def test_a_damaged_note_says_nothing(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "note.json").write_bytes(content)
    assert read_note(tmp_path / "note.json") == {}
    assert read_note(tmp_path / "absent.json") == {}
    assert not version_in({"etag": 3, "last_modified": None}).is_known


def test_only_a_strong_validator_vouches_for_every_byte() -> None:
    date = "Wed, 21 Oct 2015 07:28:00 GMT"
    assert Version('"1"', date).strong == '"1"'
    assert Version(None, date).strong == date
    assert Version('W/"1"', date).strong is None
    assert Version().strong is None
