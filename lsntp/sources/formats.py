"""Which format a file has: its first bytes decide, never its name."""

import logging
import shutil
import stat
import tempfile
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import IO

from lsntp.errors import SourceDataError, StorageError
from lsntp.sources.canonical import NoTemperatureError
from lsntp.sources.framing import MAGIC as GRIB_MAGIC
from lsntp.sources.framing import MAX_PADDING
from lsntp.sources.grib import GribPart, open_grib
from lsntp.sources.netcdf import NetcdfPart, open_netcdf
from lsntp.sources.unknown import HEAD_BYTES, describe, is_other_format

logger = logging.getLogger(__name__)

ZIP_MAGIC = b"PK\x03\x04"
HDF_MAGIC = b"\x89HDF\r\n\x1a\n"
CLASSIC_MAGICS = (b"CDF\x01", b"CDF\x02", b"CDF\x05")
ZARR_MARKERS = ("zarr.json", ".zgroup", ".zmetadata")

MAX_MEMBERS = 100
MAX_UNPACKED_BYTES = 8 * 2**30
"""A month of one global variable unpacks to 1.6 GB; an archive that claims more is refused."""

FilePart = GribPart | NetcdfPart

_GRIB_EDITIONS = (b"\x01", b"\x02")
_REASONS_SHOWN = 3


def open_parts(
    path: Path, unpack_into: Path | None, label: str, *, step_h: int = 0
) -> Sequence[FilePart]:
    """The 2 m temperature analyses of one file or Zarr store.

    This opens the file in the process that calls: the decoder's, see
    :mod:`lsntp.sources.decoding`.

    Args:
        path: GRIB, netCDF, a ZIP of these, or a Zarr folder.
        unpack_into: an existing folder for the members of a ZIP, which must outlive the
            parts; None where a ZIP is not expected.
        label: the file, for messages.
        step_h: of forecasts in GRIB, hours from their initial time; 0 for analyses.

    Raises:
        SourceDataError: if it is none of these, damaged, or holds no such analyses.
    """
    try:
        mode = path.stat().st_mode
        if stat.S_ISDIR(mode):
            return [_open_zarr(path, label)]
        if not stat.S_ISREG(mode):
            raise SourceDataError(
                f"Expected a file or a Zarr store at {label}, found a pipe, socket or device; "
                "narrow source.paths."
            )
        return _open_file(path, label, unpack_into, step_h)
    except OSError as error:
        if isinstance(error, StorageError):
            raise
        found = error.strerror or str(error)
        if path.is_symlink():
            found = f"a symbolic link to {path.readlink()} that cannot be followed ({found})"
        raise SourceDataError(
            f"Expected a readable file at {label}, found {found}; check the path and its "
            "permissions."
        ) from error


def _open_zarr(path: Path, label: str) -> FilePart:
    if not any((path / marker).is_file() for marker in ZARR_MARKERS):
        raise SourceDataError(
            f"Expected a file or a Zarr store at {label}, found a folder without "
            f"{' or '.join(ZARR_MARKERS)}; end the path in /* to read the files inside."
        )
    return open_netcdf(path, label, "zarr")


def _open_file(
    path: Path, label: str, unpack_into: Path | None, step_h: int = 0
) -> Sequence[FilePart]:
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES)
    if head.startswith((HDF_MAGIC, *CLASSIC_MAGICS)):
        return [open_netcdf(path, label)]
    if head.startswith(ZIP_MAGIC) and unpack_into is not None:
        return _open_zip(path, label, unpack_into)
    if _is_grib(head):
        return open_grib(path, label, step_h=step_h)
    raise SourceDataError(
        f"Expected GRIB, netCDF, a ZIP of them or Zarr in {label}, found {describe(head)}."
    )


def _is_grib(head: bytes) -> bool:
    """Whether a first message starts here, behind no more than a bulletin header."""
    if head.startswith(GRIB_MAGIC):
        return True
    start = head.find(GRIB_MAGIC, 0, MAX_PADDING + len(GRIB_MAGIC))
    return start > 0 and not is_other_format(head) and head[start + 7 : start + 8] in _GRIB_EDITIONS


def _open_zip(path: Path, label: str, folder: Path) -> list[FilePart]:
    """The parts of every member with analyses of 2 m temperature; the others are passed over."""
    parts: list[FilePart] = []
    reasons: list[str] = []
    try:
        with zipfile.ZipFile(path) as archive:
            members = [member for member in archive.infolist() if not member.is_dir()]
            _check_members(members, label)
            for member in members:
                with archive.open(member) as packed:
                    unpacked = _unpack(packed, folder)
                try:
                    parts += _open_file(unpacked, f"{label}::{member.filename}", None)
                except SourceDataError as error:
                    unpacked.unlink()
                    reasons.append(str(error))
                    if not isinstance(error, NoTemperatureError):
                        logger.warning("left out a member of %s: %s", label, error)
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError) as error:
        raise SourceDataError(
            f"Expected a whole ZIP in {label}, found one that cannot be unpacked ({error}); fetch "
            "it again."
        ) from error
    if not parts:
        shown = " ".join(reasons[:_REASONS_SHOWN]) or "it is empty."
        more = len(reasons) - _REASONS_SHOWN
        raise SourceDataError(
            f"Expected a member with analyses of 2 m temperature in {label}, found none: {shown}"
            + (f" So for {more} more members." if more > 0 else "")
        )
    return parts


def _check_members(members: Sequence[zipfile.ZipInfo], label: str) -> None:
    size = sum(member.file_size for member in members)
    if len(members) > MAX_MEMBERS or size > MAX_UNPACKED_BYTES:
        raise SourceDataError(
            f"Expected a ZIP of at most {MAX_MEMBERS} members and {MAX_UNPACKED_BYTES / 2**30:g} "
            f"GiB in {label}, found {len(members)} members and {size / 2**30:.1f} GiB; unpack it "
            "by hand if you trust it."
        )


def _unpack(packed: IO[bytes], folder: Path) -> Path:
    """A member under a name of ours; the archive reader stops at the size it declares."""
    try:
        with tempfile.NamedTemporaryFile(dir=folder, delete=False) as file:
            shutil.copyfileobj(packed, file)
    except OSError as error:
        raise StorageError(
            f"Expected room to unpack a ZIP in {folder}, found {error.strerror or error}; free "
            "space or set TMPDIR to a larger disk."
        ) from error
    return Path(file.name)
