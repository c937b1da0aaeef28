"""The right to write, whatever keeps it: a locked file, or an object that is renewed."""

import threading
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager

from zarr.abc.store import Store

from lsntp.places import Place


class Lease(ABC):
    """The only right to write the archive at ``path``.

    Objects are put by another thread, which an interrupt of this one does not stop: the lease
    ends only when those under way are there.

    Args:
        path: the archive, or a folder of files that only one process may change.
    """

    def __init__(self, path: Place) -> None:
        self.path = path
        self._is_over = False
        self._under_way = 0
        self._change = threading.Condition()

    @property
    @abstractmethod
    def is_held(self) -> bool:
        """Whether it goes on."""

    @abstractmethod
    def check(self) -> None:
        """Refuse to go on without the lease.

        Raises:
            ArchiveBusyError: if it was lost, or has ended.
        """

    @contextmanager
    def change(self) -> Iterator[None]:
        """One change of the archive, begun under the lease and waited for by its end."""
        with self._change:
            self.check()
            self._under_way += 1
        try:
            yield
        finally:
            with self._change:
                self._under_way -= 1
                self._change.notify_all()

    def end(self) -> None:
        """Let no change begin any more, and wait for those under way."""
        with self._change:
            self._is_over = True
            self._change.wait_for(lambda: not self._under_way)

    @abstractmethod
    def store(self) -> Store:
        """The archive's objects, to be written under this lease only."""

    @abstractmethod
    def replace(self, file: Place, content: bytes) -> None:
        """Put one file, in one step and under the lease, in the place of the one that is there.

        Raises:
            ArchiveBusyError: if the lease was lost.
            OSError: if the storage refuses; what was there before stays.
        """
