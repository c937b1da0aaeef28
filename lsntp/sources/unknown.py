"""What a file of no format we read looks like, and what its owner should do about it."""

import re

HEAD_BYTES = 512
"""Enough to know any format below; a tar names itself at byte 257."""

_PACKED = {
    b"\x1f\x8b": ("gzip", "gunzip"),
    b"BZh": ("bzip2", "bunzip2"),
    b"\xfd7zXZ\x00": ("xz", "unxz"),
    b"\x28\xb5\x2f\xfd": ("zstd", "unzstd"),
}
_TAR = slice(257, 262)
_INVENTORY = re.compile(rb"\d+(\.\d+)?:\d+:d=\d{10}:")
_HTML = (b"<!doctype html", b"<html")
_SHORT = 16
_LONGEST_LINE = 60
_FETCH = "fetch the file again or narrow source.paths"


def is_other_format(head: bytes) -> bool:
    """Whether the first bytes are surely no data, whatever words they contain.

    A gzip file carries the name of the packed one, and an error page may speak of GRIB.
    """
    return head.startswith(tuple(_PACKED)) or head.lstrip().lower().startswith(_HTML)


def describe(head: bytes) -> str:
    """``what was found; what to do`` for the first bytes (at most :data:`HEAD_BYTES`) of a file."""
    if not head:
        return f"an empty file; {_FETCH}"
    for magic, (name, command) in _PACKED.items():
        if head.startswith(magic):
            return f"a file compressed with {name}; unpack it first ({command})"
    if head[_TAR] == b"ustar":
        return "a tar archive; unpack it first (tar xf)"
    if head.lstrip().lower().startswith(_HTML):
        return f"an HTML page, usually the error message of a download; {_FETCH}"
    if _INVENTORY.match(head):
        return (
            "the text inventory (.idx) of a GRIB file, which holds no fields; point source.paths "
            "at the GRIB file it describes"
        )
    if len(head) < _SHORT:
        return f"only {len(head)} bytes ({head!r}), as of a file cut short; {_FETCH}"
    if line := _first_line(head):
        return f"text that begins with {line!r}; {_FETCH}"
    return f"bytes that begin with {head[:_SHORT]!r}; {_FETCH}"


def _first_line(head: bytes) -> str | None:
    """The first line of a text, cut to what fits a message; None for anything else."""
    text = head.decode("utf-8", "replace").rstrip("\ufffd").strip()
    if "\ufffd" in text or not all(c.isprintable() or c.isspace() for c in text):
        return None
    return text.partition("\n")[0].strip()[:_LONGEST_LINE] or None
