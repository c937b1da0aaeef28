"""What was asked of the store and what came, on disk: a killed run goes on where it was.

One small file per request, named by the key of the request and replaced in one step, says how
far it is; the delivered file lies beside it. A request is noted before it is submitted, its job
before it is waited for, its delivery after the file is in place.
"""

import hashlib
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal
from uuid import UUID

import numpy as np
from filelock import FileLock, Timeout
from pydantic import AwareDatetime, BaseModel, ConfigDict, ValidationError

from lsntp.errors import LsntpError, SourceUnavailableError, StorageError
from lsntp.sources.era5.request import Product, Request
from lsntp.sources.notes import write_note
from lsntp.times import Instant, Times, hours, parse_time

logger = logging.getLogger(__name__)

KEPT = hours(12)
"""How long a delivered file answers for its times, so that a run that is killed before it has
published them finds it: less than a day by what a job may wait in the queue, or a reconciliation
each day would get yesterday's preliminary hours for an answer."""

REST = hours(6)
"""How long a request rests whose job failed, before it is submitted anew."""

SHORT_REST = hours(0.5)
"""The same for a job that a later moment may allow, as when too many were queued."""

KEPT_BYTES = 2 * 2**30
"""Delivered files beyond this are removed, the oldest first."""

_NOTE = ".request.json"
_SUFFIX = {"grib": ".grib", "netcdf": ".nc"}


class Entry(BaseModel):
    """How far one request is.

    Attributes:
        request: what is asked.
        state: ``submitting``: there may be a job, or none; ``queued``: there is; ``delivered``;
            ``failed``: there was one in vain, and the request rests.
        submitted_at: when, by the clock of this machine.
        job: the store's name of it.
        delivered_at: when, by the clock of the run (UTC, ISO 8601).
        absent: the asked times (UTC, ISO 8601) that the file does not have.
        md5: of the delivered file.
        failed_at: when, by the clock of the run (UTC, ISO 8601).
        words: why, as it was told then.
        is_passing: whether a later moment may allow what was refused.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    request: Request
    state: Literal["submitting", "queued", "delivered", "failed"]
    submitted_at: AwareDatetime
    job: UUID | None = None
    delivered_at: str = ""
    absent: tuple[str, ...] = ()
    md5: str = ""
    failed_at: str = ""
    words: str = ""
    is_passing: bool = False

    @property
    def rests_until(self) -> Instant:
        """When a failed request may be submitted anew."""
        return parse_time(self.failed_at) + (SHORT_REST if self.is_passing else REST)

    @property
    def absent_times(self) -> Times:
        """The asked times that were not delivered (n,)."""
        return np.array(self.absent, "datetime64[ns]")

    @property
    def held_times(self) -> Times:
        """The times that the delivered file has (n,), sorted."""
        return np.setdiff1d(self.request.times, self.absent_times)


class Ledger:
    """The entries of one domain in ``folder``, which is made when there is something to note."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @contextmanager
    def held(self) -> Iterator[None]:
        """The only right to ask for this domain; the system takes it back from a dead process.

        Raises:
            SourceUnavailableError: if another run has it.
        """
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            with FileLock(self._folder / ".lock", timeout=0):
                yield
        except Timeout as error:
            raise SourceUnavailableError(
                f"Expected to be the only run that asks for what is in {self._folder}, found "
                "another one; wait for it to end, then run again."
            ) from error
        except OSError as error:
            if isinstance(error, LsntpError):
                raise
            raise StorageError(
                f"Expected to write in {self._folder}, found {error.strerror or error}; free space "
                "or correct the permissions, then run again."
            ) from error

    def entries(self) -> list[Entry]:
        """Every request that is on its way or delivered, oldest times first."""
        found = [entry for path in self._folder.glob(f"*{_NOTE}") if (entry := _read(path))]
        return sorted(found, key=lambda entry: (entry.request.times[0], entry.request.key))

    def open_entries(self) -> list[Entry]:
        """The requests that were asked and may be delivered yet."""
        return [entry for entry in self.entries() if entry.state in ("submitting", "queued")]

    def resting(self, product: Product, now: Instant) -> list[Entry]:
        """The requests of a product whose job failed not long ago; those that rested are forgotten.

        A clock that was set back ends a rest, too.
        """
        found: list[Entry] = []
        for entry in self.entries():
            if entry.state != "failed":
                continue
            if not parse_time(entry.failed_at) <= now < entry.rests_until:
                self.remove(entry.request)
            elif entry.request.product == product:
                found.append(entry)
        return found

    def deliveries(self, product: Product, times: Times) -> list[Entry]:
        """The requests of a product whose file is here, is what was checked, and has ``times``."""
        found: list[Entry] = []
        for entry in self.entries():
            is_meant = entry.state == "delivered" and entry.request.product == product
            if is_meant and np.isin(entry.request.times, times).any():
                if md5_of(self.file(entry.request)) == entry.md5:
                    found.append(entry)
                else:
                    self.remove(entry.request)
        return found

    def find(self, request: Request) -> Entry | None:
        """How far a request is, if it was ever made."""
        return _read(self._note(request))

    def put(self, entry: Entry) -> None:
        """Note how far a request is, in one step."""
        write_note(self._note(entry.request), entry.model_dump(mode="json"))

    def remove(self, request: Request) -> None:
        """Forget a request, the file it brought and what was received of it."""
        target = self.file(request)
        for path in (self._note(request), target, *self._folder.glob(f"{target.name}.part*")):
            path.unlink(missing_ok=True)

    def file(self, request: Request) -> Path:
        """Where the file of a request lies once it was checked."""
        return self._folder / f"{request.key}{_SUFFIX[request.product.data_format]}"

    def sweep(self, now: Instant) -> None:
        """Remove delivered files that are too old to answer or more than there is room for."""
        room = KEPT_BYTES
        delivered = [entry for entry in self.entries() if entry.state == "delivered"]
        for entry in sorted(delivered, key=lambda entry: entry.delivered_at, reverse=True):
            path = self.file(entry.request)
            room -= path.stat().st_size if path.exists() else 0
            age = now - parse_time(entry.delivered_at)
            if room < 0 or not np.timedelta64(0, "ns") <= age < KEPT:
                self.remove(entry.request)

    def _note(self, request: Request) -> Path:
        return self._folder / f"{request.key}{_NOTE}"


def _read(path: Path) -> Entry | None:
    """A note; None for one that is not there or unreadable: its request is submitted once more."""
    try:
        entry = Entry.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValidationError):
        logger.warning("left out %s, which cannot be read", path)
        return None
    return entry if entry.request.key == path.name.removesuffix(_NOTE) else None


def md5_of(path: Path) -> str:
    """The checksum of a file as the store gives it; empty if there is no such file."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
    except FileNotFoundError:
        return ""
