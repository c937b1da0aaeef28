"""Windows with what is known beside their history."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from lsntp.grid import Fields
from lsntp.times import Times
from lsntp.training_data.forcings import Forcings
from lsntp.training_data.windows import Windows


class ForcedWindows:
    """:class:`~lsntp.training_data.windows.Windows`, and the forcings of each.

    Args:
        windows: history and target.
        forcings: what is known of the same steps.
    """

    def __init__(self, windows: Windows, forcings: Forcings) -> None:
        self.windows, self.forcings = windows, forcings
        self.init_times: Times = windows.init_times

    def __len__(self) -> int:
        return len(self.windows)

    def order(self, numbers: np.random.Generator) -> list[int]:
        """See :meth:`lsntp.training_data.windows.Windows.order`."""
        return self.windows.order(numbers)

    def batch(self, indices: Sequence[int]) -> tuple[Tensor, Tensor]:
        """History (B, T, 1, H, W) and target (B, K, 1, H, W)."""
        return self.windows.batch(indices)

    def told(self, indices: Sequence[int]) -> tuple[Tensor | None, Tensor | None]:
        """Known future (B, T + K, f, H, W) and static fields (s, H, W), each where asked for."""
        known_future, static = self.forcings.of(self.init_times[list(indices)])
        return _tensor(known_future), _tensor(static)


def _tensor(fields: Fields | None) -> Tensor | None:
    return None if fields is None else torch.from_numpy(fields)
