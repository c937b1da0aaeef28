import bz2
import gzip
import io
import lzma
import tarfile

import numpy as np
import pytest

from lsntp.sources.unknown import HEAD_BYTES, describe, is_other_format


def tarred(content: bytes) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        member = tarfile.TarInfo("a.grib")
        member.size = len(content)
        archive.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


NOISE = np.random.default_rng(0).bytes(2000)


@pytest.mark.parametrize(
    ("content", "found", "remedy"),
    [
        (b"", "an empty file", "fetch the file again"),
        (gzip.compress(NOISE), "compressed with gzip", "gunzip"),
        (bz2.compress(NOISE), "compressed with bzip2", "bunzip2"),
        (lzma.compress(NOISE), "compressed with xz", "unxz"),
        (b"\x28\xb5\x2f\xfd" + NOISE, "compressed with zstd", "unzstd"),
        (tarred(NOISE), "a tar archive", "tar xf"),
        (b"\n<!DOCTYPE html><title>GRIB filter</title>", "an HTML page", "fetch the file again"),
        (b"1:0:d=2023110400:PRMSL:mean sea level:anl:\n", "text inventory", "the GRIB file it"),
        (b"304.1:99:d=2023110400:UGRD:10 m:anl:\n", "text inventory", "the GRIB file it"),
        (b'{"error": "quota"}\nmore', """text that begins with '{"error": "quota"}';""", "narrow"),
        (
            "Größe: 3 Felder\n".encode(),
            "text that begins with 'Größe: 3 Felder'",
            "narrow source.paths",
        ),
        (b"\x89HD", "only 3 bytes", "cut short"),
        (b"CDF", "only 3 bytes", "cut short"),
        (NOISE, "bytes that begin with b'", "fetch the file again"),
        (bytes(600), r"bytes that begin with b'\x00", "fetch the file again"),
    ],
)
def test_what_is_found_is_told_with_its_remedy(content: bytes, found: str, remedy: str) -> None:
    text = describe(content[:HEAD_BYTES])
    assert found in text
    assert remedy in text


def test_a_letter_cut_in_two_at_the_end_of_the_head_is_still_text() -> None:
    assert "text that begins with" in describe(("x" * 511 + "ö").encode()[:HEAD_BYTES])


def test_the_line_shown_is_short() -> None:
    assert len(describe(b"x" * HEAD_BYTES)) < 160


def test_words_in_an_error_page_or_a_packed_name_are_no_data() -> None:
    assert is_other_format(gzip.compress(b"GRIB"))
    assert is_other_format(b"  <HTML>GRIB")
    assert not is_other_format(b"\x01\r\r\n123 \r\r\nHGXX GRIB")
