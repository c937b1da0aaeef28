"""The objects of a Zarr archive in a bucket, as a store of Zarr.

Reading takes one request a chunk, and no listing. A set is one PUT, so it is atomic. Nothing is
ever deleted: a writer needs no right to, and :class:`~lsntp.archives.staging.Staging` puts blank
chunks instead.
"""

import asyncio
import builtins
from collections.abc import AsyncIterator, Iterable

from zarr.abc.store import (
    ByteRequest,
    OffsetByteRequest,
    RangeByteRequest,
    Store,
    SuffixByteRequest,
)
from zarr.core.buffer import Buffer, BufferPrototype

from lsntp import object_store
from lsntp.places import S3Path


class S3Store(Store):
    """The objects below ``path``. Errors are those of :mod:`lsntp.object_store`.

    ``set`` puts without a condition: fit for objects that are the same whoever puts them. What
    may change is written through :meth:`lsntp.archives.s3_lease.S3Lease.store`.
    """

    supports_writes = True
    supports_deletes = False
    supports_listing = True

    def __init__(self, path: S3Path, *, read_only: bool = False) -> None:
        super().__init__(read_only=read_only)
        self.path = path

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and other.path == self.path

    __hash__ = None  # type: ignore[assignment]

    def __str__(self) -> str:
        return str(self.path)

    def with_read_only(self, read_only: bool = False) -> "S3Store":
        """The same objects, to be written or not."""
        return S3Store(self.path, read_only=read_only)

    async def get(
        self, key: str, prototype: BufferPrototype, byte_range: ByteRequest | None = None
    ) -> Buffer | None:
        """An object, or some of its bytes; None if there is none."""
        found = await self._read(key, _span(byte_range))
        return None if found is None else prototype.buffer.from_bytes(found.content)

    async def _read(self, key: str, span: str | None = None) -> object_store.Stored | None:
        try:
            return await object_store.awaited(
                object_store.read(self.path.bucket, self._key(key), span)
            )
        except FileNotFoundError:
            return None

    async def get_partial_values(
        self, prototype: BufferPrototype, key_ranges: Iterable[tuple[str, ByteRequest | None]]
    ) -> builtins.list[Buffer | None]:
        """Several at once."""
        wanted = [self.get(key, prototype, span) for key, span in key_ranges]
        return builtins.list(await asyncio.gather(*wanted))

    async def exists(self, key: str) -> bool:
        """Whether there is such an object."""
        found = await object_store.awaited(object_store.head(self.path.bucket, self._key(key)))
        return found != object_store.ABSENT

    async def set(self, key: str, value: Buffer) -> None:
        """Put one object, in the place of whatever is there."""
        self._check_writable()
        content = value.to_bytes()
        await object_store.awaited(
            object_store.put(self.path.bucket, self._key(key), content, instead_of=None)
        )

    async def delete(self, key: str) -> None:
        """Refused."""
        raise NotImplementedError(f"Nothing is ever deleted from {self}, {key!r} neither.")

    async def delete_dir(self, prefix: str) -> None:
        """Nothing where nothing is; else refused."""
        async for key in self.list_prefix(prefix):
            await self.delete(key)

    async def list_prefix(self, prefix: str) -> AsyncIterator[str]:
        """The keys that begin with ``prefix``."""
        for key in await self._names(prefix, depth_one=False):
            yield key

    async def list_dir(self, prefix: str) -> AsyncIterator[str]:
        """What lies right below ``prefix``: keys, and beginnings of keys."""
        folder = prefix.rstrip("/") + "/" if prefix else ""
        for name in await self._names(folder, depth_one=True):
            yield name.removeprefix(folder).rstrip("/")

    def list(self) -> AsyncIterator[str]:
        """All keys."""
        return self.list_prefix("")

    async def _names(self, prefix: str, *, depth_one: bool) -> builtins.list[str]:
        async def listed() -> builtins.list[str]:
            found = object_store.names(
                self.path.bucket, self.path.prefix + prefix, depth_one=depth_one
            )
            return [name.removeprefix(self.path.prefix) async for name in found]

        return await object_store.awaited(listed())

    def _key(self, key: str) -> str:
        return self.path.prefix + key


def _span(wanted: ByteRequest | None) -> str | None:
    """A byte range as the Range header has it."""
    match wanted:
        case None:
            return None
        case RangeByteRequest(start, end):
            return f"bytes={start}-{end - 1}"
        case OffsetByteRequest(offset):
            return f"bytes={offset}-"
        case SuffixByteRequest(suffix):
            return f"bytes=-{suffix}"
