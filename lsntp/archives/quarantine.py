"""Rejected fields, kept with the reasons: one folder a field, written once.

The pipeline never deletes one. An operator may release a field (it is true after all), which is
recorded in its entry, or discard it.
"""

import fnmatch
import io
import json
import shutil
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from lsntp.archives.lease import writer_lease
from lsntp.archives.right import Lease
from lsntp.archives.staging import storage_errors
from lsntp.archives.stores import PARTIAL_SUFFIX
from lsntp.durable import flush, write_through
from lsntp.errors import ArchiveError, ArchiveNotFoundError, LsntpError, StorageError
from lsntp.names import SOURCE_DIGEST, STATUS, T2M, TIME, Status
from lsntp.places import Place, S3Path, matching
from lsntp.times import Instant, Period, format_time, parse_time

FIELD_FILE = "field.nc"
REASONS_FILE = "reasons.json"
LIMITS = "limits"
"""Attribute of a frame and key of its reasons: the limits it was judged by, as JSON."""
RELEASED = "released"
"""Key of the reasons: when, by whom and why the field was released."""
ENTRIES = "[0-9]*Z-*"
"""What names of entries look like."""
BLANK = b"{}\n"
"""The reasons of a discarded entry in a bucket."""
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
class Release:
    """Who vouched for a rejected field.

    Attributes:
        at: when.
        by: who.
        why: in their words.
    """

    at: Instant
    by: str
    why: str


@dataclass(frozen=True)
class QuarantineEntry:
    """One stored field.

    Attributes:
        path: the folder of ``field.nc`` and ``reasons.json``; its name is the entry's.
        rejection: time and reasons.
        digest: SHA-256 of the source field, hexadecimal.
        limits: what it was judged by, as JSON; empty where that was not kept.
        status: preliminary or final; preliminary where that was not kept.
        release: who vouched for it, if somebody did.
    """

    path: Place
    rejection: Rejection
    digest: str
    limits: str = ""
    status: Status = Status.PRELIMINARY
    release: Release | None = None

    @property
    def name(self) -> str:
        """``20190301T0600Z-abababababab``."""
        return self.path.name

    def field(self) -> xr.DataArray:
        """The rejected field, ``t2m(time=1, latitude, longitude)`` in kelvin.

        Raises:
            ArchiveError: if it cannot be read.
        """
        try:
            content = io.BytesIO((self.path / FIELD_FILE).read_bytes())
            with xr.open_dataset(content, engine="scipy") as opened:
                return opened[T2M].load()
        except LsntpError:
            raise
        except (OSError, ValueError, KeyError, TypeError, IndexError, EOFError) as error:
            raise ArchiveError(
                f"Expected the rejected field in {self.path / FIELD_FILE}: {error}. Discard the "
                "entry; the field is fetched and checked again by the next ingest."
            ) from error


