"""Checkpoints of one fit: numbered files, the last two good ones kept.

A file is named ``<number>-<first 16 hexadecimal digits of its SHA-256>.ckpt`` and appears
by a rename, so it is whole or absent, and damage done later is found by its name. Its content
is read by :func:`torch.load` with ``weights_only=True``, which builds tensors, numbers, text
and containers and runs no code of the file.
"""

import hashlib
import io
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from lsntp.archives.staging import storage_errors
from lsntp.durable import replace_file
from lsntp.errors import ModelError
from lsntp.training.unfinished import CHECKPOINT_PATTERN

LAYOUT_VERSION = 1
"""Part of every checkpoint: raise it when their content changes; older ones are then skipped."""
KEPT = 2
DIGEST_LENGTH = 16

_log = logging.getLogger(__name__)


class Checkpoints:
    """The checkpoints in one folder, written by one process at a time.

    Args:
        folder: made when the first one is saved.
        identity: says what the fit depends on; checkpoints of another one are not used.
    """

    def __init__(self, folder: Path, identity: str) -> None:
        self.folder = folder
        self.identity = identity
        self._good: list[Path] = []

    def save(self, content: Mapping[str, Any]) -> Path:
        """Store ``content`` as the newest checkpoint; all but the last two good ones go.

        Args:
            content: tensors, numbers, text, lists, tuples and mappings of them.

        Raises:
            StorageError: if the storage refuses; the good ones before it stay.
        """
        buffer = io.BytesIO()
        torch.save(
            {"layout": LAYOUT_VERSION, "identity": self.identity, "content": dict(content)}, buffer
        )
        with buffer.getbuffer() as data, storage_errors(str(self.folder)):
            number = 1 + max(map(_number, self.folder.glob(CHECKPOINT_PATTERN)), default=0)
            path = self.folder / f"{number:08d}-{_digest(data)}.ckpt"
            self.folder.mkdir(parents=True, exist_ok=True)
            replace_file(path, data)
            self._good = [*self._good, path][-KEPT:]
            for other in set(self.folder.glob(CHECKPOINT_PATTERN)) - set(self._good):
                other.unlink(missing_ok=True)
        return path

    def load(self) -> dict[str, Any] | None:
        """The content of the newest good checkpoint; None if there is none.

        Every one that is skipped is named in a warning, with the reason. What a process killed
        while saving left is removed.
        """
        with storage_errors(str(self.folder)):
            for leftover in self.folder.glob("*.partial"):
                leftover.unlink(missing_ok=True)
        found = sorted(self.folder.glob(CHECKPOINT_PATTERN), key=_number, reverse=True)
        for path in found:
            try:
                content = self._read(path)
            except ModelError as error:
                _log.warning("Skipped checkpoint %s: %s.", path, error)
                continue
            self._good = [path]
            return content
        if found:
            _log.warning("Start again: no good checkpoint is left in %s.", self.folder)
        return None

    def _read(self, path: Path) -> dict[str, Any]:
        """The content of one checkpoint.

        Raises:
            ModelError: with the reason why it is of no use.
        """
        try:
            data = path.read_bytes()
        except OSError as error:
            raise ModelError(f"it cannot be read ({error})") from error
        if _digest(data) != path.stem.partition("-")[2]:
            raise ModelError(
                f"its {len(data)} bytes have the SHA-256 {_digest(data)}…, not that of its name: "
                "it was cut short or changed"
            )
        try:
            stored = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
        except Exception as error:  # what is no torch file, or wants code to run, raises anything
            raise ModelError(f"it is no checkpoint of tensors and numbers ({error})") from error
        if not isinstance(stored, dict) or stored.get("layout") != LAYOUT_VERSION:
            raise ModelError(f"it has another layout than {LAYOUT_VERSION}, which this code reads")
        if stored.get("identity") != self.identity:
            raise ModelError("it belongs to a fit of other settings, data or network")
        content: dict[str, Any] = stored["content"]
        return content


def _digest(data: bytes | memoryview) -> str:
    return hashlib.sha256(data).hexdigest()[:DIGEST_LENGTH]


def _number(path: Path) -> int:
    number = path.stem.partition("-")[0]
    return int(number) if number.isdecimal() else 0
