"""Windows of a training archive as a torch data set, from memory or what of it fits there."""

import logging
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.data import Dataset

from lsntp.errors import DomainError, TrainingDataError
from lsntp.progress import track
from lsntp.times import Times, format_time, slot_index
from lsntp.training_data.archive import TrainingArchive
from lsntp.training_data.frame_cache import Block, FrameCache
from lsntp.training_data.targets import TargetTransform

Sample = tuple[Tensor, Tensor]

SHUFFLE_BYTES = 2**30
"""Of fields, from which windows are drawn at any moment of an epoch.

It decides the order of the windows, so it does not depend on the memory of the machine."""

_log = logging.getLogger(__name__)


class Windows(Dataset[Sample]):
    """One (history, target) pair for each init_time.

    history is (T, 1, H, W), the normalised fields up to and including init_time; target is
    (K, 1, H, W), the fields after it as ``transform`` encodes them; both float32. Fields are
    read by the block and kept in ``cache``: all of them if it has room, and then each is
    decoded once. What the windows hold and their :meth:`order` are the same with any room.

    Args:
        archive: normalised fields.
        init_times: (n,), on the archive's axis.
        transform: from kelvin to what the network is asked to predict.
        history: T, frames up to and including init_time.
        horizon: K, frames after it.
        cache: of this archive, for windows of T + K frames; shared with other windows, or by
            default one of its own.

    Raises:
        TrainingDataError: if a window leaves the archive or holds a missing field, or the
            memory is too little for a block.
        ArchiveError: if a chunk is damaged.
    """

    def __init__(
        self,
        archive: TrainingArchive,
        init_times: Times,
        transform: TargetTransform,
        *,
        history: int,
        horizon: int,
        cache: FrameCache | None = None,
    ) -> None:
        self.init_times = init_times
        self.transform = transform
        self.history, self.horizon = history, horizon
        self.cache = cache or FrameCache(
            archive, span=history + horizon, needs_climatology=transform.needs_climatology
        )
        first = _positions(archive, init_times, history, horizon) - (history - 1)
        self._block, self._row = np.divmod(first, self.cache.frames)
        self._mixed = max(2, SHUFFLE_BYTES // self.cache.field_bytes)
        self._check_complete()

    def __len__(self) -> int:
        return self.init_times.size

    def __getitem__(self, index: int) -> Sample:
        history, target = self.batch([index])
        return history[0], target[0]

    def __getitems__(self, indices: Sequence[int]) -> list[Sample]:
        """Many samples at once; what a DataLoader asks for."""
        return list(zip(*self.batch(indices), strict=True))

    def order(self, numbers: np.random.Generator) -> list[int]:
        """All windows once, in random order, such that few blocks are in use at a time.

        The blocks stand in a ring, in random order, and every window at a random place within
        the next :data:`SHUFFLE_BYTES` of blocks from its own on. So any stretch of an epoch
        draws evenly from that many blocks, which lie anywhere in the period, and one epoch's
        neighbours are not another's. Where these bytes hold all, this is a permutation.

        Args:
            numbers: what decides the order, together with the init_times.
        """
        blocks, own = np.unique(self._block, return_inverse=True)
        if blocks.size <= self._mixed:
            permuted: list[int] = numbers.permutation(len(self)).tolist()
            return permuted
        behind = self._mixed * numbers.random(len(self))
        place = (numbers.permutation(blocks.size)[own] + behind) % blocks.size
        order: list[int] = np.argsort(place, kind="stable").tolist()
        return order

    def batch(self, indices: Sequence[int]) -> Sample:
        """Stacked samples: history (B, T, 1, H, W) and target (B, K, 1, H, W)."""
        index = np.asarray(indices)
        shape = self.cache.archive.grid.shape
        history = torch.empty(len(index), self.history, 1, *shape)
        target = torch.empty(len(index), self.horizon, 1, *shape)
        for place, block, row in self._in_blocks(index):
            init = row + self.history
            history[place, :, 0] = torch.from_numpy(block.fields[row:init])
            # One window at a time, which stays in the processor's cache.
            target[place, :, 0] = self._target(block, init)
        return history, target

    def _target(self, block: Block, init: int) -> Tensor:
        """(K, H, W): the frames of a block from row ``init`` on, encoded."""
        valid = slice(init, init + self.horizon)
        unscale = self.transform.scaler.unscale
        return self.transform.encode(
            unscale(torch.from_numpy(block.fields[valid])),
            unscale(torch.from_numpy(block.fields[init - 1])),
            None if block.climatology is None else torch.from_numpy(block.climatology[valid]),
        )

    def _in_blocks(self, index: npt.NDArray[np.int64]) -> Iterator[tuple[int, Block, int]]:
        """Place in ``index``, block and row of its first frame for each; every block once."""
        for place in np.argsort(self._block[index], kind="stable"):
            number = int(self._block[index[place]])
            yield int(place), self.cache.block(number), int(self._row[index[place]])

    def _check_complete(self) -> None:
        """Refuse NaN in any window; one block at a time."""
        blocks = np.unique(self._block)
        if blocks.size > self.cache.room < self._mixed:
            _log.warning(
                "There is room for %d blocks of training data (%.3g GB), and an epoch draws from "
                "%d at a time: they are decoded again and again. Raise training.memory_gb.",
                *(self.cache.room, self.cache.max_bytes / 1e9, min(blocks.size, self._mixed)),
            )
        span, missing = np.arange(self.history + self.horizon), []
        for number in track(blocks, "read training data"):
            fields = self.cache.block(int(number)).fields
            is_missing = np.asarray(np.isnan(fields).any(axis=(1, 2)))
            rows = (self._row[self._block == number][:, None] + span).ravel()
            missing.append(int(number) * self.cache.frames + rows[is_missing[rows]])
        faults = self.cache.archive.times[np.unique(np.concatenate(missing))]
        if faults.size:
            raise TrainingDataError(
                f"Expected complete fields inside every window, found {faults.size} with missing "
                f"values, the first at {format_time(faults[0])}; choose init_times by make_split."
            )


def _positions(
    archive: TrainingArchive, init_times: Times, history: int, horizon: int
) -> npt.NDArray[np.int64]:
    """The position of each init_time on the archive's axis, whole windows inside."""
    if not init_times.size:
        raise TrainingDataError(
            "Expected at least one init_time to make windows of, found none; see make_split."
        )
    cadence = archive.times[1] - archive.times[0]
    try:
        init = slot_index(init_times, archive.times[0], cadence)
    except DomainError as error:
        raise TrainingDataError(f"The windows do not fit {archive.path}: {error}") from error
    outside = (init < history - 1) | (init + horizon >= archive.times.size)
    if outside.any():
        raise TrainingDataError(
            f"Expected windows of {history} + {horizon} times inside the training archive, "
            f"{format_time(archive.times[0])} to {format_time(archive.times[-1])}, found "
            f"init_time {format_time(init_times[outside][0])}; choose init_times by make_split."
        )
    return init
