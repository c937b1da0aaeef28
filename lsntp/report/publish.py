"""Publishing: what a reader opens is the old report or the new one, never a mixture.

``reports/<domain>`` is a link to a folder of pages below ``reports/.versions``. A new report is
written to a folder of its own; then one rename points the link to it. A process killed before
leaves the old report, and strays that the next one sweeps. Only where a plain folder has to make
way for the link is there a moment without either; killed there, the next one puts it back first.
"""

import contextlib
import os
import shutil
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path

from lsntp.durable import flush, replace_file, write_through
from lsntp.errors import StorageError

VERSIONS = ".versions"
"""Folder of page folders, beside the links to them."""


def publish_pages(pages: Mapping[str, str], folder: Path) -> Path:
    """Put pages in the place of those in ``folder``, all at once.

    One writer at a time. The pages that were there stay on disk until the next report, for
    readers that are in the middle of them.

    Args:
        pages: content by file name.
        folder: becomes a link. A plain folder of that name, as a copy of an archive root holds
            it, is moved away first.

    Returns:
        ``folder``.

    Raises:
        StorageError: if the storage refuses; what was there stays.
    """
    versions = folder.parent / VERSIONS
    new = versions / f"{folder.name}.{uuid.uuid4().hex[:8]}"
    with _storage_errors(folder):
        if not folder.exists():
            for before in versions.glob(f"{folder.name}.*.before"):
                before.rename(folder)
        old = versions / folder.resolve().name
        try:
            new.mkdir(parents=True)
            for name, content in pages.items():
                write_through(new / name, content.encode())
            flush(new)
            _point(folder, new)
            flush(folder.parent)
        except OSError:
            shutil.rmtree(new, ignore_errors=True)
            raise
        for stray in set(versions.glob(f"{folder.name}.*")) - {new, old}:
            _remove(stray)
    return folder


def publish(page: str, path: Path) -> Path:
    """Put one page at ``path`` in one step. One writer at a time.

    Raises:
        StorageError: if the storage refuses; what was there stays.
    """
    with _storage_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_file(path, page.encode())
    return path


def _point(folder: Path, target: Path) -> None:
    """Make ``folder`` a link to ``target`` by one rename."""
    link, before = (target.with_name(f"{target.name}.{what}") for what in ("link", "before"))
    link.symlink_to(os.path.relpath(target, folder.parent))
    try:
        if folder.is_dir() and not folder.is_symlink():
            folder.rename(before)
        link.replace(folder)
    except OSError:
        link.unlink(missing_ok=True)
        if before.exists():
            before.rename(folder)
        raise


def _remove(stray: Path) -> None:
    if stray.is_symlink():  # of a writer killed before its rename
        with contextlib.suppress(OSError):
            stray.unlink()
    else:
        shutil.rmtree(stray, ignore_errors=True)


@contextlib.contextmanager
def _storage_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StorageError(
            f"Expected to write the report {path}: {error}. Free space or fix permissions, then "
            "run `lsntp report` again."
        ) from error
