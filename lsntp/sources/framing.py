"""GRIB framing, checked before the decoder sees a byte.

Every message starts with ``GRIB``, is as long as it claims, is filled by its sections,
and ends with ``7777``: the decoder reads beyond its buffer where they do not.
"""

import mmap
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from lsntp.errors import SourceDataError

MAGIC = b"GRIB"
END = b"7777"
MAX_PADDING = 128
"""Bytes between messages: bulletin headers and record padding are shorter than this."""

_HAS_GRID, _HAS_BITMAP = 0x80, 0x40  # flags of edition 1
_DATE_1 = (*range(12, 17), 24)  # octets 13 to 17 and 25 of section 1 of edition 1
_DATE_2 = range(12, 19)  # octets 13 to 19 of section 1 of edition 2
_SHORTEST_1, _SHORTEST_2 = 28, 21
_IDENTIFICATION, _GRID, _FIRST_OF_DATA = 1, 3, 5  # sections of edition 2


@dataclass(frozen=True)
class Frame:
    """The bytes of one message in its file, and what its headers say.

    Attributes:
        offset: the first byte.
        length: how many there are.
        date: year, month, day, hour and minute of the reference time, not checked.
        kind: the headers without the date: messages that share them differ in time and values
            alone.
        grid_section: the part of the headers that describes the grid.
    """

    offset: int
    length: int
    date: tuple[int, int, int, int, int]
    kind: bytes
    grid_section: bytes


_Headers = tuple[tuple[int, int, int, int, int], bytes, bytes]
"""Date, kind and grid section of a :class:`Frame`."""


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
            length, headers = measure(content, start)
            end = start + length
            if end > len(content) or content[end - len(END) : end] != END:
                raise damaged(
                    label,
                    f"a message at byte {start} that does not end in 7777 after {length} bytes",
                )
            if headers is None:
                raise damaged(label, f"sections that do not fill the message at byte {start}")
            yield Frame(start, length, *headers)
            position = end


def _number(content: mmap.mmap, position: int, size: int) -> int:
    return int.from_bytes(content[position : position + size])


def _measure_edition_1(content: mmap.mmap, start: int) -> tuple[int, _Headers | None]:
    """Length of a message, and its headers if all sections fit."""
    length = _number(content, start + 4, 3)
    position = start + 8
    flags = _number(content, position + 7, 1)
    product = content[position : position + _number(content, position, 3)]
    position += len(product)
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
    does_fit = grid_start < grid_end <= position < position + data == start + length - len(END)
    if not does_fit or len(product) < _SHORTEST_1:
        return length, None
    year, month, day, hour, minute, century = (product[octet] for octet in _DATE_1)
    grid_section = content[grid_start:grid_end]
    date = (100 * (century - 1) + year, month, day, hour, minute)
    return length, (date, b"\1" + _without(product, _DATE_1) + grid_section, grid_section)


def _measure_edition_2(content: mmap.mmap, start: int) -> tuple[int, _Headers | None]:
    """Length of a message, and its headers, with its first grid section, if all sections fit."""
    length = _number(content, start + 8, 8)
    position, end = start + 16, start + length - len(END)
    kind = [content[start + 6 : start + 8]]  # discipline and edition
    date = grid_section = None
    while position < min(end, len(content)):
        size, number = _number(content, position, 4), _number(content, position + 4, 1)
        if size < 5:
            return length, None
        if number < _FIRST_OF_DATA:
            section = content[position : position + size]
            if number == _IDENTIFICATION and size >= _SHORTEST_2 and date is None:
                date = (int.from_bytes(section[12:14]), *section[14:18])
                section = _without(section, _DATE_2)
            if number == _GRID and grid_section is None:
                grid_section = section
            kind.append(section)
        position += size
    if position != end or date is None or grid_section is None:
        return length, None
    return length, (date, b"".join(kind), grid_section)


def _without(section: bytes, octets: Iterable[int]) -> bytes:
    blank = bytearray(section)
    for octet in octets:
        blank[octet] = 0
    return bytes(blank)


def damaged(label: str, found: str) -> SourceDataError:
    """The error for a GRIB file that is cut short or corrupt."""
    return SourceDataError(
        f"Expected whole GRIB messages in {label}, found {found}; the file is cut short or "
        "damaged, fetch it again."
    )
