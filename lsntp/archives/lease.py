"""One writer per archive: a locked file beside it, released by the system when a process dies.

The lock is only as good as its file: a work folder that is cleaned or restored under a writer
takes the file away, and the next writer locks another one. So the right to write is looked at
again before every object (:class:`LeasedStore`), not only at the start.
"""

import fcntl
import json
import os
import socket
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from filelock import FileLock, Timeout
from zarr.abc.store import Store
from zarr.core.buffer import Buffer
from zarr.storage import WrapperStore

from lsntp.archives.right import Lease
from lsntp.archives.s3_lease import is_leased, s3_lease
from lsntp.archives.staging import storage_errors
from lsntp.archives.stores import open_store, sweep
from lsntp.durable import replace_file
from lsntp.errors import ArchiveBusyError
from lsntp.places import Place, S3Path

DEFAULT_TIMEOUT_S = 10.0


class FileLease(Lease):
    """The only right to write the archive at ``path``, for as long as its lock file is ours.

    Args:
        path: the archive.
        lock: the file that was locked for it just now.
    """

    path: Path

    def __init__(self, path: Path, lock: Path) -> None:
        super().__init__(path)
        self._lock = lock
        self._identity = _identity(lock)

    @property
    def is_held(self) -> bool:
        """Whether it goes on, and the locked file is still the one that others have to lock."""
        is_ours = self._identity is not None and _identity(self._lock) == self._identity
        return is_ours and not self._is_over

    def check(self) -> None:
        """Refuse to go on without the lease.

        Raises:
            ArchiveBusyError: if the lock file was removed or replaced, or the lease has ended.
        """
        if not self.is_held:
            found = "another file in its place" if self._lock.exists() else "no such file any more"
            if self._is_over:
                found = "it given back"
            raise ArchiveBusyError(
                f"Expected to be the only writer of {self.path} by the lock on {self._lock}, found "
                f"{found}; nothing more was written. Leave the lock files alone while a writer is "
                "at work, wait for other writers to end, then run the same step again."
            )

    def store(self) -> Store:
        """The archive's objects, to be written under this lease only."""
        return LeasedStore(open_store(self.path), self)

    def replace(self, file: Place, content: bytes) -> None:
        """Put one file under the lease; see :meth:`Lease.replace`."""
        with self.change():
            replace_file(Path(file), content)


class LeasedStore(WrapperStore[Store]):
    """A store whose every put and delete is refused once the lease is lost.

    A look precedes each put, and no lock can close the moment between the two; conditional puts
    can, see :class:`lsntp.archives.s3_lease.FencedStore`.
    """

    def __init__(self, store: Store, lease: Lease) -> None:
        super().__init__(store)
        self._lease = lease

    async def set(self, key: str, value: Buffer) -> None:
        """Put one object, under the lease."""
        with self._lease.change():
            await super().set(key, value)

    async def delete(self, key: str) -> None:
        """Delete one object, under the lease."""
        with self._lease.change():
            await super().delete(key)

    async def delete_dir(self, prefix: str) -> None:
        """Delete the objects below a prefix, under the lease."""
        with self._lease.change():
            await super().delete_dir(prefix)

    def __str__(self) -> str:
        return str(self._store)


@contextmanager
def writer_lease(path: Place, *, timeout_s: float = DEFAULT_TIMEOUT_S) -> Iterator[Lease]:
    """Hold the only right to write the archive at ``path``.

    In a bucket an object beside it tells who writes; see :mod:`lsntp.archives.s3_lease`.

    Raises:
        ArchiveBusyError: if another writer holds it for longer than ``timeout_s``.
        StorageError: if the folder is not writable.
    """
    held: AbstractContextManager[Lease] = (
        s3_lease(path, timeout_s=timeout_s)
        if isinstance(path, S3Path)
        else _file_lease(path, timeout_s=timeout_s)
    )
    with held as lease:
        yield lease


@contextmanager
def _file_lease(path: Path, *, timeout_s: float) -> Iterator[FileLease]:
    """Hold the lock beside an archive on disk.

    Two files beside the archive: ``<name>.lock`` is locked, ``<name>.writer`` says who holds
    it. A process that dies loses the lock but leaves the note, which makes the next writer
    sweep up the partial objects left behind.

    Raises:
        ArchiveBusyError: if another writer holds it for longer than ``timeout_s``.
        StorageError: if the folder is not writable.
    """
    lock = FileLock(_lock_file(path), timeout=timeout_s)
    note = path.with_name(f"{path.name}.writer")
    with storage_errors(str(path.parent)):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire(poll_interval=min(0.05, max(timeout_s, 0.001)))
        except Timeout as error:
            raise ArchiveBusyError(
                f"Expected to be the only writer of {path}, found {_describe(note)} at work for "
                f"longer than {timeout_s:g} s; wait for it to end, or stop it, and run again."
            ) from error
    try:
        lease = FileLease(path, _lock_file(path))
        with storage_errors(str(note)):
            if note.exists() and path.exists():
                sweep(open_store(path))
            note.write_text(json.dumps(_owner()), "utf-8")
        try:
            yield lease
            if lease.is_held:
                with storage_errors(str(note)):
                    note.unlink(missing_ok=True)
        finally:
            lease.end()
    finally:
        lock.release()


def is_being_written(path: Place) -> bool:
    """Whether a writer holds the lease of the archive now; changes nothing."""
    if isinstance(path, S3Path):
        return is_leased(path)
    try:
        with _lock_file(path).open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def _lock_file(path: Path) -> Path:
    return path.with_name(f"{path.name}.lock")


def _identity(file: Path) -> tuple[int, int] | None:
    """What stays the same while a file is not replaced; None where there is none."""
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _owner() -> dict[str, str | int]:
    since = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    return {"pid": os.getpid(), "host": socket.gethostname(), "since": since}


def _describe(note: Path) -> str:
    """The holder in words; the note is advice only and may be absent or half written."""
    try:
        owner = json.loads(note.read_text("utf-8"))
        return f"process {owner['pid']} on {owner['host']} (since {owner['since']})"
    except (OSError, ValueError, KeyError, TypeError):
        return "another process"
