"""What decoding one file may cost: memory, computing time and waiting.

The limits stand far above what sound files need and far below what harms a machine. They
hold for the process that decodes, never for the one that asks. Linux enforces all three;
macOS does not enforce a limit on memory, there the declared sizes that the readers check
(cells, times, chunks, members) are what bounds it.
"""

import os
from dataclasses import dataclass

GIB = 2**30

WORKING_BYTES = 1 * GIB
"""For the libraries themselves: one chunk of :data:`MAX_CHUNK_BYTES` and its packed form."""

MAX_CHUNK_BYTES = 512 * 2**20
"""Most bytes that one chunk of netCDF-4 or Zarr may unpack to; the usual ones have 1 to 64 MiB."""

BYTES_PER_CELL = 40
"""A value as stored, in double precision, scaled, turned north to south, and in single."""

MOST_BYTES = 12 * GIB
"""The largest grid that is accepted, 200 million cells, and one block of fields."""

BLOCK_CELLS = 2**25
"""Cells that are decoded at once: 128 MiB of float32; longer questions are cut."""

OPEN_S = 30.0
OPEN_S_PER_BYTE = 2e-6
"""Reading headers takes 0.02 to 0.6 ms a message, and the smallest messages have 158 bytes."""

READ_S = 30.0
READ_S_PER_FIELD = 1.0
READ_S_PER_CELL = 1e-6
READ_S_PER_BYTE = 2e-7
"""Decoding takes 1e-8 s a cell, JPEG 2000 ten times that; unpacking a whole file 1e-8 s a byte."""

WAITING = 10.0
"""Waiting may take this many times the computing: busy machines, disks behind a network."""


@dataclass(frozen=True)
class Limits:
    """What one request to the decoder may take.

    Attributes:
        memory_bytes: beyond what the idle decoder holds.
        computing_s: seconds of processor time.
    """

    memory_bytes: int
    computing_s: float

    @property
    def waiting_s(self) -> float:
        """Seconds on the clock until the decoder is given up."""
        return WAITING * self.computing_s

    def __str__(self) -> str:
        return f"{self.memory_bytes / GIB:.3g} GiB and {self.computing_s:.3g} s"


def limits_of_opening(file_bytes: int) -> Limits:
    """For reading the headers of a file of this size."""
    return Limits(_bounded(2 * WORKING_BYTES), OPEN_S + OPEN_S_PER_BYTE * file_bytes)


def limits_of_reading(file_bytes: int, fields: int, cells: int, grid_cells: int) -> Limits:
    """For decoding ``fields`` fields of ``cells`` cells each, cut from a grid of ``grid_cells``."""
    decoded = grid_cells + fields * cells
    return Limits(
        _bounded(WORKING_BYTES + BYTES_PER_CELL * decoded),
        READ_S
        + READ_S_PER_FIELD * fields
        + READ_S_PER_CELL * (fields * grid_cells)
        + READ_S_PER_BYTE * file_bytes,
    )


def _bounded(memory_bytes: int) -> int:
    """No more than half of the machine's memory, for the asking process needs some too."""
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return min(memory_bytes, MOST_BYTES, machine // 2)
