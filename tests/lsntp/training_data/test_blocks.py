"""Blocks of time: their size, their order, and what is merged with what."""

import numpy as np
import pytest

from lsntp.grid import Grid
from lsntp.names import Status
from lsntp.times import hours
from lsntp.training_data.blocks import block_frames, reduce_blocks, split_times, usable_at

START = np.datetime64("2021-01-01", "ns")


def axis(count):
    return START + np.arange(count) * hours(1)


@pytest.mark.parametrize(
    ("rows", "columns", "frames"),
    [
        (33, 49, 120 * 43),  # 2**25 bytes / (120 frames of 33 * 49 * 4 bytes) = 43.2
        (721, 1440, 120),  # one such run is 475 MiB already: never less than one
    ],
)
def test_a_block_is_whole_runs_of_120_frames_within_32_mib(rows, columns, frames):
    grid = Grid(np.linspace(89, -89, rows), np.linspace(-179, 179, columns))
    assert block_frames(grid) == frames


def test_times_are_cut_in_order_without_loss():
    times = axis(7)
    blocks = split_times(times, 3)
    assert [block.size for block in blocks] == [3, 3, 1]
    np.testing.assert_array_equal(np.concatenate(blocks), times)
    assert split_times(times[:0], 3) == []


@pytest.mark.parametrize("count", [1, 2, 5, 8])
def test_neighbours_are_merged_and_their_order_is_kept(count):
    def merge(first, second):
        return f"({first}{second})"

    blocks = split_times(axis(count), 1)
    names = dict(zip((block[0] for block in blocks), "abcdefgh", strict=False))
    result = reduce_blocks(lambda block: names[block[0]], merge, blocks, "letters")
    expected = {1: "a", 2: "(ab)", 5: "(((ab)(cd))e)", 8: "(((ab)(cd))((ef)(gh)))"}
    assert result == expected[count]


def test_preliminary_and_final_fields_are_usable_and_nothing_else(make_archive):
    archive = make_archive(5)
    archive.status[:] = [status.value for status in Status][:5]
    expected = [status in (Status.PRELIMINARY, Status.FINAL) for status in Status][:5]
    np.testing.assert_array_equal(usable_at(archive, archive.times), expected)
    assert not usable_at(archive, archive.times[-1:] + hours(1)).any()  # beyond the extent
