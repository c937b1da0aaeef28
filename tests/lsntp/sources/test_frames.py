import hashlib

import numpy as np
import pytest
import xarray as xr

from lsntp.grid import Grid
from lsntp.names import Status
from lsntp.sources.frames import build_frames, settle_repeats

GRID = Grid(np.array([51.0, 50.0]), np.array([0.0, 1.0]))
NOON = np.datetime64("2020-01-01T12", "ns")


def frames(values: list[float], statuses: list[Status]) -> xr.Dataset:
    """Constant fields, all of the same time."""
    fields = np.repeat(np.array(values, np.float32), 4).reshape(-1, 2, 2)
    times = np.full(len(values), NOON)
    return build_frames(
        fields, times, np.array(statuses, np.int8), GRID, source="files", is_synthetic=False
    )


def test_the_digest_is_that_of_bytes_cells_and_time() -> None:
    content = np.full((2, 2), 280.0, "<f4").tobytes() + bytes.fromhex(GRID.digest)
    expected = hashlib.sha256(content + b"2020-01-01T12:00Z").digest()
    assert frames([280.0], [Status.FINAL]).source_digest.values[0].tobytes() == expected


def test_identical_repeats_are_dropped() -> None:
    settled = settle_repeats(frames([280.0, 280.0], [Status.FINAL, Status.FINAL]))
    assert settled.t2m.values[:, 0, 0].tolist() == [280.0]


def test_different_repeats_are_left_for_quality_to_judge() -> None:
    settled = settle_repeats(frames([280.0, 281.0], [Status.FINAL, Status.FINAL]))
    assert settled.t2m.values[:, 0, 0].tolist() == [280.0, 281.0]


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_final_wins_over_preliminary_in_any_order(order: tuple[int, int]) -> None:
    both = frames([280.0, 281.0], [Status.PRELIMINARY, Status.FINAL]).isel(time=list(order))
    settled = settle_repeats(both)
    assert settled.t2m.values[:, 0, 0].tolist() == [281.0]
    assert settled.status.values.tolist() == [Status.FINAL]


def test_identical_bytes_of_both_versions_count_as_final() -> None:
    settled = settle_repeats(frames([280.0, 280.0], [Status.PRELIMINARY, Status.FINAL]))
    assert settled.status.values.tolist() == [Status.FINAL]
