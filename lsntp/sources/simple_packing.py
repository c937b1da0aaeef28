"""GRIB edition 1, values packed plainly in whole bytes: what ERA5 comes in.

Value = (packed * 2**E + R) / 10**D, as in the WMO Manual on Codes, volume I.2, FM 92 GRIB
edition 1, section 4. Any other packing is left to the decoder.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

_SECTION_1 = 8
_HAS_GRID, _HAS_BITMAP = 0x80, 0x40
_LONG_MESSAGE = 0x800000
_TYPES: dict[int, np.dtype[Any]] = {8: np.dtype("u1"), 16: np.dtype(">u2"), 32: np.dtype(">u4")}
_HEADER_BYTES = 11
_MAX_DECIMAL, _MAX_BINARY = 22, 400
"""Powers of ten up to this one are exact in double precision; those of two stay far within it."""


@dataclass(frozen=True, eq=False)
class PlainValues:
    """The values of one message, still packed.

    Attributes:
        packed: integers (rows, columns), as stored.
        reference: R.
        binary: 2**E.
        decimal: 10**-D.
    """

    packed: npt.NDArray[Any]
    reference: float
    binary: float
    decimal: float

    def decode(self, cells: Any = ...) -> npt.NDArray[np.float64]:
        """The values at ``cells``, an index of (rows, columns), in double precision."""
        packed: npt.NDArray[np.float64] = self.packed[cells].astype(np.float64)
        return (packed * self.binary + self.reference) * self.decimal


def find_plain_values(content: bytes, shape: tuple[int, int]) -> PlainValues | None:
    """The packed values of one message of ``shape``; None if they are not packed plainly.

    Args:
        content: a whole message, its sections checked by :mod:`lsntp.sources.framing`.
        shape: rows and columns of its grid.
    """
    if content[7] != 1 or _number(content, 4, 3) & _LONG_MESSAGE:
        return None
    flags, decimal = content[_SECTION_1 + 7], _signed(content, _SECTION_1 + 26)
    if flags & _HAS_BITMAP or not flags & _HAS_GRID:
        return None
    start = _SECTION_1 + _number(content, _SECTION_1, 3)
    start += _number(content, start, 3)
    size, kind, spare_bits = _number(content, start, 3), content[start + 3] >> 4, content[start + 3]
    binary = _signed(content, start + 4)
    bits, count = content[start + 10], shape[0] * shape[1]
    is_usual = abs(decimal) <= _MAX_DECIMAL and abs(binary) <= _MAX_BINARY
    is_plain = kind == 0 and bits in _TYPES
    does_fit = (size - _HEADER_BYTES) * 8 - (spare_bits & 0x0F) == count * bits
    if not (is_usual and is_plain and does_fit):
        return None
    packed = np.frombuffer(content, _TYPES[bits], count, start + _HEADER_BYTES)
    power = 10.0 ** abs(decimal)
    return PlainValues(
        packed.reshape(shape),
        reference=_ibm(content[start + 6 : start + 10]),
        binary=2.0**binary,
        decimal=1.0 / power if decimal >= 0 else power,
    )


def _number(content: bytes, position: int, size: int) -> int:
    return int.from_bytes(content[position : position + size])


def _signed(content: bytes, position: int) -> int:
    """Two bytes: a sign and a magnitude."""
    number = _number(content, position, 2)
    return -(number & 0x7FFF) if number & 0x8000 else number


def _ibm(content: bytes) -> float:
    """Four bytes of IBM floating point: a sign, an exponent of 16 and 24 bits of a fraction."""
    sign = -1.0 if content[0] & 0x80 else 1.0
    return sign * int.from_bytes(content[1:4]) * 16.0 ** ((content[0] & 0x7F) - 70)
