"""Windows with what is known beside their history."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from lsntp.times import Times
from lsntp.training_data.forcings import Forcings
from lsntp.training_data.windows import Windows


@dataclass(frozen=True, eq=False)
class ForcedWindows:
    """:class:`~lsntp.training_data.windows.Windows`, and the forcings of each.

    Attributes:
        windows: history and target.
        forcings: what is known of the same steps.
    """

    windows: Windows
    forcings: Forcings

    def __len__(self) -> int:
        return len(self.windows)

    @property
    def init_times(self) -> Times:
        """(n,)."""
        return self.windows.init_times

    def batch(self, indices: Sequence[int]) -> tuple[Tensor, Tensor]:
        """History (B, T, 1, H, W) and target (B, K, 1, H, W)."""
        return self.windows.batch(indices)

    def known(self, indices: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Known future (B, T + K, f, H, W) and static fields (s, H, W)."""
        known_future = self.forcings.known_future(self.init_times[list(indices)])
        return torch.from_numpy(known_future), torch.from_numpy(self.forcings.static)
