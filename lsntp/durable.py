"""Files that are whole or absent, whenever the process or the machine stops."""

import os
from pathlib import Path


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
