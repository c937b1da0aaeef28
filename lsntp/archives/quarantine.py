"""Rejected fields, kept with the reasons: one folder a field, written once, never deleted."""

import json
import shutil
import uuid
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import xarray as xr

from lsntp.errors import ArchiveError, StorageError
from lsntp.names import SOURCE_DIGEST, T2M, TIME
from lsntp.times import Instant, format_time, parse_time

FIELD_FILE = "field.nc"
REASONS_FILE = "reasons.json"
DIGEST_LENGTH = 12
"""Hexadecimal digits of a digest in the name of an entry."""


@dataclass(frozen=True)
class Rejection:
    """Why the field of one time cannot be used.

    Attributes:
        time: the time the field claims.
        reasons: sentences that say what was expected, what was found, and where.
    """

    time: Instant
    reasons: tuple[str, ...]


@dataclass(frozen=True)
class QuarantineEntry:
    """One stored field: ``path`` holds ``field.nc`` and ``reasons.json``."""

    path: Path
    rejection: Rejection
    digest: str


class Quarantine:
    """The rejected fields of one domain, ``<folder>/<time>-<digest>/``.

    Args:
        folder: made when the first field arrives.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def put(self, rejection: Rejection, frame: xr.Dataset) -> bool:
        """Keep one field with its reasons; whether it was new.

        Written aside and renamed, so an entry is whole or absent. The same field (by digest)
        for the same time is kept once, with the reasons it was first rejected for.

        Args:
            rejection: time and reasons.
            frame: one canonical field, ``t2m(time=1, latitude, longitude)`` with its
                ``source_digest``.

        Raises:
            StorageError: if the storage refuses the write; nothing is left behind.
        """
        digest = frame[SOURCE_DIGEST].to_numpy().astype(np.uint8).tobytes().hex()
        stamp = format_time(rejection.time).replace(":", "").replace("-", "")
        entry = self.folder / f"{stamp}-{digest[:DIGEST_LENGTH]}"
        if entry.exists():
            return False
        # Encoded to bytes first, so that a full disk is an OSError and not a netCDF one.
        field = bytes(frame[[T2M]].to_netcdf(engine="scipy"))
        reasons = {
            "time": format_time(rejection.time),
            "source_digest": digest,
            "reasons": list(rejection.reasons),
            **{name: str(value) for name, value in frame.attrs.items()},
        }
        partial = self.folder / f".{entry.name}.{uuid.uuid4().hex}.partial"
        try:
            partial.mkdir(parents=True)
            (partial / FIELD_FILE).write_bytes(field)
            (partial / REASONS_FILE).write_text(json.dumps(reasons, indent=2) + "\n", "utf-8")
            partial.rename(entry)
        except OSError as error:
            shutil.rmtree(partial, ignore_errors=True)
            if entry.exists():
                return False
            raise StorageError(
                f"Expected to keep the rejected field of {reasons['time']} in {entry}, but the "
                f"storage refused: {error}. Free space or permit writing, then run again."
            ) from error
        return True

    def held(self) -> dict[Instant, frozenset[str]]:
        """The digests kept for each time, cut to :data:`DIGEST_LENGTH` digits."""
        found: dict[Instant, set[str]] = {}
        for path in self._folders():
            stamp, digest = path.name.split("-", 1)
            found.setdefault(parse_time(stamp), set()).add(digest)
        return {time: frozenset(digests) for time, digests in found.items()}

    def entries(self) -> list[QuarantineEntry]:
        """Everything kept, by time.

        Raises:
            ArchiveError: if an entry cannot be read.
        """
        return [_read(path) for path in self._folders()]

    def _folders(self) -> list[Path]:
        return sorted(self.folder.glob("[0-9]*Z-*"))


def _read(path: Path) -> QuarantineEntry:
    try:
        content = json.loads((path / REASONS_FILE).read_text("utf-8"))
        rejection = Rejection(parse_time(content[TIME]), tuple(content["reasons"]))
        return QuarantineEntry(path, rejection, content[SOURCE_DIGEST])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ArchiveError(
            f"Expected {REASONS_FILE} with time, {SOURCE_DIGEST} and reasons in {path}: {error}. "
            "Move the folder away; the field is fetched and checked again by the next ingest."
        ) from error
