"""Windows of a training archive as a torch data set, from memory."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.data import Dataset

from lsntp.errors import DomainError, TrainingDataError
from lsntp.times import Times, format_time, slot_index
from lsntp.training_data.archive import TrainingArchive
from lsntp.training_data.targets import TargetTransform

Sample = tuple[Tensor, Tensor]


class Windows(Dataset[Sample]):
    """One (history, target) pair for each init_time.

    history is (T, 1, H, W), the normalised fields up to and including init_time; target is
    (K, 1, H, W), the fields after it as ``transform`` encodes them; both float32. The block
    that the windows span is read once and kept in memory.

    Args:
        archive: normalised fields.
        init_times: (n,), on the archive's axis.
        transform: from kelvin to what the network is asked to predict.
        history: T, frames up to and including init_time.
        horizon: K, frames after it.

    Raises:
        TrainingDataError: if a window leaves the archive or holds a missing field.
    """

    def __init__(
        self,
        archive: TrainingArchive,
        init_times: Times,
        transform: TargetTransform,
        *,
        history: int,
        horizon: int,
    ) -> None:
        self.init_times = init_times
        self.transform = transform
        self._history = torch.arange(1 - history, 1)
        self._horizon = torch.arange(1, horizon + 1)
        init = _positions(archive, init_times, history, horizon)
        first, last = int(init.min()) + 1 - history, int(init.max()) + horizon + 1
        fields = archive.read(first, last)
        _check_complete(fields, archive.times[first:last], init - first, history, horizon)
        self._fields = torch.from_numpy(fields)
        self._init = torch.from_numpy(init - first)
        self._climatology = (
            torch.from_numpy(archive.statistics.climatology.at(archive.times[first:last]))
            if transform.needs_climatology
            else None
        )

    def __len__(self) -> int:
        return self.init_times.size

    def __getitem__(self, index: int) -> Sample:
        history, target = self.batch([index])
        return history[0], target[0]

    def __getitems__(self, indices: Sequence[int]) -> list[Sample]:
        """Many samples at once; what a DataLoader asks for."""
        return list(zip(*self.batch(indices), strict=True))

    def batch(self, indices: Sequence[int]) -> Sample:
        """Stacked samples: history (B, T, 1, H, W) and target (B, K, 1, H, W)."""
        init = self._init[torch.as_tensor(indices)]
        history = self._fields[init[:, None] + self._history]
        valid = init[:, None] + self._horizon
        unscale = self.transform.scaler.unscale
        target = self.transform.encode(
            unscale(self._fields[valid]),
            unscale(history[:, -1]),
            None if self._climatology is None else self._climatology[valid],
        )
        return history[:, :, None], target[:, :, None]


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


def _check_complete(
    fields: npt.NDArray[np.float32],
    times: Times,
    init: npt.NDArray[np.int64],
    history: int,
    horizon: int,
) -> None:
    missing = np.isnan(fields).any(axis=(1, 2))
    used = np.zeros(times.size, bool)
    for offset in range(1 - history, horizon + 1):
        used[init + offset] = True
    faults = times[missing & used]
    if faults.size:
        raise TrainingDataError(
            f"Expected complete fields inside every window, found {faults.size} with missing "
            f"values, the first at {format_time(faults[0])}; choose init_times by make_split."
        )
