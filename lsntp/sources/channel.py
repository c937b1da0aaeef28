"""How the decoder and the process that asks it talk: JSON and plain arrays, never objects."""

import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Header = dict[str, Any]
Arrays = Sequence[npt.NDArray[Any]]
ReadInto = Callable[[memoryview], None]
"""Fills a buffer with the next bytes; raises EOFError where there are no more."""

_SIZE_BYTES = 8
_MAX_HEADER_BYTES = 64 * 2**20
_DTYPES = frozenset({"|i1", "<i8", "<f4", "<f8"})


def pack(header: Header, arrays: Arrays = ()) -> Iterator[bytes | memoryview]:
    """One message, piece by piece.

    Args:
        header: anything JSON has.
        arrays: integers and floats; little-endian.
    """
    shapes = [(array.dtype.str, array.shape) for array in arrays]
    content = json.dumps({**header, "arrays": shapes}).encode("ascii")
    yield len(content).to_bytes(_SIZE_BYTES)
    yield content
    for array in arrays:
        yield _bytes_of(np.ascontiguousarray(array))


def unpack(read_into: ReadInto, most_bytes: int) -> tuple[Header, list[npt.NDArray[Any]]]:
    """The next message.

    Args:
        read_into: where it comes from.
        most_bytes: that its arrays may have; nothing is allocated for more.

    Raises:
        EOFError: if the other side has gone.
        ValueError: if it is no message, or claims more than ``most_bytes``.
    """
    size = bytearray(_SIZE_BYTES)
    read_into(memoryview(size))
    if int.from_bytes(size) > _MAX_HEADER_BYTES:
        raise ValueError(f"a header of {int.from_bytes(size)} bytes")
    content = bytearray(int.from_bytes(size))
    read_into(memoryview(content))
    header: Header = json.loads(content)
    arrays = []
    for dtype, shape in header.pop("arrays"):
        if dtype not in _DTYPES:
            raise ValueError(f"an array of {dtype}")
        most_bytes -= int(np.dtype(dtype).itemsize * np.prod(shape, dtype=object))
        if most_bytes < 0:
            raise ValueError(f"an array of shape {shape}, more than was asked for")
        arrays.append(np.empty(shape, dtype))
        read_into(_bytes_of(arrays[-1]))
    return header, arrays


def _bytes_of(array: npt.NDArray[Any]) -> memoryview:
    return memoryview(array.reshape(-1).view(np.uint8))  # type: ignore[arg-type]
