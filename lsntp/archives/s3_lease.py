"""One writer per archive in a bucket: an object beside it that its holder keeps renewing.

``<name>.lease`` says who writes and is put under the condition that nobody else has put it
meanwhile. A holder who does not renew it for as long as it says has lost it: by the clock of the
server, so clocks of other machines do not matter. It is never deleted; a number in it grows with
every holder.

No lease can stop a writer who sleeps through its end and then wakes. So every object is put
under a condition too: in the place of the version that was read under the lease. Whoever lost
the lease is refused at the first object that the next holder has touched, and by its own watch
at any other.
"""

import json
import logging
import os
import socket
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Final, Self

from zarr.abc.store import ByteRequest, Store
from zarr.core.buffer import Buffer, BufferPrototype

from lsntp import object_store
from lsntp.archives.right import Lease
from lsntp.archives.s3_store import S3Store
from lsntp.errors import ArchiveBusyError, LsntpError
from lsntp.object_store import ABSENT, ChangedError
from lsntp.places import Place, S3Path

TERM_S: float = 30.0
"""How long a lease lasts that is not renewed; it is after a third of that."""
CLOCK_STEP_S: Final = 2.0
"""Times of the server come in whole seconds, and two of them make an age."""
POLL_S: Final = 0.25

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Holding:
    """What a lease object says.

    Attributes:
        holder: process and machine, in words.
        since: when it took the lease, by its own clock.
        token: of this holding; empty once it was given back.
        number: of holders so far.
        term_s: how long it lasts unless renewed.
        renewals: of this holding.
    """

    holder: str
    since: str
    token: str
    number: int
    term_s: float
    renewals: int = 0

    @classmethod
    def read(cls, content: bytes) -> Self:
        """What ``content`` says; nothing can be told from one that is damaged, so it holds."""
        try:
            found = json.loads(content)
            return cls(
                *(str(found["holder"]), str(found["since"]), str(found["token"])),
                *(int(found["number"]), float(found["term_s"])),
            )
        except (ValueError, KeyError, TypeError):
            return cls("another process", "an unknown time", "?", 0, TERM_S)

    def to_bytes(self) -> bytes:
        """The content of the object."""
        return json.dumps(self.__dict__, indent=1).encode() + b"\n"


@dataclass(frozen=True)
class Seen:
    """An object as it was first read, or last put, under a lease.

    Attributes:
        etag: of the version; :data:`~lsntp.object_store.ABSENT` where there was none.
        content: None where there was none, or nobody asked.
    """

    etag: str
    content: bytes | None


class S3Lease(Lease):
    """The lease of ``path``, held and renewed by a thread until it ends.

    Args:
        path: the archive.
        holding: as it was just put.
        etag: of the lease object then.
        asked_at: before it was put, by :func:`time.monotonic`.
    """

    path: S3Path

    def __init__(self, path: S3Path, holding: Holding, etag: str, asked_at: float) -> None:
        super().__init__(path)
        self.seen: dict[S3Path, Seen] = {}
        self._holding = holding
        self._etag = etag
        self._lasts_until = asked_at + holding.term_s
        self._is_lost = False
        self._stop = threading.Event()
        self._renewing = threading.Thread(target=self._renew, name=f"lease {path}", daemon=True)
        self._renewing.start()

    @property
    def is_held(self) -> bool:
        """Whether it goes on: renewed in time, and taken by nobody."""
        return not (self._is_over or self._is_lost) and time.monotonic() < self._lasts_until

    def check(self) -> None:
        """Refuse to go on without the lease; see :meth:`Lease.check`."""
        if not self.is_held:
            found = "it given back" if self._is_over else "it lost: not renewed in time, or taken"
            raise self.refusal(found)

    def refusal(self, found: str) -> ArchiveBusyError:
        """The error of a writer that must not go on."""
        return ArchiveBusyError(
            f"Expected to be the only writer of {self.path} by the lease {_object(self.path)}, "
            f"found {found}; nothing more was written. Wait for other writers to end, then run "
            "the same step again."
        )

    def store(self) -> Store:
        """The archive's objects, to be written under this lease only."""
        return FencedStore(self)

    def replace(self, file: Place, content: bytes) -> None:
        """Put one object under the lease; see :meth:`Lease.replace`."""
        assert isinstance(file, S3Path)  # noqa: S101
        object_store.run(self.put(file, content))

    async def put(self, file: S3Path, content: bytes) -> None:
        """Put one object in the place of the version seen under the lease. On the client's loop."""
        if file not in self.seen:
            self.seen[file] = Seen(await object_store.head(file.bucket, file.key), None)
        with self.change():  # checked after the look: what was seen was seen under the lease
            try:
                etag = await object_store.put(
                    file.bucket, file.key, content, instead_of=self.seen[file].etag
                )
            except ChangedError:
                self._is_lost = True
                raise self.refusal(f"{file} changed by another writer") from None
        self.seen[file] = Seen(etag, content)

    def end(self) -> None:
        """Let no change begin any more, wait for those under way, and give the lease back."""
        goes_on = self.is_held
        super().end()
        self._stop.set()
        self._renewing.join()
        if goes_on and not self._is_lost:
            try:
                self._put(replace(self._holding, token=""))
            except (ChangedError, LsntpError) as error:
                _log.warning(
                    "The lease of %s could not be given back (%s); it ends by itself after %g s.",
                    *(self.path, error, self._holding.term_s),
                )

    def _renew(self) -> None:
        while not self._stop.wait(self._holding.term_s / 3):
            asked_at = time.monotonic()
            try:
                self._put(replace(self._holding, renewals=self._holding.renewals + 1))
            except ChangedError:
                self._is_lost = True
                return
            except LsntpError as error:
                _log.warning("The lease of %s was not renewed: %s", self.path, error)
            else:
                self._lasts_until = asked_at + self._holding.term_s

    def _put(self, holding: Holding) -> None:
        place = _object(self.path)
        content = holding.to_bytes()
        put = object_store.put(place.bucket, place.key, content, instead_of=self._etag)
        self._etag = object_store.run(put)
        self._holding = holding


