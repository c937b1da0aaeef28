"""GRIB framing, checked before the decoder sees a byte.

Every message starts with ``GRIB``, is as long as it claims, is filled by its sections,
and ends with ``7777``: the decoder reads beyond its buffer where they do not.
"""

import mmap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from lsntp.errors import SourceDataError

MAGIC = b"GRIB"
END = b"7777"
MAX_PADDING = 128
"""Bytes between messages: bulletin headers and record padding are shorter than this."""

_HAS_GRID, _HAS_BITMAP = 0x80, 0x40  # flags of edition 1
_GRID_SECTION = 3  # of edition 2


@dataclass(frozen=True)
class Frame:
    """The bytes of one message in its file, and the section that describes its grid."""

    offset: int
    length: int
    grid_section: bytes


def frame_messages(path: Path, label: str) -> Iterator[Frame]:
    """Every message in order, with its length and the lengths of its sections checked.

    Args:
        path: a file of at least one byte.
        label: the file, for messages.

    Raises:
        SourceDataError: naming the byte at which the file is not what GRIB should be.
    """
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        position = 0
        while position < len(content):
            start = content.find(MAGIC, position, position + MAX_PADDING + len(MAGIC))
            if start < 0:
                rest = content[position : position + MAX_PADDING + 1]
                if len(rest) <= MAX_PADDING and not rest.strip(b"\0 \r\n"):
                    return
                raise damaged(label, f"no message where one should start, at byte {position}")
            edition = content[start + 7 : start + 8]
            measure = {b"\x01": _measure_edition_1, b"\x02": _measure_edition_2}.get(edition)
            if measure is None:
                raise damaged(label, f"neither edition 1 nor 2 in the message at byte {start}")
            length, grid_section = measure(content, start)
            end = start + length
            if end > len(content) or content[end - len(END) : end] != END:
                raise damaged(
                    label,
                    f"a message at byte {start} that does not end in 7777 after {length} bytes",
                )
            if grid_section is None:
                raise damaged(label, f"sections that do not fill the message at byte {start}")
            yield Frame(start, length, grid_section)
            position = end


def _number(content: mmap.mmap, position: int, size: int) -> int:
    return int.from_bytes(content[position : position + size])


def _measure_edition_1(content: mmap.mmap, start: int) -> tuple[int, bytes | None]:
    """Length of a message, and its grid section if all sections fit."""
    length = _number(content, start + 4, 3)
    position = start + 8
    flags = _number(content, position + 7, 1)
    position += _number(content, position, 3)
    grid_start = grid_end = position
    if flags & _HAS_GRID:
        grid_end = position = position + _number(content, position, 3)
    if flags & _HAS_BITMAP:
        position += _number(content, position, 3)
    data = _number(content, position, 3)
    # Beyond 8 MiB, as ECMWF writes it: the length counts blocks of 120 bytes, and the data
    # section gives the bytes by which the last block is too long.
    if length & 0x800000 and data < 120:
        length = (length & 0x7FFFFF) * 120 - data + len(END)
        data = start + length - len(END) - position
    does_fit = start + 8 < grid_start < position < position + data == start + length - len(END)
    return length, content[grid_start:grid_end] if does_fit and grid_end > grid_start else None


def _measure_edition_2(content: mmap.mmap, start: int) -> tuple[int, bytes | None]:
    """Length of a message, and its first grid section if all sections fit."""
    length = _number(content, start + 8, 8)
    position, end = start + 16, start + length - len(END)
    grid_section = None
    while position < min(end, len(content)):
        size = _number(content, position, 4)
        if size < 5:
            return length, None
        if grid_section is None and _number(content, position + 4, 1) == _GRID_SECTION:
            grid_section = content[position : position + size]
        position += size
    return length, grid_section if position == end else None


def damaged(label: str, found: str) -> SourceDataError:
    """The error for a GRIB file that is cut short or corrupt."""
    return SourceDataError(
        f"Expected whole GRIB messages in {label}, found {found}; the file is cut short or "
        "damaged, fetch it again."
    )
