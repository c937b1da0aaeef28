"""Files that are whole or absent, whenever the process or the machine stops."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil  # type: ignore[import-untyped]


def write_through(path: Path, content: bytes | memoryview) -> None:
    """Write and flush to the device, so that a rename never outlives its content."""
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def replace_file(path: Path, content: bytes | memoryview) -> None:
    """Put a file in one step: written aside as ``<name>.partial``, then renamed.

    Raises:
        OSError: if the storage refuses; the file that was there before is unchanged.
    """
    aside = path.with_name(f"{path.name}.partial")
    try:
        write_through(aside, content)
        aside.replace(path)
    except OSError:
        aside.unlink(missing_ok=True)
        raise
    flush(path.parent)


@contextmanager
def written_aside(path: Path) -> Iterator[Path]:
    """A file name to write to, beside ``path`` and the process's own.

    What is there becomes ``path`` in one step if all goes well, and is removed if not; what
    processes left that were killed before is removed, too.

    Raises:
        OSError: if the storage refuses; the file that was there before is unchanged.
    """
    for stray in path.parent.glob(f".{path.name}.*.partial"):
        number = stray.name.split(".")[-2]
        if number.isdigit() and not psutil.pid_exists(int(number)):
            stray.unlink(missing_ok=True)
    aside = path.with_name(f".{path.name}.{os.getpid()}.partial")
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
