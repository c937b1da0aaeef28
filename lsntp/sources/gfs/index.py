"""What an inventory (``.idx``) says of the bytes of one message; never taken at its word.

A line a field: ``580:418789296:d=2023110400:TMP:2 m above ground:anl:`` gives the number of
the message, its first byte, the initial time, element, level and step; behind them stands
what else the field is, such as ``ens spread``. A message with several fields has lines
``n.m`` of the same first byte. The end of a message is the next first byte; the last one
ends with the object.
"""

import itertools
import re
from dataclasses import dataclass

import numpy as np

from lsntp.times import Instant

ELEMENT, LEVEL = "TMP", "2 m above ground"
MAX_MESSAGE_BYTES = 32 * 2**20
"""A global field of 0.25 degrees in 32-bit floats has 4 MB; a longer range is no message."""

_LINE = re.compile(r"\d+(?:\.\d+)?:(\d{1,15}):d=(\d{10}):([^:]*):([^:]*):([^:]*):(.*)")


class IndexFaultError(Exception):
    """An inventory that does not describe its object; the object itself has to be read."""


@dataclass(frozen=True)
class ByteRange:
    """The bytes ``[start, stop)`` of an object."""

    start: int
    stop: int

    @property
    def size(self) -> int:
        """Number of bytes."""
        return self.stop - self.start


@dataclass(frozen=True)
class _Line:
    start: int
    init_time: str
    element: str
    level: str
    step: str
    kind: str


def t2m_range(inventory: bytes, *, init_time: Instant, step_h: int, size: int) -> ByteRange:
    """The bytes of 2 m temperature; see :func:`field_range`."""
    return field_range(inventory, ELEMENT, LEVEL, init_time=init_time, step_h=step_h, size=size)


def field_range(
    inventory: bytes, element: str, level: str, *, init_time: Instant, step_h: int, size: int
) -> ByteRange:
    """The bytes of one field.

    Args:
        inventory: the whole ``.idx``.
        element: its name there, such as ``TMP``.
        level: in the words of the inventory.
        init_time: that the object should have.
        step_h: 0 for the analysis, else hours ahead.
        size: bytes of the object.

    Raises:
        IndexFaultError: if the inventory is damaged, of another run, does not hold the field
            exactly once, or points outside the object.
    """
    lines = _parse(inventory)
    wanted = re.sub("[-T]", "", str(np.datetime_as_string(init_time, unit="h")))
    if other := {line.init_time for line in lines} - {wanted}:
        raise IndexFaultError(f"it is of {', '.join(sorted(other))} and not of {wanted}")
    # Its makers call step 0 of a forecast run "anl"; other encoders print it as a forecast.
    steps = ("anl", "0 hour fcst") if step_h == 0 else (f"{step_h} hour fcst",)
    found = [
        line
        for line in lines
        if (line.element, line.level, line.kind) == (element, level, "") and line.step in steps
    ]
    if len(found) != 1:
        raise IndexFaultError(
            f"it lists {element}:{level} at step {step_h} h {len(found)} times instead of once"
        )
    start = found[0].start
    stop = min((line.start for line in lines if line.start > start), default=size)
    if not start < stop <= size:
        raise IndexFaultError(f"it points at bytes {start} to {stop} of {size}")
    if stop - start > MAX_MESSAGE_BYTES:
        raise IndexFaultError(f"it gives the field {stop - start} bytes, more than one can have")
    return ByteRange(start, stop)


def _parse(inventory: bytes) -> list[_Line]:
    lines = []
    for text in inventory.decode("ascii", "replace").splitlines():
        if not text.strip():
            continue
        match = _LINE.fullmatch(text)
        if match is None:
            raise IndexFaultError(f"it has the line {text[:80]!r}")
        start, *names = match.groups()
        lines.append(_Line(int(start), *names))
    if not lines:
        raise IndexFaultError("it is empty")
    if any(later.start < line.start for line, later in itertools.pairwise(lines)):
        raise IndexFaultError("its bytes do not ascend")
    return lines
