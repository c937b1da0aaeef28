"""Going through an archive block by block with Dask: memory grows with the block only."""

from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar

import numpy as np
import numpy.typing as npt
from dask.delayed import delayed
from tqdm.dask import TqdmCallback

from lsntp.grid import Fields, Grid
from lsntp.names import Status
from lsntp.times import Duration, Instant, Times

Result = TypeVar("Result")

BLOCK_BYTES = 32 * 2**20
USABLE_CODES = [status.value for status in Status if status.is_usable]


class FieldArchive(Protocol):
    """What training needs of an analysis archive: fields and their status, by time."""

    @property
    def grid(self) -> Grid:
        """The grid of every field."""

    @property
    def start(self) -> Instant:
        """The first time of the axis."""

    @property
    def cadence(self) -> Duration:
        """The step of the axis."""

    @property
    def times(self) -> Times:
        """The whole axis."""

    def read(self, times: Times) -> Fields:
        """Fields (n, H, W), K; NaN where missing or beyond the extent."""

    def status_at(self, times: Times) -> npt.NDArray[np.int8]:
        """Status codes (n,); MISSING beyond the extent."""

    def digests_at(self, times: Times) -> npt.NDArray[np.uint8]:
        """SHA-256 (n, 32) of each field's source bytes."""


def usable_at(archive: FieldArchive, times: Times) -> npt.NDArray[np.bool_]:
    """Which of ``times`` (n,) hold a true field, preliminary or final."""
    return np.isin(archive.status_at(times), USABLE_CODES)


def block_frames(grid: Grid) -> int:
    """Frames in a block of about 32 MiB, a multiple of 120 (whole chunks of the archives)."""
    frame_bytes = 4 * grid.shape[0] * grid.shape[1]
    return 120 * max(1, BLOCK_BYTES // (120 * frame_bytes))


def split_times(times: Times, frames: int) -> list[Times]:
    """``times`` (n,) cut into consecutive blocks of at most ``frames``."""
    return [times[first : first + frames] for first in range(0, times.size, frames)]


def reduce_blocks(
    of_block: Callable[[Times], Result],
    merge: Callable[[Result, Result], Result],
    blocks: Sequence[Times],
    description: str,
) -> Result:
    """``merge`` over ``of_block(block)``, as a binary tree on the active Dask scheduler.

    The tree is fixed by the order of the blocks, so the result does not depend on timing.

    Args:
        of_block: what to compute of the times of a block; sent to the workers.
        merge: two results of neighbouring blocks to one; associative.
        blocks: one at least.
        description: for the progress bar.
    """
    level = [delayed(of_block)(block) for block in blocks]
    while len(level) > 1:
        pairs = [delayed(merge)(*level[i : i + 2]) for i in range(0, len(level) - 1, 2)]
        level = pairs + level[2 * len(pairs) :]
    with TqdmCallback(desc=description, mininterval=1.0):
        result: Result = level[0].compute()
    return result