class FencedStore(S3Store):
    """The objects of an archive under a lease: each is put in the place of what was read."""

    def __init__(self, lease: S3Lease) -> None:
        super().__init__(lease.path)
        self._lease = lease

    async def get(
        self, key: str, prototype: BufferPrototype, byte_range: ByteRequest | None = None
    ) -> Buffer | None:
        """An object; asked for once: under the lease nobody else changes it."""
        if byte_range is not None:
            return await super().get(key, prototype, byte_range)
        file = self.path / key
        if file not in self._lease.seen:
            found = await self._read(key)
            seen = Seen(found.etag, found.content) if found else Seen(ABSENT, None)
            self._lease.seen.setdefault(file, seen)
        content = self._lease.seen[file].content
        return None if content is None else prototype.buffer.from_bytes(content)

    async def set(self, key: str, value: Buffer) -> None:
        """Put one object, under the lease."""
        await object_store.awaited(self._lease.put(self.path / key, value.to_bytes()))

    def with_read_only(self, read_only: bool = False) -> S3Store:
        """The same objects without the lease, to be read only."""
        return S3Store(self.path, read_only=True) if read_only else self


@contextmanager
def s3_lease(path: S3Path, *, timeout_s: float) -> Iterator[S3Lease]:
    """Hold the only right to write the archive at ``path``.

    Raises:
        ArchiveBusyError: if another writer holds it for longer than ``timeout_s``.
        CredentialsError: if the storage refuses these credentials.
        StorageUnavailableError: if it cannot be reached.
    """
    lease = _acquired(path, time.monotonic() + timeout_s, timeout_s)
    try:
        yield lease
    finally:
        lease.end()


def _acquired(path: S3Path, deadline: float, timeout_s: float) -> S3Lease:
    place, seen = _object(path), dict[str, float]()
    while True:
        present = _look(place)
        etag, held, age_s = present or (ABSENT, None, None)
        if held and held.token:
            unchanged_s = time.monotonic() - seen.setdefault(etag, time.monotonic())
            age_s = max(unchanged_s, -CLOCK_STEP_S if age_s is None else age_s)
            if age_s < held.term_s + CLOCK_STEP_S:
                if time.monotonic() > deadline:
                    raise ArchiveBusyError(
                        f"Expected to be the only writer of {path}, found {held.holder} (since "
                        f"{held.since}) at work for longer than {timeout_s:g} s; wait for it to "
                        f"end, or stop it, and run again {held.term_s:g} s later."
                    )
                time.sleep(POLL_S)
                continue
            _log.warning("%s: %s did not end its lease; taking it over.", path, held.holder)
        mine = _new_holding(1 + (held.number if held else 0))
        asked_at = time.monotonic()
        try:
            put = object_store.put(place.bucket, place.key, mine.to_bytes(), instead_of=etag)
            return S3Lease(path, mine, object_store.run(put), asked_at)
        except ChangedError:
            continue  # another writer was faster


def is_leased(path: S3Path) -> bool:
    """Whether a writer holds the lease of the archive now."""
    present = _look(_object(path))
    if present is None:
        return False
    _, held, age_s = present
    return bool(held.token) and (age_s is None or age_s < held.term_s + CLOCK_STEP_S)


def _look(place: S3Path) -> tuple[str, Holding, float | None] | None:
    """ETag, content and age of a lease object, if there is one."""
    try:
        found = object_store.run(object_store.read(place.bucket, place.key))
    except FileNotFoundError:
        return None
    return found.etag, Holding.read(found.content), found.age_s


def _new_holding(number: int) -> Holding:
    since = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    holder = f"process {os.getpid()} on {socket.gethostname()}"
    return Holding(holder, since, uuid.uuid4().hex, number, TERM_S)


def _object(path: S3Path) -> S3Path:
    return path.with_name(f"{path.name}.lease")
