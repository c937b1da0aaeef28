"""Files that are whole or absent, whenever the process or the machine stops."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from glob import escape
from pathlib import Path

from lsntp.aside import aside_of, sweep_asides


def write_through(path: Path, content: bytes | memoryview) -> None:
    """Write and flush to the device, so that a rename never outlives its content."""
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def replace_file(path: Path, content: bytes | memoryview) -> None:
    """Put a file in one step: written aside as ``<name>.partial``, then renamed.

    One writer at a time; see :func:`written_aside` for any number of them.

    Raises:
        OSError: if the storage refuses; the file that was there before is unchanged.
    """
    aside = path.with_name(f"{path.name}.partial")
    try:
        write_through(aside, content)
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)
    flush(path.parent)


@contextmanager
def written_aside(path: Path) -> Iterator[Path]:
    """A name beside ``path``, this process's own, to write a file to.

    It becomes ``path`` in one step if all goes well, and is removed if not. What killed processes
    left of the same file is removed first.

    Raises:
        OSError: if the storage refuses; the file that was there before is unchanged.
    """
    sweep_asides(path.parent, escape(path.name))
    aside = aside_of(path)
    try:
        yield aside
        flush(aside)
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)
    flush(path.parent)


def flush(path: Path) -> None:
    """Make the content of a file, or the renames in a folder, survive a power cut.

    Raises:
        OSError: if the storage refuses.
    """
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
