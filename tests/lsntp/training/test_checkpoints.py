import hashlib
import logging

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lsntp.training.checkpoints import Checkpoints

CONTENT = {
    "weights": {"a": torch.arange(5.0)},
    "epoch": 3,
    "best": float("inf"),
    "rows": [{"x": 1}],
}


def names(folder):
    return sorted(path.name.partition("-")[0] for path in folder.iterdir())


@pytest.fixture
def two(tmp_path):
    """A folder of two checkpoints: epoch 1, then epoch 2."""
    checkpoints = Checkpoints(tmp_path / "c", "me")
    for epoch in (1, 2):
        checkpoints.save(CONTENT | {"epoch": epoch})
    return tmp_path / "c"


def test_what_was_saved_is_loaded(tmp_path):
    Checkpoints(tmp_path / "c", "me").save(CONTENT)
    loaded = Checkpoints(tmp_path / "c", "me").load()
    assert torch.equal(loaded["weights"].pop("a"), torch.tensor([0.0, 1, 2, 3, 4]))
    assert loaded == {"weights": {}, "epoch": 3, "best": float("inf"), "rows": [{"x": 1}]}


def test_no_checkpoint_is_no_fault(tmp_path, caplog):
    assert Checkpoints(tmp_path / "nowhere", "me").load() is None
    assert not caplog.records


def test_the_last_two_are_kept_and_the_newest_is_loaded(tmp_path):
    checkpoints = Checkpoints(tmp_path, "me")
    for epoch in range(12):
        checkpoints.save({"epoch": epoch})
    assert names(tmp_path) == ["00000011", "00000012"]
    assert Checkpoints(tmp_path, "me").load() == {"epoch": 11}


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_a_cut_or_changed_one_is_skipped_for_the_last_good_one(two, caplog, data):
    caplog.clear()
    newest = max(two.glob("*.ckpt"))
    whole = newest.read_bytes()
    at = data.draw(st.integers(0, len(whole) - 1), label="position")
    if data.draw(st.booleans(), label="cut"):
        damaged = whole[:at]
    else:
        damaged = whole[:at] + bytes([whole[at] ^ data.draw(st.integers(1, 255))]) + whole[at + 1 :]
    newest.write_bytes(damaged)
    try:
        assert Checkpoints(two, "me").load()["epoch"] == 1
    finally:
        newest.write_bytes(whole)
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert record.getMessage().startswith(f"Skipped checkpoint {newest}: its {len(damaged)} bytes")
    assert "cut short or changed" in record.getMessage()


def test_after_a_skip_the_good_ones_are_kept_and_the_damaged_one_goes(two):
    older, newest = sorted(two.glob("*.ckpt"))
    newest.write_bytes(b"")
    checkpoints = Checkpoints(two, "me")
    checkpoints.load()
    assert names(two) == ["00000001", "00000002"]
    saved = checkpoints.save({"epoch": 5})
    assert sorted(two.iterdir()) == [older, saved]
    assert saved.name.startswith("00000003")


def test_without_a_good_one_the_fit_starts_again_and_says_so(two, caplog):
    for path in two.glob("*.ckpt"):
        path.write_bytes(b"PK")
    assert Checkpoints(two, "me").load() is None
    skipped, also_skipped, again = (record.getMessage() for record in caplog.records)
    assert "Skipped checkpoint" in skipped
    assert "Skipped checkpoint" in also_skipped
    assert again == f"Start again: no good checkpoint is left in {two}."


def test_one_of_another_fit_is_skipped(two, caplog):
    assert Checkpoints(two, "another").load() is None
    assert "it belongs to a fit of other settings, data or network" in caplog.text


def put(folder, number, content):
    """A file whose name is true of its content."""
    digest = hashlib.sha256(content).hexdigest()[:16]
    (folder / f"{number:08d}-{digest}.ckpt").write_bytes(content)


class Foreign:
    """Unpickled by ordinary means, it writes a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


def test_foreign_code_is_not_run(two, tmp_path, caplog):
    torch.save(Foreign(tmp_path / "ran"), tmp_path / "foreign")
    torch.load(tmp_path / "foreign", weights_only=False).close()
    assert (tmp_path / "ran").exists()  # it would
    (tmp_path / "ran").unlink()
    put(two, 9, (tmp_path / "foreign").read_bytes())
    assert Checkpoints(two, "me").load()["epoch"] == 2
    assert not (tmp_path / "ran").exists()
    assert "it is no checkpoint of tensors and numbers" in caplog.text


@pytest.mark.parametrize(
    ("stored", "reason"),
    [
        ([1, 2], "another layout"),
        ({"layout": 0, "identity": "me", "content": {}}, "another layout than 1"),
        ({"layout": 1, "content": {}}, "other settings"),
    ],
)
def test_other_content_is_skipped(two, tmp_path, caplog, stored, reason):
    torch.save(stored, tmp_path / "other")
    put(two, 9, (tmp_path / "other").read_bytes())
    assert Checkpoints(two, "me").load()["epoch"] == 2
    assert reason in caplog.text


def test_names_we_did_not_give_are_skipped(two, caplog):
    (two / "last.ckpt").write_bytes(b"x")
    (two / "00000007.ckpt").write_bytes(b"x")
    assert Checkpoints(two, "me").load()["epoch"] == 2
    assert caplog.text.count("Skipped checkpoint") == 1  # the other one counts as the oldest


def test_what_a_killed_process_left_is_removed(two):
    (two / "00000003-0123456789abcdef.ckpt.partial").write_bytes(b"half")
    assert Checkpoints(two, "me").load()["epoch"] == 2
    assert names(two) == ["00000001", "00000002"]
