import numpy as np
import pytest
import xarray as xr
import zarr
from zarr.core.buffer import default_buffer_prototype
from zarr.core.sync import sync
from zarr.storage import MemoryStore

from lsntp.archives.staging import ArraySpec, Staging, as_slots
from lsntp.archives.stores import open_store
from lsntp.errors import ArchiveError

TABLE = ArraySpec("table", ("model", "time"), (0, 0), (2, 4), "int32", -1)
SEAL = ArraySpec("seal", ("time",), (0,), (4,), "int8", 0)
NAME = ArraySpec("name", ("model",), (0,), (4,), "str", "")


class RecordingStore(MemoryStore):
    """Remembers the order of puts."""

    def __init__(self, **options) -> None:
        super().__init__(**options)
        self.puts: list[str] = []

    async def set(self, key, value, byte_range=None):
        self.puts.append(key)
        await super().set(key, value, byte_range)


def new_archive(store) -> None:
    staging = Staging(store, seals=("seal",))
    for spec in (TABLE, SEAL, NAME):
        staging.create(spec)
    staging.commit()


def append(store, models, times, *, value=7) -> None:
    staging = Staging(store, seals=("seal",))
    staging.grow("model", models)
    staging.grow("time", times)
    staging.write("table", (slice(0, models), slice(0, times)), np.full((models, times), value))
    staging.write_rows("name", np.arange(models), [f"m{model}" for model in range(models)])
    staging.write_rows("seal", np.arange(times), 1)
    staging.commit()


def test_fields_come_before_rows_before_seals_before_metadata_and_the_root_is_last():
    store = RecordingStore()
    new_archive(store)
    store.puts.clear()
    append(store, models=1, times=5)
    assert sorted(store.puts[:2]) == ["table/c/0/0", "table/c/0/1"]
    assert store.puts[2:3] == ["name/c/0"]
    assert sorted(store.puts[3:5]) == ["seal/c/0", "seal/c/1"]
    assert sorted(store.puts[5:8]) == ["name/zarr.json", "seal/zarr.json", "table/zarr.json"]
    assert store.puts[8:] == ["zarr.json"]


def test_a_write_that_changes_nothing_puts_nothing():
    store = RecordingStore()
    new_archive(store)
    append(store, models=2, times=5)
    store.puts.clear()
    append(store, models=2, times=5)
    assert store.puts == []


def test_only_chunks_with_a_changed_slot_are_put():
    store = RecordingStore()
    new_archive(store)
    append(store, models=2, times=12)
    store.puts.clear()
    staging = Staging(store, seals=("seal",))
    staging.write("table", (slice(1, 2), np.array([0, 9])), [[5, 6]])
    staging.commit()
    assert sorted(store.puts) == ["table/c/0/0", "table/c/0/2"]
    table = np.asarray(zarr.open_group(store, mode="r")["table"][:])
    assert table[0].tolist() == [7] * 12
    assert table[1].tolist() == [5] + [7] * 8 + [6, 7, 7]


@pytest.mark.parametrize("make", [MemoryStore, None])
def test_what_was_never_published_is_blank_after_growth_along_any_axis(make, tmp_path):
    store = make() if make else open_store(tmp_path / "x.zarr")
    new_archive(store)
    append(store, models=1, times=3)
    root = sync(store.get("zarr.json", default_buffer_prototype()))
    append(store, models=5, times=11, value=99)
    # As after a writer killed just before its last object: everything but the root is there.
    sync(store.set("zarr.json", root))
    staging = Staging(store, seals=("seal",))
    assert (staging.size("model"), staging.size("time")) == (1, 3)
    staging.grow("time", 10)
    staging.grow("model", 4)
    staging.commit()
    group = zarr.open_group(store, mode="r")
    expected = np.full((4, 10), -1)
    expected[0, :3] = 99  # a slot inside the extent holds what was put there last
    assert np.array_equal(group["table"][:], expected)
    assert group["name"][:].tolist() == ["m0", "", "", ""]
    assert group["seal"][:].tolist() == [1, 1, 1] + [0] * 7


def test_an_extent_never_shrinks(tmp_path):
    store = open_store(tmp_path / "x.zarr")
    new_archive(store)
    append(store, models=1, times=6)
    staging = Staging(store)
    staging.grow("time", 2)
    staging.commit()
    assert xr.open_zarr(tmp_path / "x.zarr", chunks=None).sizes["time"] == 6


def test_rows_beyond_the_extent_read_as_the_fill_value():
    store = MemoryStore()
    new_archive(store)
    append(store, models=1, times=2)
    staging = Staging(store)
    assert staging.rows("seal", np.array([1, 4])).tolist() == [1, 0]
    assert staging.rows("name", np.array([0, 3])).tolist() == ["m0", ""]


def test_leftovers_of_a_writer_killed_before_its_first_publish_do_not_surface():
    store = MemoryStore()
    new_archive(store)
    append(store, models=2, times=4)
    sync(store.delete("zarr.json"))
    staging = Staging(store)
    assert staging.is_new
    staging.create(ArraySpec("table", ("model", "time"), (2, 4), (2, 4), "int32", -1))
    staging.commit()
    assert (zarr.open_group(store, mode="r")["table"][:] == -1).all()


def test_an_unknown_dimension_is_named():
    with pytest.raises(ArchiveError, match="dimension depth"):
        Staging(MemoryStore()).size("depth")


def test_consecutive_slots_become_a_slice():
    assert as_slots(np.array([3, 4, 5])) == slice(3, 6)
    assert as_slots(np.array([3, 5])).tolist() == [3, 5]
    assert as_slots(np.array([], np.int64)).tolist() == []