class Quarantine:
    """The rejected fields of one domain, ``<folder>/<time>-<digest>/``.

    Args:
        folder: made when the first field arrives. Whoever changes it holds its lease, two small
            files beside it, so what a killed process left behind can be swept.
    """

    def __init__(self, folder: Place) -> None:
        self.folder = folder
        self._is_swept = False

    def put(self, rejection: Rejection, frame: xr.Dataset) -> bool:
        """Keep one field with its reasons; whether it was new.

        Written aside and renamed, so an entry is whole or absent. The same field (by digest)
        for the same time is kept once; judged by other limits, it gets its new reasons.

        Args:
            rejection: time and reasons.
            frame: one canonical field, ``t2m(time=1, latitude, longitude)`` with its
                ``source_digest`` and ``status``; its attributes, :data:`LIMITS` among them, are
                kept.

        Raises:
            ArchiveBusyError: if another process keeps writing here.
            StorageError: if the storage refuses the write; nothing is left behind.
        """
        digest = frame[SOURCE_DIGEST].to_numpy().astype(np.uint8).tobytes().hex()
        stamp = format_time(rejection.time).replace(":", "").replace("-", "")
        entry = self.folder / f"{stamp}-{digest[:DIGEST_LENGTH]}"
        reasons = {
            "time": format_time(rejection.time),
            SOURCE_DIGEST: digest,
            "reasons": list(rejection.reasons),
            **{name: str(value) for name, value in frame.attrs.items()},
        }
        if STATUS in frame:
            reasons[STATUS] = Status(int(frame[STATUS].to_numpy().item())).name.lower()
        try:
            with self._swept_lease() as lease:
                is_new = not _is_kept(entry)
                if is_new or _limits(entry) != reasons.get(LIMITS, ""):
                    if release := _content(entry).get(RELEASED):
                        reasons[RELEASED] = release
                    self._write(lease, entry, reasons, frame if is_new else None)
        except StorageError as error:
            raise type(error)(
                f"Expected to keep the rejected field of {reasons['time']} in {entry}, but the "
                f"storage refused: {error}"
            ) from error
        return is_new

    def record_release(self, entry: QuarantineEntry, release: Release) -> None:
        """Note in an entry who vouched for its field; an earlier note stays.

        Raises:
            ArchiveError: if the entry cannot be read.
            ArchiveBusyError: if another process keeps writing here.
            StorageError: if the storage refuses the write.
        """
        note = {"at": format_time(release.at), "by": release.by, "why": release.why}
        with self._swept_lease() as lease:
            content = _content(entry.path)
            if not content:
                raise _unreadable(entry.path, "it was there a moment ago")
            if RELEASED not in content:
                self._write(lease, entry.path, {**content, RELEASED: note}, None)

    def discard(self, entry: QuarantineEntry) -> None:
        """Remove an entry; it is gone as a whole or not at all.

        From a bucket nothing is ever deleted: there it is blanked, and counts as gone.

        Raises:
            ArchiveBusyError: if another process keeps writing here.
            StorageError: if the storage refuses.
        """
        with self._swept_lease() as lease, storage_errors(str(entry.path)):
            if isinstance(entry.path, S3Path):
                lease.replace(entry.path / REASONS_FILE, BLANK)
                return
            aside = entry.path.with_name(_partial(entry.path))
            with lease.change():
                entry.path.rename(aside)
                flush(entry.path.parent)
            shutil.rmtree(aside)

    def held(self, limits: str) -> dict[Instant, frozenset[str]]:
        """The digests rejected by ``limits`` for each time, cut to :data:`DIGEST_LENGTH` digits.

        Those of times with a released field are left out: its coming changes the verdict.
        """
        released = self.released()
        found: dict[Instant, set[str]] = {}
        for path in self._folders():
            time, digest = _time_and_digest(path)
            if _limits(path) == limits and time not in released:
                found.setdefault(time, set()).add(digest)
        return {time: frozenset(digests) for time, digests in found.items()}

    def released(self) -> dict[Instant, frozenset[str]]:
        """The released digests of each time, cut to :data:`DIGEST_LENGTH` digits."""
        found: dict[Instant, set[str]] = {}
        for path in self._folders():
            if _content(path).get(RELEASED):
                time, digest = _time_and_digest(path)
                found.setdefault(time, set()).add(digest)
        return {time: frozenset(digests) for time, digests in found.items()}

    def entries(self, period: Period | None = None) -> list[QuarantineEntry]:
        """Everything kept (of a period), by time.

        Raises:
            ArchiveError: if an entry cannot be read.
        """
        folders = self._folders()
        if period is not None:
            folders = [path for path in folders if _is_within(period, _time_and_digest(path)[0])]
        return [_read(path) for path in folders]

    def find(self, name: str) -> QuarantineEntry:
        """The entry of that name, that begins with it, or of that time.

        Raises:
            ArchiveNotFoundError: if there is none.
            ArchiveError: if there are several, or it cannot be read.
        """
        stamp = name.replace("-", "", 2).replace(":", "") if "T" in name else name
        found = [
            path
            for path in self._folders()
            if name and (path.name.startswith(name) or path.name.startswith(stamp))
        ]
        if len(found) == 1:
            return _read(found[0])
        if not found:
            raise ArchiveNotFoundError(
                f"Expected an entry {name!r} in {self.folder}, found none among "
                f"{len(self._folders())}; `lsntp quarantine list` names them."
            )
        names = ", ".join(path.name for path in found[:4])
        raise ArchiveError(
            f"Expected one entry {name!r} in {self.folder}, found {len(found)}: {names}"
            f"{', ...' if len(found) > 4 else ''}; give more of its name."
        )

    @staticmethod
    def _write(
        lease: Lease, entry: Place, reasons: Mapping[str, Any], frame: xr.Dataset | None
    ) -> None:
        """Put a new entry, or new reasons into an old one; the reasons last."""
        text = (json.dumps(reasons, indent=2) + "\n").encode()
        # Encoded to bytes first, so that a full disk is an OSError, no netCDF one.
        field = None if frame is None else bytes(frame[[T2M]].to_netcdf(engine="scipy"))
        with storage_errors(str(entry)):
            if isinstance(entry, S3Path):
                if field is not None:
                    lease.replace(entry / FIELD_FILE, field)
                lease.replace(entry / REASONS_FILE, text)
                return
            partial = entry.with_name(_partial(entry))
            try:
                partial.mkdir(parents=True)
                write_through(partial / REASONS_FILE, text)
                if field is not None:
                    write_through(partial / FIELD_FILE, field)
                    flush(partial)
                with lease.change():
                    if field is not None:
                        partial.rename(entry)
                        flush(entry.parent)
                    else:
                        (partial / REASONS_FILE).rename(entry / REASONS_FILE)
                        flush(entry)
            finally:
                shutil.rmtree(partial, ignore_errors=True)

    @contextmanager
    def _swept_lease(self) -> Iterator[Lease]:
        """Hold the lease; the first time, remove what killed processes left half done."""
        with writer_lease(self.folder) as lease:
            if not self._is_swept and not isinstance(self.folder, S3Path):
                for stray in self.folder.glob(f".*{PARTIAL_SUFFIX}"):
                    shutil.rmtree(stray, ignore_errors=True)
                self._is_swept = True
            yield lease

    def _folders(self) -> list[Place]:
        if not isinstance(self.folder, S3Path):
            return matching(self.folder, ENTRIES)
        reasons = [file for file in self.folder.files() if file.name == REASONS_FILE]
        named = (file.parent for file in reasons if fnmatch.fnmatchcase(file.parent.name, ENTRIES))
        return [path for path in named if _is_kept(path)]


