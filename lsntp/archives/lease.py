"""One writer per archive: a locked file beside it, released by the system when a process dies."""

import json
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from lsntp.archives.staging import local_store, storage_errors, sweep
from lsntp.errors import ArchiveBusyError

DEFAULT_TIMEOUT_S = 10.0


@contextmanager
def writer_lease(path: Path, *, timeout_s: float = DEFAULT_TIMEOUT_S) -> Iterator[None]:
    """Hold the only right to write the archive at ``path``.

    Two files beside the archive: ``<name>.lock`` is locked, ``<name>.writer`` says who holds
    it. A process that dies loses the lock but leaves the note, which makes the next writer
    sweep up the partial objects left behind.

    Raises:
        ArchiveBusyError: if another writer holds it for longer than ``timeout_s``.
        StorageError: if the folder is not writable.
    """
    lock = FileLock(path.with_name(f"{path.name}.lock"), timeout=timeout_s)
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
        with storage_errors(str(note)):
            if note.exists() and path.exists():
                sweep(local_store(path))
            note.write_text(json.dumps(_owner()), "utf-8")
        yield
        with storage_errors(str(note)):
            note.unlink()
    finally:
        lock.release()


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
