"""Fields of a training archive by blocks of frames: decoded once, kept while there is room."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import psutil  # type: ignore[import-untyped]
import zarr
from cachetools import LRUCache
from distributed.system import MEMORY_LIMIT

from lsntp.errors import TrainingDataError
from lsntp.grid import Fields
from lsntp.training_data.archive import TrainingArchive

BLOCK_BYTES = 8 * 2**20
"""Of the fields of a block, about. Small blocks mix better; large ones read fewer frames twice."""

MEMORY_SHARE = 0.5
"""Of the memory that is free, what ``auto`` gives to windows; the rest is the network's."""

_PIECES = 4
"""A block is read in so many, since decoding holds about four times what is read at once."""


@dataclass(frozen=True, eq=False)
class Block:
    """Consecutive frames, enough for every window that begins in its first ``frames`` ones.

    Attributes:
        fields: normalised (n, H, W) float32.
        climatology: of the same times (n, H, W), K, where a target needs it.
    """

    fields: Fields
    climatology: Fields | None

    @property
    def nbytes(self) -> int:
        """Memory of both."""
        return self.fields.nbytes + (0 if self.climatology is None else self.climatology.nbytes)


class FrameCache:
    """The blocks of a training archive, least recently used ones dropped beyond ``max_bytes``.

    Block b serves the windows whose first frame is at a position from b·F to (b+1)·F - 1 and
    holds span - 1 frames more, so that a window lies in one block. F is a whole number of the
    archive's chunks and depends on the data alone, never on memory.

    Copies that are sent to other processes start empty.

    Attributes:
        frames: F.
        field_bytes: of the fields of a block.
        block_bytes: of a block.
        room: blocks that are kept at a time.
        reads: blocks that were read so far.

    Args:
        archive: normalised fields.
        span: frames of a window, history and horizon together.
        max_bytes: what the blocks may take, reading included; None for
            :func:`usable_memory`.
        needs_climatology: whether blocks hold the climatology too, which doubles them.

    Raises:
        TrainingDataError: if ``max_bytes`` is too little to hold a block.
    """

    _array: zarr.Array[Any] | None

    def __init__(
        self,
        archive: TrainingArchive,
        *,
        span: int,
        max_bytes: int | None = None,
        needs_climatology: bool = False,
    ) -> None:
        self.archive, self.span, self.needs_climatology = archive, span, needs_climatology
        frame_bytes = 4 * archive.grid.shape[0] * archive.grid.shape[1]
        chunk = archive.chunk_frames
        self.frames = chunk * -(-max(span, BLOCK_BYTES // frame_bytes) // chunk)
        self.field_bytes = frame_bytes * (self.frames + span - 1)
        self.block_bytes = self.field_bytes * (2 if needs_climatology else 1)
        self.max_bytes = usable_memory() if max_bytes is None else max_bytes
        self._piece = chunk * max(1, self.frames // chunk // _PIECES)
        reading = frame_bytes * max(4 * self._piece, self.frames if needs_climatology else 0)
        self.room = (self.max_bytes - reading) // self.block_bytes
        least = self.block_bytes + reading
        if self.room < 1:
            raise TrainingDataError(
                f"Expected at least {least / 1e9:.3g} GB for windows of {span} frames of "
                f"{archive.grid}, a block of {self.frames} frames at a time, found "
                f"{self.max_bytes / 1e9:.3g} GB; raise training.memory_gb, or free memory."
            )
        self._start_empty()

    def block(self, number: int) -> Block:
        """Block ``number``, from memory or else from the archive.

        Raises:
            ArchiveError: if a chunk is damaged.
        """
        found: Block | None = self._blocks.get(number)
        if found is None:
            # Room is made before reading, so that both together stay below the bound.
            while self._blocks.currsize + self.block_bytes > self._blocks.maxsize:
                self._blocks.popitem()
            found = self._blocks[number] = self._read(number)
            self.reads += 1
        return found

    def _read(self, number: int) -> Block:
        first = number * self.frames
        last = min(first + self.frames + self.span - 1, self.archive.times.size)
        fields = np.empty((last - first, *self.archive.grid.shape), np.float32)
        for begin in range(first, last, self._piece):
            end = min(begin + self._piece, last)
            fields[begin - first : end - first] = self.archive.read(begin, end, self._opened())
        return Block(fields, self._climatology(first, last) if self.needs_climatology else None)

    def _climatology(self, first: int, last: int) -> Fields:
        """(last - first, H, W), K, of a block, in pieces that are the same in every block.

        The sums of a matrix product may differ in the last digit with the number of its rows.
        """
        times, climatology = self.archive.times, self.archive.statistics.climatology
        fields = np.empty((last - first, *self.archive.grid.shape), np.float32)
        for begin in range(first, last, self.frames):
            piece = climatology.at(times[begin : begin + self.frames])
            fields[begin - first : begin - first + self.frames] = piece[: last - begin]
        return fields

    def _opened(self) -> zarr.Array[Any]:
        if self._array is None:
            self._array = self.archive.open_fields()
        return self._array

    def _start_empty(self) -> None:
        self.reads = 0
        self._array = None
        self._blocks: LRUCache[int, Block] = LRUCache(
            self.room * self.block_bytes, getsizeof=lambda block: block.nbytes
        )

    def __getstate__(self) -> dict[str, Any]:
        """What another process needs to read for itself."""
        left_out = ("_array", "_blocks")
        return {name: value for name, value in vars(self).items() if name not in left_out}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._start_empty()


def usable_memory(processes: int = 1) -> int:
    """Bytes for the windows of each of ``processes``: a share of what is free, limits regarded."""
    free = min(psutil.virtual_memory().available, MEMORY_LIMIT)
    return int(MEMORY_SHARE * free / processes)