def _partial(entry: Place) -> str:
    return f".{entry.name}.{uuid.uuid4().hex}{PARTIAL_SUFFIX}"


def _is_kept(entry: Place) -> bool:
    """Whether an entry is there, as a whole and not discarded."""
    if not isinstance(entry, S3Path):
        return entry.exists()
    try:
        return (entry / REASONS_FILE).read_bytes() != BLANK
    except FileNotFoundError:
        return False


def _time_and_digest(path: Place) -> tuple[Instant, str]:
    stamp, digest = path.name.split("-", 1)
    return parse_time(stamp), digest


def _is_within(period: Period, time: Instant) -> bool:
    return bool(period.start <= time < period.end)


def _content(entry: Place) -> dict[str, Any]:
    """What the reasons of an entry say; empty where they cannot be read."""
    try:
        content = json.loads((entry / REASONS_FILE).read_text("utf-8"))
    except LsntpError:
        raise
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _limits(entry: Place) -> str:
    """The limits an entry was judged by; empty where it does not tell."""
    return str(_content(entry).get(LIMITS, ""))


def _read(path: Place) -> QuarantineEntry:
    try:
        content = json.loads((path / REASONS_FILE).read_text("utf-8"))
        release = content.get(RELEASED)
        return QuarantineEntry(
            path,
            Rejection(parse_time(content[TIME]), tuple(content["reasons"])),
            content[SOURCE_DIGEST],
            limits=str(content.get(LIMITS, "")),
            status=Status[str(content.get(STATUS, "preliminary")).upper()],
            release=Release(parse_time(release["at"]), str(release["by"]), str(release["why"]))
            if release
            else None,
        )
    except LsntpError:
        raise
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise _unreadable(path, str(error)) from error


def _unreadable(path: Place, found: str) -> ArchiveError:
    return ArchiveError(
        f"Expected {REASONS_FILE} with time, {SOURCE_DIGEST} and reasons in {path}: {found}. "
        "Move the folder away; the field is fetched and checked again by the next ingest."
    )
