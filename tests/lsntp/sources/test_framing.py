from collections.abc import Callable
from pathlib import Path

import eccodes
import numpy as np
import pytest

from lsntp.errors import SourceDataError
from lsntp.sources.framing import frame_messages

Make = Callable[..., bytes]
Write = Callable[..., Path]
Fields = Callable[..., np.ndarray]


def test_padding_between_messages_is_passed_over(
    make_message: Make, make_fields: Fields, write: Write
) -> None:
    fields = make_fields(2)
    content = bytes(18).join(make_message(f, hour=h) for h, f in enumerate(fields)) + bytes(40)
    frames = list(frame_messages(write(content), "a.grib"))
    assert [frame.offset for frame in frames] == [0, content.index(b"GRIB", 1)]


@pytest.mark.parametrize("keep", [-1, -4, -40, 100, 12])
def test_a_file_cut_short_is_refused_naming_the_byte(
    keep: int, make_message: Make, make_fields: Fields, write: Write
) -> None:
    first = make_message(make_fields()[0])
    content = first + make_message(make_fields()[0], hour=1)
    cut = content[:keep] if keep < 0 else content[: len(first) + keep]
    with pytest.raises(SourceDataError, match=rf"at byte {len(first)}"):
        list(frame_messages(write(cut), "a.grib"))


def test_bytes_of_something_else_between_messages_are_refused(
    make_message: Make, make_fields: Fields, write: Write
) -> None:
    message = make_message(make_fields()[0])
    content = message + b"x" * 500 + message
    with pytest.raises(SourceDataError, match="no message where one should start, at byte"):
        list(frame_messages(write(content), "a.grib"))


@pytest.mark.parametrize("edition", [1, 2])
def test_a_section_that_claims_too_much_is_refused(
    edition: int, make_message: Make, make_fields: Fields, write: Write
) -> None:
    message = bytearray(make_message(make_fields()[0], edition=edition))
    section = 8 if edition == 1 else 16
    message[section + 1] = 0xFF
    with pytest.raises(SourceDataError, match="sections that do not fill the message at byte 0"):
        list(frame_messages(write(bytes(message)), "a.grib"))


def test_edition_1_beyond_8_mib_is_measured_as_ecmwf_writes_it(write: Write) -> None:
    # 2100 x 2100 values of 16 bits are 8.82 million bytes, more than the 23 bits of the length.
    handle = eccodes.codes_grib_new_from_samples("regular_ll_sfc_grib1")
    for key in ("Ni", "Nj"):
        eccodes.codes_set(handle, key, 2100)
    eccodes.codes_set(handle, "bitsPerValue", 16)
    eccodes.codes_set_values(handle, np.linspace(250.0, 300.0, 2100 * 2100))
    message = eccodes.codes_get_message(handle)
    eccodes.codes_release(handle)
    assert len(message) > 2**23
    frames = list(frame_messages(write(message + message), "a.grib"))
    assert [(frame.offset, frame.length) for frame in frames] == [
        (0, len(message)),
        (len(message), len(message)),
    ]


@pytest.mark.parametrize(
    "name",
    [
        "era5/era5_t2m_1h_uk_2019-03.grib",
        "era5/era5_t2m_1h_england_2025-01_2025-03_expver_mix.grib",
        "era5/era5_5fields_samerica_2024-02-03T17.grib",
        "gfs/gfs.t12z.pgrbf120.2p5deg.grib2",
        "gfs/gfs_1p00_2026061800_anl_TMP_2m.grib2",
    ],
)
def test_messages_of_one_kind_differ_in_date_alone_and_dates_are_those_of_eccodes(
    name: str, shared_data: Path
) -> None:
    keys = (
        *("paramId", "shortName", "typeOfLevel", "level", "stepRange", "stepType", "stream"),
        *("type", "expver", "number", "Ni", "Nj", "gridType"),
    )
    kinds: dict[bytes, set[tuple[object, ...]]] = {}
    content = (shared_data / name).read_bytes()
    for frame in frame_messages(shared_data / name, name):
        message = eccodes.codes_new_from_message(content[frame.offset :][: frame.length])
        date = tuple(
            eccodes.codes_get(message, key, int)
            for key in ("year", "month", "day", "hour", "minute")
        )
        assert frame.date == date
        identity = tuple(
            eccodes.codes_get(message, key, str) if eccodes.codes_is_defined(message, key) else None
            for key in keys
        )
        kinds.setdefault(frame.kind, set()).add(identity)
        eccodes.codes_release(message)
    assert [identities for identities in kinds.values() if len(identities) > 1] == []
