"""The objects of a Zarr archive, wherever it is."""

from typing import Final

from zarr.abc.store import Store
from zarr.core.sync import collect_aiterator, sync
from zarr.storage import LocalStore

from lsntp.archives.s3_store import S3Store
from lsntp.places import Place, S3Path

PARTIAL_SUFFIX: Final = ".partial"


def open_store(path: Place, *, read_only: bool = False) -> Store:
    """The store at a place; its puts are atomic: by rename on disk, by themselves in a bucket."""
    if isinstance(path, S3Path):
        return S3Store(path, read_only=read_only)
    return LocalStore(path, read_only=read_only)


def sweep(store: Store) -> int:
    """Remove the partial objects that a killed writer left; returns how many."""
    strays = [key for key in collect_aiterator(store.list()) if key.endswith(PARTIAL_SUFFIX)]
    for key in strays:
        sync(store.delete(key))
    return len(strays)
