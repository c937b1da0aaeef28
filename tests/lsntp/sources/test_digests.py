from pathlib import Path

import pytest

from lsntp.errors import SourceDataError
from lsntp.sources.digests import verify_digest

# The examples of FIPS 180-2 and RFC 1321 for the message "abc".
OF_ABC = {
    "sha256": "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
    "sha1": "a9993e364706816aba3e25717850c26c9cd0d89d",
    "md5": "900150983cd24fb0d6963f7d28e17f72",
}


@pytest.mark.parametrize("algorithm", OF_ABC)
def test_the_noted_checksum_is_accepted_in_either_case(algorithm: str, tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"abc")
    verify_digest(path, OF_ABC[algorithm], algorithm)
    verify_digest(path, OF_ABC[algorithm].upper() + "\n", algorithm)


def test_one_other_bit_is_refused_naming_file_and_checksums(tmp_path: Path) -> None:
    path = tmp_path / "a.grib"
    path.write_bytes(b"abb")
    with pytest.raises(
        SourceDataError, match=rf"a\.grib with .*{OF_ABC['sha256']}, found [0-9a-f]"
    ):
        verify_digest(path, OF_ABC["sha256"])


def test_an_unknown_algorithm_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"abc")
    with pytest.raises(SourceDataError, match=r"md5, sha1, sha256, sha512 for .*found crc32"):
        verify_digest(path, "352441c2", "crc32")
