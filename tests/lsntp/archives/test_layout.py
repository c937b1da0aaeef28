import numpy as np
import pytest
import zarr

from lsntp.archives.layout import Axis, Clock, frames_per_chunk, read_rows, unix_seconds
from lsntp.errors import ArchiveError
from lsntp.times import hours

START = np.datetime64("1970-01-02T06:00", "ns")


@pytest.mark.parametrize(
    ("cadence_h", "frames"), [(0.5, 24), (1, 24), (3, 24), (6, 120), (24, 120)]
)
def test_frames_per_chunk(cadence_h, frames):
    assert frames_per_chunk(hours(cadence_h)) == frames


def test_whole_hours_are_stored_as_hours_and_others_as_seconds():
    assert Clock(START, hours(6)).encode(np.array([START])).tolist() == [30]
    assert Clock(START, hours(6)).attrs["units"] == "hours since 1970-01-01"
    assert Clock(START, hours(0.25)).encode(np.array([START])).tolist() == [108_000]
    late = START + np.timedelta64(30, "m")
    assert Clock(late, hours(1)).unit == "seconds"
    clock = Clock(START, hours(1))
    leads = np.array([hours(1), hours(48)])
    assert clock.encode_durations(leads).tolist() == [1, 48]
    assert (clock.decode_durations(np.array([1, 48])) == leads).all()


def test_an_axis_is_found_again_from_its_attributes(tmp_path):
    axis = Axis.of(Axis(START, hours(6)).attrs, tmp_path)
    assert (axis.start, axis.cadence) == (START, hours(6))
    with pytest.raises(ArchiveError, match="lsntp_start"):
        Axis.of({}, tmp_path)


def test_the_time_of_writing_is_whole_seconds():
    assert unix_seconds(START) == 108_000
    assert unix_seconds(None) > 1_700_000_000


def test_far_apart_rows_are_read_without_what_lies_between():
    read: list[str] = []

    class CountingStore(zarr.storage.MemoryStore):
        async def get(self, key, prototype=None, byte_range=None):
            read.append(key)
            return await super().get(key, prototype, byte_range)

    store = CountingStore()
    source = zarr.create_array(store, shape=(1000, 2), chunks=(10, 2), dtype="f4")
    source[:] = np.arange(2000).reshape(1000, 2)
    read.clear()
    rows = read_rows(source, np.array([995, 3, 4, -1, 1000]), missing=np.nan)
    assert rows[:3].tolist() == [[1990, 1991], [6, 7], [8, 9]]
    assert np.isnan(rows[3:]).all()
    assert sorted(set(read)) == ["c/0/0", "c/99/0"]
