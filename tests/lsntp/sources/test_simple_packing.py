from collections.abc import Callable, Iterator
from pathlib import Path

import eccodes
import numpy as np
import pytest

from lsntp.sources.framing import frame_messages
from lsntp.sources.simple_packing import find_plain_values

Make = Callable[..., bytes]
Fields = Callable[..., np.ndarray]
SHAPE = (4, 5)


def messages_of(path: Path) -> Iterator[bytes]:
    content = path.read_bytes()
    for frame in frame_messages(path, path.name):
        yield content[frame.offset : frame.offset + frame.length]


def values_by_eccodes(content: bytes) -> np.ndarray:
    message = eccodes.codes_new_from_message(content)
    shape = (eccodes.codes_get(message, "Nj"), eccodes.codes_get(message, "Ni"))
    values: np.ndarray = eccodes.codes_get_values(message).reshape(shape)
    eccodes.codes_release(message)
    return values


def repack(content: bytes, **keys: float) -> bytes:
    """The message with its values packed otherwise by ecCodes."""
    message = eccodes.codes_new_from_message(content)
    values = eccodes.codes_get_values(message)
    for key, value in keys.items():
        eccodes.codes_set(message, key, value)
    eccodes.codes_set_values(message, values)
    repacked: bytes = eccodes.codes_get_message(message)
    eccodes.codes_release(message)
    return repacked


@pytest.mark.parametrize(
    "name",
    [
        "era5/era5_t2m_1h_uk_2019-03.grib",
        "era5/era5_t2m_1h_england_2025-01_2025-03_expver_mix.grib",
        "era5/era5_5fields_samerica_2024-02-03T17.grib",
    ],
)
def test_every_value_of_every_real_file_is_bit_equal_to_that_of_eccodes(
    name: str, shared_data: Path
) -> None:
    found = 0
    for content in messages_of(shared_data / name):
        expected = values_by_eccodes(content)
        plain = find_plain_values(content, expected.shape)
        if plain is not None:
            np.testing.assert_array_equal(plain.decode(), expected)
            found += 1
    assert found


@pytest.mark.parametrize("bits", [8, 16, 32])
@pytest.mark.parametrize("decimal", [b"\x00\x00", b"\x00\x03", b"\x80\x02"])
@pytest.mark.parametrize("binary", [b"\x80\x05", b"\x00\x02"])
def test_any_scale_and_width_is_bit_equal(
    bits: int, decimal: bytes, binary: bytes, make_message: Make, make_fields: Fields
) -> None:
    content = bytearray(repack(make_message(make_fields()[0] - 280.0), bitsPerValue=bits))
    data = content.rindex(bytes([bits]) + b"\x00" * (bits // 8))  # the coldest value is packed as 0
    content[data - 6 : data - 4] = binary
    content[8 + 26 : 8 + 28] = decimal
    plain = find_plain_values(bytes(content), SHAPE)
    assert plain is not None
    np.testing.assert_array_equal(plain.decode(), values_by_eccodes(bytes(content)))


def test_only_the_asked_cells_are_decoded(make_message: Make, make_fields: Fields) -> None:
    content = repack(make_message(make_fields()[0]), bitsPerValue=16)
    cells = np.ix_([3, 0], [1, 2, 4])
    plain = find_plain_values(content, SHAPE)
    assert plain is not None
    np.testing.assert_array_equal(plain.decode(cells), values_by_eccodes(content)[cells])


def test_the_arithmetic_by_hand(make_message: Make, make_fields: Fields) -> None:
    content = bytearray(repack(make_message(make_fields()[0]), bitsPerValue=16))
    data = len(content) - 4 - 11 - 2 * 20 - 1  # one more byte makes the section even
    assert int.from_bytes(content[data : data + 3]) == 11 + 2 * 20 + 1
    content[data + 4 : data + 6] = b"\x80\x03"  # E = -3
    content[data + 6 : data + 10] = b"\xc2\x11\x80\x00"  # R = -(0x118000 / 2**24) * 16**2 = -17.5
    content[8 + 26 : 8 + 28] = b"\x00\x01"  # D = 1
    content[data + 11 : data + 13] = b"\x01\x00"  # 256
    plain = find_plain_values(bytes(content), SHAPE)
    assert plain is not None
    assert plain.decode()[0, 0] == pytest.approx((256 / 8 - 17.5) / 10, rel=1e-15)


@pytest.mark.parametrize(
    ("edition", "keys"),
    [(2, {"bitsPerValue": 16}), (1, {"bitsPerValue": 12}), (1, {"bitsPerValue": 24})],
)
def test_any_other_packing_is_left_to_the_decoder(
    edition: int, keys: dict[str, float], make_message: Make, make_fields: Fields
) -> None:
    content = repack(make_message(make_fields()[0], edition=edition), **keys)
    assert find_plain_values(content, SHAPE) is None


def test_masked_and_constant_fields_are_left_to_the_decoder(
    make_message: Make, make_fields: Fields
) -> None:
    (field,) = make_fields()
    field[0, 0] = np.nan
    for content in (make_message(field), make_message(np.full(SHAPE, 280.0))):
        assert find_plain_values(content, SHAPE) is None


def test_another_number_of_cells_than_of_values_is_left_to_the_decoder(
    make_message: Make, make_fields: Fields
) -> None:
    content = repack(make_message(make_fields()[0]), bitsPerValue=16)
    assert find_plain_values(content, (5, 5)) is None


@pytest.mark.parametrize("place", ["binary", "decimal"])
def test_a_scale_beyond_any_temperature_is_left_to_the_decoder(
    place: str, make_message: Make, make_fields: Fields
) -> None:
    content = bytearray(repack(make_message(make_fields()[0]), bitsPerValue=16))
    data = len(content) - 4 - 11 - 2 * 20 - 1
    position = data + 4 if place == "binary" else 8 + 26
    content[position : position + 2] = b"\x7f\xff"
    assert find_plain_values(bytes(content), SHAPE) is None
