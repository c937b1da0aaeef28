"""Where things are: a folder of this machine, or a prefix of an S3 bucket."""

import fnmatch
import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Final

from lsntp import object_store

SCHEME: Final = "s3://"
_BUCKET: Final = r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]"
_KEY: Final = r"[A-Za-z0-9!_.*'()=-]+"
_URL: Final = re.compile(rf"s3://{_BUCKET}(/{_KEY})*/?")


class S3Path(PurePosixPath):
    """``s3://bucket/key``, with the part of :class:`pathlib.Path` that object storage can do.

    A prefix counts as a folder once an object is below it. Every look asks the storage anew.
    Methods raise CredentialsError, StorageUnavailableError and StorageError besides what those
    of Path do; see :mod:`lsntp.object_store`.
    """

    def __str__(self) -> str:
        plain = super().__str__()
        return plain.replace("s3:/", SCHEME, 1) if self.parts[:1] == ("s3:",) else plain

    @property
    def bucket(self) -> str:
        """The bucket's name."""
        return self.parts[1]

    @property
    def key(self) -> str:
        """The key, or the prefix without its last slash; empty for the bucket itself."""
        return "/".join(self.parts[2:])

    @property
    def prefix(self) -> str:
        """Of the keys below this place."""
        return f"{self.key}/" if self.key else ""

    def exists(self) -> bool:
        """Whether there is such an object, or one below it."""
        return self.is_file() or self.is_dir()

    def is_file(self) -> bool:
        """Whether there is such an object."""
        if not self.key:
            return False
        return object_store.run(object_store.head(self.bucket, self.key)) != object_store.ABSENT

    def is_dir(self) -> bool:
        """Whether there is an object below this prefix."""
        return object_store.run(object_store.has_any(self.bucket, self.prefix))

    def iterdir(self) -> Iterator["S3Path"]:
        """Objects and prefixes right below, in order; none where there are none."""

        async def listed() -> list[str]:
            found = object_store.names(self.bucket, self.prefix, depth_one=True)
            return [name async for name in found]

        for name in object_store.run(listed()):
            yield self / name.rstrip("/").rsplit("/", 1)[-1]

    def glob(self, pattern: str) -> Iterator["S3Path"]:
        """What matches a pattern, one level a part of it."""
        first, _, rest = pattern.partition("/")
        if not re.search(r"[*?\[]", first):
            found = [self / first] if rest or (self / first).exists() else []
        else:
            found = [path for path in self.iterdir() if fnmatch.fnmatchcase(path.name, first)]
        for path in found:
            yield from path.glob(rest) if rest else (path,)

    def files(self) -> list["S3Path"]:
        """Every object below this prefix, in order; one request a thousand."""

        async def listed() -> list[str]:
            return [name async for name in object_store.names(self.bucket, self.prefix)]

        return [self / name.removeprefix(self.prefix) for name in object_store.run(listed())]

    def read_bytes(self) -> bytes:
        """The object.

        Raises:
            FileNotFoundError: if there is none.
        """
        return object_store.run(object_store.read(self.bucket, self.key)).content

    def read_text(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        """The object as text; raises as :meth:`read_bytes`."""
        return self.read_bytes().decode(encoding, errors)

    def mkdir(self, *, parents: bool = False, exist_ok: bool = False) -> None:
        """Nothing: a prefix is there as soon as an object is."""


Place = Path | S3Path
"""A folder or file of this machine, or the same in a bucket."""


def matching(folder: Place, pattern: str) -> list[Place]:
    """What matches a pattern below a folder, in order; nothing where there is no folder."""
    return sorted(folder.glob(pattern))


def place_of(text: str) -> Place:
    """The place that ``s3://bucket/prefix``, or the path of a local folder, names."""
    if text.startswith(SCHEME):
        return S3Path(text)
    return Path(text).expanduser().resolve()


def is_place(text: str) -> bool:
    """Whether ``text`` names a local folder, or a bucket with a prefix of safe characters."""
    if "://" not in text:
        return True
    parts = text.removeprefix(SCHEME).split("/")
    return bool(_URL.fullmatch(text)) and not {".", ".."} & {*parts}
