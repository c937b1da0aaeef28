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
LIMITS = "limits"
"""Attribute of a frame and key of its reasons: the limits it was judged by, as JSON."""
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
        for the same time is kept once; judged by other limits, it gets its new reasons.

        Args:
            rejection: time and reasons.
            frame: one canonical field, ``t2m(time=1, latitude, longitude)`` with its
                ``source_digest``; its attributes, :data:`LIMITS` among them, are kept.

        Raises:
            StorageError: if the storage refuses the write; nothing is left behind.
        """
        digest = frame[SOURCE_DIGEST].to_numpy().astype(np.uint8).tobytes().hex()
        stamp = format_time(rejection.time).replace(":", "").replace("-", "")
        entry = self.folder / f"{stamp}-{digest[:DIGEST_LENGTH]}"
        reasons = {
            "time": format_time(rejection.time),
            "source_digest": digest,
            "reasons": list(rejection.reasons),
            **{name: str(value) for name, value in frame.attrs.items()},
        }
        if entry.exists() and _limits(entry) == reasons.get(LIMITS, ""):
            return False
        is_new = not entry.exists()
        partial = self.folder / f".{entry.name}.{uuid.uuid4().hex}.partial"
        try:
            partial.mkdir(parents=True)
            (partial / REASONS_FILE).write_text(json.dumps(reasons, indent=2) + "\n", "utf-8")
            if is_new:
                # Encoded to bytes first, so that a full disk is an OSError and not a netCDF one.
                field = bytes(frame[[T2M]].to_netcdf(engine="scipy"))
                (partial / FIELD_FILE).write_bytes(field)
                partial.rename(entry)
            else:
                (partial / REASONS_FILE).rename(entry / REASONS_FILE)
                partial.rmdir()
        except OSError as error:
            shutil.rmtree(partial, ignore_errors=True)
            if is_new and entry.exists():  # another process was quicker
                return False
            raise StorageError(
                f"Expected to keep the rejected field of {reasons['time']} in {entry}, but the "
                f"storage refused: {error}. Free space or permit writing, then run again."
            ) from error
        return is_new

    def held(self, limits: str) -> dict[Instant, frozenset[str]]:
        """The digests rejected by ``limits`` for each time, cut to :data:`DIGEST_LENGTH` digits."""
        found: dict[Instant, set[str]] = {}
        for path in self._folders():
            if _limits(path) == limits:
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


def _limits(entry: Path) -> str:
    """The limits an entry was judged by; empty where it does not tell."""
    try:
        return str(json.loads((entry / REASONS_FILE).read_text("utf-8")).get(LIMITS, ""))
    except (OSError, ValueError, AttributeError):
        return ""


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
