"""Names for what is not finished, which tell whose it is: what a killed process left can go."""

import contextlib
import os
import shutil
import socket
import time
from pathlib import Path
from tempfile import TemporaryDirectory, gettempdir

import psutil  # type: ignore[import-untyped]

LEFTOVER_S = 24 * 3600.0
"""What another machine's process has not touched for so long is taken for left over."""


def aside_of(path: Path) -> Path:
    """Where this process makes what is to become ``path``: hidden, beside it."""
    return path.with_name(f".{path.name}{_owner()}")


def temporary_folder(place: Path | None = None) -> TemporaryDirectory[str]:
    """A folder for temporary files, gone with the context or by ``cleanup``.

    Args:
        place: where; by default where the system has them.

    Raises:
        OSError: if it cannot be made.
    """
    sweep_asides(place or Path(gettempdir()), "lsntp-*")
    return TemporaryDirectory(
        prefix=".lsntp-", suffix=_owner(), dir=place, ignore_cleanup_errors=True
    )


def sweep_asides(folder: Path, names: str) -> None:
    """Remove what killed processes left under names of :func:`aside_of`.

    What cannot be removed stays: nobody reads it.

    Args:
        folder: where.
        names: a pattern of what it was to become.
    """
    for stray in folder.glob(f".{names}.*.partial"):
        with contextlib.suppress(OSError):
            if not _is_left(stray):
                continue
            if stray.is_dir():
                shutil.rmtree(stray)
            else:
                stray.unlink()


def _owner() -> str:
    return f".{socket.gethostname()}.{os.getpid()}.partial"


def _is_left(stray: Path) -> bool:
    owner, _, number = stray.name.removesuffix(".partial").rpartition(".")
    if not number.isdigit():
        return False
    if owner.endswith(f".{socket.gethostname()}"):
        return not psutil.pid_exists(int(number))
    return time.time() - stray.stat().st_mtime > LEFTOVER_S
