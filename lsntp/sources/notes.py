"""Which version of a remote file a local one is: a small note beside it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lsntp.durable import replace_file

NOTE_SUFFIX = ".json"

_LONGEST = 1_000_000


@dataclass(frozen=True)
class Version:
    """What a server calls one version of a file."""

    etag: str | None = None
    last_modified: str | None = None

    @property
    def is_known(self) -> bool:
        """Whether the server named it at all."""
        return self.etag is not None or self.last_modified is not None

    @property
    def strong(self) -> str | None:
        """The validator that vouches for every byte, which is what a resume needs."""
        if self.etag is not None:
            return None if self.etag.startswith("W/") else self.etag
        return self.last_modified


def write_note(path: Path, note: Mapping[str, Any]) -> None:
    """Put a note in one step; see :func:`lsntp.durable.replace_file`."""
    replace_file(path, json.dumps(note, indent=1).encode())


def read_note(path: Path) -> dict[str, Any]:
    """The note at ``path``; empty where there is none or it is damaged."""
    try:
        with path.open("rb") as file:
            note = json.loads(file.read(_LONGEST))
    except (OSError, ValueError):
        return {}
    return note if isinstance(note, dict) else {}


def version_in(note: Mapping[str, Any]) -> Version:
    """The version that a note names."""
    named = {key: note.get(key) for key in ("etag", "last_modified")}
    return Version(**{key: value for key, value in named.items() if isinstance(value, str)})
