"""Checksums of files, where somebody noted one: the only full proof that bytes are the same."""

import hashlib
from pathlib import Path

from lsntp.errors import SourceDataError

ALGORITHMS = ("md5", "sha1", "sha256", "sha512")
"""What data services note; against chance all of them serve, against intent the last two."""


def verify_digest(path: Path, expected: str, algorithm: str = "sha256") -> None:
    """Refuse a file whose bytes are not those that were noted.

    Args:
        path: the file.
        expected: the noted checksum, in hexadecimal digits of either case.
        algorithm: one of :data:`ALGORITHMS`.

    Raises:
        SourceDataError: if they differ, or the algorithm is not known.
    """
    if algorithm not in ALGORITHMS:
        raise SourceDataError(
            f"Expected a checksum by one of {', '.join(ALGORITHMS)} for {path}, found {algorithm}; "
            "verify the file by hand."
        )
    with path.open("rb") as file:
        found = hashlib.file_digest(file, algorithm).hexdigest()
    if found != expected.strip().lower():
        raise SourceDataError(
            f"Expected {path} with the {algorithm} checksum {expected}, found {found}; it was "
            "damaged on its way or on the disk, fetch it again."
        )
