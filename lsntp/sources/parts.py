"""What a reader of one file format hands on: fields that share a grid, read on demand."""

from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import numpy as np

from lsntp.errors import SourceDataError
from lsntp.grid import Fields
from lsntp.sources.canonical import Statuses
from lsntp.sources.native import Ints, NativeGrid, Window
from lsntp.times import Times

SHORTEST_MONTH = np.timedelta64(27, "D")


class Part(Protocol):
    """The 2 m temperature analyses of one file that share a grid.

    Attributes:
        label: the file, and the member of an archive, for messages.
        grid: the file's own axes.
        times: valid times (n,) in file order.
    """

    @property
    def label(self) -> str:
        """See the class."""
        ...

    @property
    def grid(self) -> NativeGrid:
        """See the class."""
        ...

    @property
    def times(self) -> Times:
        """See the class."""
        ...

    def read(self, positions: Ints, window: Window) -> tuple[Fields, Statuses]:
        """The fields at ``positions``: kelvin (n, H, W) on the window's grid, and statuses (n,).

        Raises:
            SourceDataError: if the file is damaged.
            SourceUnavailableError: if it changed since it was opened.
        """
        ...


def refuse_monthly(times: Times, where: str, *, at_least: int = 2) -> None:
    """Refuse times that all lie a month or more apart.

    Args:
        times: of the fields; fewer than ``at_least`` different ones prove nothing.
        where: the file, for messages.
        at_least: how many times it takes.

    Raises:
        SourceDataError: if so.
    """
    gaps = np.diff(np.unique(times))
    if gaps.size + 1 >= max(2, at_least) and gaps.min() >= SHORTEST_MONTH:
        days = int(gaps.min() / np.timedelta64(1, "D"))
        raise SourceDataError(
            f"Expected analyses at most a day apart in {where}, found monthly means (at least "
            f"{days} days apart); use the hourly or 6-hourly product."
        )


def stamp(path: Path) -> tuple[int, int]:
    """Size and modification time: a file whose stamp differs was changed."""
    found = path.stat()
    return found.st_size, found.st_mtime_ns


def runs(positions: Ints, *, gap: int = 1) -> Iterator[Ints]:
    """``positions`` cut wherever they fall or jump by more than ``gap``."""
    steps = np.diff(positions)
    yield from np.split(positions, np.flatnonzero((steps < 1) | (steps > gap)) + 1)
