"""The publishing rule: a write is staged in memory and becomes visible by one atomic object.

Ordinary Zarr appends change metadata before data and variables one by one, so a killed
writer or a concurrent reader meets a store that does not fit together. Here every touched
chunk is encoded aside first; then whole objects are put, each atomically, in this order:

1. chunks of fields, then chunks of one-dimensional arrays;
2. chunks of the *seals*, one array after the other: they tell which slots hold what;
3. metadata of each array;
4. the root metadata with its consolidated copy of the rest, the only truth about the extent.

A reader that opens before step 4 sees the old extent, after it the new one. Inside the
extent a slot's data is there before its seal is raised.

Works on any :class:`zarr.abc.store.Store` whose single ``set`` is atomic, such as
:class:`zarr.storage.LocalStore` (write aside, rename) and S3 (one PUT).
"""

import asyncio
import copy
import errno
import itertools
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from math import ceil
from typing import Any, Final, TypeVar

import numpy as np
import numpy.typing as npt
import zarr
from zarr.abc.store import Store
from zarr.codecs import BloscCodec, Crc32cCodec, ZstdCodec
from zarr.core.buffer import Buffer, default_buffer_prototype
from zarr.core.sync import collect_aiterator, sync
from zarr.storage import MemoryStore

from lsntp.archives.stores import open_store
from lsntp.errors import ArchiveError, ArchiveNotFoundError, LsntpError, StorageError
from lsntp.names import LATITUDE, LEAD_TIME, LONGITUDE
from lsntp.places import Place

Slots = slice | npt.NDArray[np.int64]
"""Positions along one axis: a slice with start and stop, or ascending indices."""

ROOT_KEY: Final = "zarr.json"
_CONCURRENT_PUTS: Final = 16
T = TypeVar("T")
_STRAY: Final = b""
"""In place of the content of a stored chunk that counts for nothing: no chunk is that short."""


@dataclass(frozen=True)
class ArraySpec:
    """One array of an archive as it is first created.

    Attributes:
        dtype: a numpy dtype name, or ``str`` for text of any length.
        fill_value: what a slot that was never written reads as.
    """

    name: str
    dims: tuple[str, ...]
    shape: tuple[int, ...]
    chunks: tuple[int, ...]
    dtype: str
    fill_value: float | str = 0
    attrs: Mapping[str, Any] = field(default_factory=dict)


def open_published(path: Place) -> zarr.Group:
    """The archive as it is published now, read-only.

    Raises:
        ArchiveNotFoundError: if nothing was ever published at ``path``.
        ArchiveError: if its root metadata is damaged or lost.
    """
    try:
        store = open_store(path, read_only=True)
        return zarr.open_group(store, mode="r", zarr_format=3, use_consolidated=True)
    except LsntpError:
        raise
    except FileNotFoundError as error:
        refuse_remains(path)
        raise ArchiveNotFoundError(
            f"Expected an archive at {path}, found none; write it first: `lsntp ingest` makes the "
            "analysis archive, `lsntp forecast` forecasts, `lsntp evaluate` the evaluation archive."
        ) from error
    except (OSError, ValueError, LookupError, TypeError, AttributeError, AssertionError) as error:
        raise _damaged_root(path, str(error)) from error


def refuse_remains(path: Place) -> None:
    """Refuse a place that is no archive any more, though it was one: it is not to start anew.

    The first publish puts metadata and the coordinates that never grow, nothing else; any other
    chunk belongs to an archive that lost its root.

    Raises:
        ArchiveError: if chunks or a root that cannot be read lie there.
    """
    if (path / ROOT_KEY).exists():
        raise _damaged_root(path, f"{ROOT_KEY} is no metadata of a group")
    for chunks in path.glob("*/c"):
        if chunks.parent.name not in (LATITUDE, LONGITUDE, LEAD_TIME):
            raise _damaged_root(path, f"{chunks}, but no {ROOT_KEY}")


def _damaged_root(path: Place, found: str) -> ArchiveError:
    return ArchiveError(
        f"Expected a readable archive at {path}, found: {found}; `lsntp repair` rebuilds "
        f"{ROOT_KEY} from the rest of the archive. Nothing was changed."
    )


class Staging:
    """A write to one archive: staged in memory, then committed.

    Use it under the archive's writer lease, once: changes made to the store by others
    between construction and :meth:`commit` would be overwritten.

    Args:
        store: where the archive lives or will live.
        seals: names of the arrays that tell which slots hold what; put after all other chunks,
            in this order.
        root: the root metadata to go by, where the published one is damaged.
    """

    def __init__(
        self,
        store: Store,
        *,
        seals: Sequence[str] = (),
        root: Mapping[str, Any] | None = None,
    ) -> None:
        self._store = store
        self._seals = tuple(seals)
        self._staged: dict[str, Buffer] = {}
        self._stored: dict[str, bytes | None] = {}
        self._memory = MemoryStore(self._staged)
        self._listing: tuple[str, ...] | None = None
        stored = _get(store, ROOT_KEY)
        self._is_new = stored is None and root is None
        document = copy.deepcopy(dict(root)) if root else _parsed(stored, store) if stored else {}
        self.attributes: dict[str, Any] = document.get("attributes", {})
        self._arrays: dict[str, dict[str, Any]] = document.get("consolidated_metadata", {}).get(
            "metadata", {}
        )
        for name in self._arrays:
            self._stage_metadata(name)

    @property
    def is_new(self) -> bool:
        """Whether nothing has been published at this place yet."""
        return self._is_new

    @property
    def names(self) -> tuple[str, ...]:
        """The arrays, those created in this transaction included."""
        return tuple(self._arrays)

    def document(self, name: str) -> dict[str, Any]:
        """The metadata of an array, as staged."""
        return self._arrays[name]

    def fill_value(self, name: str) -> Any:
        """What a slot of an array that was never written reads as."""
        return self._array(name).fill_value

    def size(self, dim: str) -> int:
        """The extent of a dimension, as staged.

        Raises:
            ArchiveError: if no array has the dimension.
        """
        for document in self._arrays.values():
            if dim in document["dimension_names"]:
                return int(document["shape"][document["dimension_names"].index(dim)])
        raise ArchiveError(f"Expected dimension {dim} in {self._store}, found none of that name.")

    def create(self, spec: ArraySpec, values: npt.ArrayLike | None = None) -> None:
        """Add an array, with ``values`` if given; does nothing when it exists.

        A dimension that other arrays have already has their extent.
        """
        if spec.name in self._arrays:
            return
        extents = {
            dim: size
            for document in self._arrays.values()
            for dim, size in zip(document["dimension_names"], document["shape"], strict=True)
        }
        sizes = zip(spec.dims, spec.shape, strict=True)
        shape = tuple(extents.get(dim, size) for dim, size in sizes)
        # Whatever a writer killed before its first publish left under this name is nobody's.
        self._drop(f"{spec.name}/c", is_chunk=False)
        zarr.create_array(
            MemoryStore(self._staged),
            name=spec.name,
            shape=shape,
            chunks=spec.chunks,
            dtype=spec.dtype,
            fill_value=spec.fill_value,
            compressors=(_compressor(spec.dtype), Crc32cCodec()),
            dimension_names=spec.dims,
            attributes=dict(spec.attrs),
        )
        self._arrays[spec.name] = json.loads(self._staged[f"{spec.name}/{ROOT_KEY}"].to_bytes())
        if values is not None:
            self.write(spec.name, tuple(slice(0, size) for size in spec.shape), values)

    def grow(self, dim: str, size: int) -> None:
        """Extend a dimension to at least ``size``; new slots hold the fill value.

        An extent never shrinks. Objects that a killed writer left beyond the published
        extent are removed: no reader ever saw them.
        """
        if size <= self.size(dim):
            return
        for name, document in self._arrays.items():
            if dim in document["dimension_names"]:
                self._grow_array(name, document["dimension_names"].index(dim), size)

    def read(self, name: str, selection: tuple[Slots, ...]) -> npt.NDArray[Any]:
        """The values of a region as staged."""
        self._load(name, selection)
        with decoding(str(self._store)):
            return np.asarray(self._array(name).oindex[selection])

    def write(self, name: str, selection: tuple[Slots, ...], values: npt.ArrayLike) -> None:
        """Stage the values of a region; slots around it are kept bit for bit."""
        self._load(name, selection)
        with decoding(str(self._store)):
            self._array(name).oindex[selection] = np.asarray(values)

    def rows(self, name: str, slots: npt.NDArray[np.int64]) -> npt.NDArray[Any]:
        """Whole rows at ascending positions of the first axis; the fill value beyond the extent."""
        array = self._array(name)
        rows = np.full((slots.size, *array.shape[1:]), array.fill_value, array.dtype)
        inside = slots < array.shape[0]
        if inside.any():
            rows[inside] = self.read(name, _whole_rows(array, slots[inside]))
        return rows

    def write_rows(self, name: str, slots: npt.NDArray[np.int64], values: npt.ArrayLike) -> None:
        """Stage whole rows at ascending positions of the first axis; one value may fill all."""
        if not slots.size:
            return
        array = self._array(name)
        shape = (slots.size, *array.shape[1:])
        self.write(name, _whole_rows(array, slots), np.broadcast_to(values, shape))

    def forget(self, keys: Iterable[str]) -> None:
        """Take the chunks at ``keys`` for absent: they cannot be read, and will be written anew."""
        for key in keys:
            self._stored[key] = _content(_get(self._store, key))
            self._staged.pop(key, None)

    def commit(self) -> None:
        """Publish everything staged, the root metadata last.

        Raises:
            StorageError: if the storage refuses an object. What was published before still
                reads as before, slots already put inside the extent are whole; the same
                write can simply be repeated.
        """
        with storage_errors(str(self._store)):
            for stage in self._stages():
                for batch in _batches(stage, _CONCURRENT_PUTS):
                    sync(_put_all(self._store, batch))

    def _stages(self) -> Iterator[list[tuple[str, Buffer | None]]]:
        """Objects to put (None: to delete) by rank; unchanged ones are left alone."""
        chunk_keys = sorted({key for key in (*self._staged, *self._stored) if _is_chunk(key)})
        changed = [
            (key, self._staged[key] if key in self._staged else self._blank(key))
            for key in chunk_keys
            if _content(self._staged.get(key)) != self._stored.get(key)
        ]
        for rank in range(2 + len(self._seals)):
            yield [(key, value) for key, value in changed if self._rank(key) == rank]
        root = _buffer(self._root_document())
        metadata = [
            (f"{name}/{ROOT_KEY}", self._staged[f"{name}/{ROOT_KEY}"]) for name in self.names
        ]
        self._fetch(key for key, _ in metadata)
        for stage in (metadata, [(ROOT_KEY, root)]):
            yield [
                (key, value)
                for key, value in stage
                if _content(_get(self._store, key)) != value.to_bytes()
            ]

    def _blank(self, key: str) -> Buffer | None:
        """In place of a chunk that goes: nothing, or fill values where nothing can be deleted."""
        if self._store.supports_deletes:
            return None
        name = key.split("/", 1)[0]
        chunk = _chunk_shape(self._arrays[name])
        objects: dict[str, Buffer] = {}
        objects[f"{name}/{ROOT_KEY}"] = _buffer({**self._arrays[name], "shape": list(chunk)})
        with zarr.config.set({"array.write_empty_chunks": True}):
            array = zarr.open_array(MemoryStore(objects), path=name, mode="r+")
        array[...] = array.fill_value
        return next(value for stored, value in objects.items() if _is_chunk(stored))

    def _rank(self, key: str) -> int:
        name = key.split("/", 1)[0]
        if name in self._seals:
            return 2 + self._seals.index(name)
        return 0 if len(self._arrays[name]["shape"]) > 1 else 1

    def _root_document(self) -> dict[str, Any]:
        metadata = {name: self._arrays[name] for name in sorted(self._arrays)}
        return {
            "attributes": self.attributes,
            "zarr_format": 3,
            "consolidated_metadata": {
                "kind": "inline",
                "must_understand": False,
                "metadata": metadata,
            },
            "node_type": "group",
        }

    def _grow_array(self, name: str, axis: int, size: int) -> None:
        document = self._arrays[name]
        shape: list[int] = document["shape"]
        old, chunk = shape[axis], _chunk_shape(document)[axis]
        chunk_end = ceil(old / chunk) * chunk
        self._drop_objects(name, axis, first=chunk_end // chunk)
        if old < chunk_end:
            # The last chunk may hold slots a killed writer put beyond the extent: blank them.
            shape[axis] = chunk_end
            self._stage_metadata(name)
            region = tuple(
                slice(old, chunk_end) if position == axis else slice(0, length)
                for position, length in enumerate(shape)
            )
            self.write(name, region, self.fill_value(name))
        shape[axis] = size
        self._stage_metadata(name)

    def _drop_objects(self, name: str, axis: int, *, first: int) -> None:
        """Delete stored chunks at or after index ``first`` along ``axis``."""
        is_last_axis = axis == len(self._arrays[name]["shape"]) - 1
        prefixes = [f"{name}/c"]
        for _ in range(axis):
            prefixes = [f"{prefix}/{entry}" for prefix in prefixes for entry in self._list(prefix)]
        for prefix in prefixes:
            for entry in self._list(prefix):
                if entry.isdigit() and int(entry) >= first:
                    self._drop(f"{prefix}/{entry}", is_chunk=is_last_axis)

    def _drop(self, key: str, *, is_chunk: bool) -> None:
        """Delete a chunk, or those below a prefix; where nothing can be deleted, blank them."""
        if self._store.supports_deletes:
            sync(self._store.delete(key) if is_chunk else self._store.delete_dir(key))
            return
        if self._is_new and self._listing is None:  # one request, not one an array
            self._listing = collect_aiterator(self._store.list())
        found = self._listing if self._is_new else collect_aiterator(self._store.list_prefix(key))
        for stray in found or ():
            if stray == key or stray.startswith(f"{key}/"):
                self._stored[stray] = _STRAY

    def _list(self, prefix: str) -> tuple[str, ...]:
        return collect_aiterator(self._store.list_dir(prefix))

    def _load(self, name: str, selection: tuple[Slots, ...]) -> None:
        """Bring the published chunks that a region touches into memory, once."""
        chunks = _chunk_shape(self._arrays[name])
        touched = (_touched(slots, chunk) for slots, chunk in zip(selection, chunks, strict=True))
        keys = ["/".join((name, "c", *map(str, index))) for index in itertools.product(*touched)]
        keys = [key for key in keys if key not in self._stored]
        self._fetch(() if self._is_new else keys)
        for key in keys:
            stored = _get(self._store, key) if not self._is_new else None
            self._stored[key] = _content(stored)
            if stored is not None:
                self._staged[key] = stored

    def _fetch(self, keys: Iterable[str]) -> None:
        """From a bucket, side by side what is about to be asked for: its store remembers."""
        if not self._store.supports_deletes:
            for batch in _batches(list(keys), _CONCURRENT_PUTS):
                sync(_get_all(self._store, batch))

    def _array(self, name: str) -> zarr.Array[Any]:
        return zarr.open_array(self._memory, path=name, mode="r+")

    def _stage_metadata(self, name: str) -> None:
        self._staged[f"{name}/{ROOT_KEY}"] = _buffer(self._arrays[name])


@contextmanager
def storage_errors(place: str) -> Iterator[None]:
    """Turn an :class:`OSError` of the storage into a :class:`StorageError` with its remedy."""
    try:
        yield
    except LsntpError:
        raise
    except OSError as error:
        raise StorageError(
            f"Expected to write {error.filename or place}, found: {error.strerror or error}; "
            f"{_remedy(error.errno)}, then run the same step again. What was published before "
            "is unchanged."
        ) from error


@contextmanager
def decoding(place: str) -> Iterator[None]:
    """Turn what a codec says of a damaged chunk into an :class:`ArchiveError` with its remedy."""
    try:
        yield
    except (ValueError, RuntimeError) as error:
        raise ArchiveError(
            f"Expected whole objects in {place}, found damage: {error} `lsntp verify` says where, "
            "`lsntp repair` makes it good."
        ) from error


def as_slots(slots: npt.NDArray[np.int64]) -> Slots:
    """Ascending positions, as a slice where they are consecutive."""
    if slots.size and slots[-1] - slots[0] == slots.size - 1:
        return slice(int(slots[0]), int(slots[-1]) + 1)
    return slots


def _whole_rows(array: zarr.Array[Any], slots: npt.NDArray[np.int64]) -> tuple[Slots, ...]:
    return (as_slots(slots), *(slice(0, size) for size in array.shape[1:]))


def _remedy(code: int | None) -> str:
    if code in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return "free space on that file system or raise the quota"
    if code in (errno.EROFS, errno.EACCES, errno.EPERM):
        return "make that place writable for this user"
    return "check that file system"


def _compressor(dtype: str) -> BloscCodec | ZstdCodec:
    if dtype == "str":
        return ZstdCodec(level=5)
    return BloscCodec(cname="zstd", clevel=5, shuffle="bitshuffle")


async def _put_all(store: Store, objects: Sequence[tuple[str, Buffer | None]]) -> None:
    """Put (None: delete) objects side by side; returns or raises only when all have ended."""
    puts = (store.delete(key) if value is None else store.set(key, value) for key, value in objects)
    for outcome in await asyncio.gather(*puts, return_exceptions=True):
        if isinstance(outcome, BaseException):
            raise outcome


async def _get_all(store: Store, keys: Sequence[str]) -> None:
    await asyncio.gather(*(store.get(key, default_buffer_prototype()) for key in keys))


def _batches(objects: list[T], size: int) -> Iterable[list[T]]:
    return (objects[start : start + size] for start in range(0, len(objects), size))


def _get(store: Store, key: str) -> Buffer | None:
    return sync(store.get(key, default_buffer_prototype()))


def _parsed(root: Buffer, store: Store) -> dict[str, Any]:
    try:
        document: dict[str, Any] = json.loads(root.to_bytes())
    except ValueError as error:
        raise ArchiveError(
            f"Expected JSON in {ROOT_KEY} of {store}, found: {error}; `lsntp repair` rebuilds it "
            "from the rest of the archive."
        ) from error
    return document


def _content(value: Buffer | None) -> bytes | None:
    return None if value is None else value.to_bytes()


def _buffer(document: Mapping[str, Any]) -> Buffer:
    return default_buffer_prototype().buffer.from_bytes(json.dumps(document, indent=2).encode())


def _is_chunk(key: str) -> bool:
    return "/c/" in key


def _chunk_shape(document: Mapping[str, Any]) -> tuple[int, ...]:
    return tuple(document["chunk_grid"]["configuration"]["chunk_shape"])


def _touched(slots: Slots, chunk: int) -> list[int]:
    """Indices of the chunks that hold any of ``slots``."""
    if isinstance(slots, slice):
        return list(range(slots.start // chunk, ceil(slots.stop / chunk)))
    return [int(index) for index in np.unique(slots // chunk)]
