"""One field of 2 m temperature out of the object of a run and step, whatever its index says."""

import logging
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tenacity import Retrying, retry_if_exception_type, stop_after_attempt

from lsntp.errors import LsntpError, SourceDataError, StorageError
from lsntp.grid import Fields, Grid
from lsntp.sources.decoding import open_parts
from lsntp.sources.framing import END, MAGIC
from lsntp.sources.gfs.bucket import Bucket, ObjectHead, ObjectReplacedError, RangeRefusedError
from lsntp.sources.gfs.index import IndexFaultError, t2m_range
from lsntp.times import Instant, format_time, hours, parse_time

_log = logging.getLogger(__name__)

ATMOS_SINCE = parse_time("2021-03-23")
"""From here on the objects lie one folder deeper."""
LOOKS = 3
"""At an object that is replaced while it is read."""

_EDITION_2_LENGTH = slice(8, 16)


@dataclass(frozen=True)
class Field:
    """A field of one run and step, kelvin (H, W), on the native cells around an area."""

    values: Fields
    grid: Grid


@dataclass(frozen=True)
class Ticket:
    """What is wanted: the run that starts at ``init_time``, ``step_h`` hours ahead."""

    init_time: Instant
    step_h: int

    def key(self, resolution: str) -> str:
        """The object that should hold it."""
        day, hour = np.datetime_as_string(self.init_time, unit="h").split("T")
        folder = f"gfs.{day.replace('-', '')}/{hour}"
        if self.init_time >= ATMOS_SINCE:
            folder += "/atmos"
        return f"{folder}/gfs.t{hour}z.pgrb2.{resolution}.f{self.step_h:03d}"


@dataclass(frozen=True)
class Message:
    """The bytes of one message, as an index gave them: not decoded yet; or why there are none."""

    head: ObjectHead
    content: bytes
    fault: str = ""


@dataclass(frozen=True)
class Absent:
    """There is no usable object, and why we say so."""

    why: str


class Messages:
    """Fields out of a bucket.

    ``look`` moves bytes and may run in several threads; ``decode`` runs in one.

    Args:
        bucket: where the objects are.
        resolution: part of their names.
        folder: an existing one for temporary files.
    """

    def __init__(self, bucket: Bucket, resolution: str, folder: Path) -> None:
        self._bucket = bucket
        self._resolution = resolution
        self._folder = folder

    def look(self, ticket: Ticket) -> Message | Absent:
        """The bytes of the field by the object's index, from one version of the object.

        Raises:
            SourceUnavailableError: if the bucket cannot be read now.
            CredentialsError: if it refuses us.
        """
        return _looks()(self._look, ticket)

    def decode(self, ticket: Ticket, found: Message, area: Grid) -> Field:
        """The field; from the whole object where the bytes are not the field asked for.

        Raises:
            DomainError: if ``area`` does not lie inside the grid.
            SourceDataError: if the object does not hold the field, or is damaged.
            SourceUnavailableError: if the bucket cannot be read now.
            CredentialsError: if it refuses us.
            StorageError: if there is no room for the file.
        """
        fault = found.fault
        if not fault:
            path = self._write(found.content)
            try:
                return self._read(path, ticket, area)
            except SourceDataError as error:
                fault = str(error)
            finally:
                path.unlink()
        return _looks()(self._from_whole_object, ticket, area, fault)

    def _look(self, ticket: Ticket) -> Message | Absent:
        key = ticket.key(self._resolution)
        head = self._bucket.head(key)
        if head is None:
            return Absent(f"there is no {self._bucket.where(key)}")
        if head.size == 0:
            return Absent(f"{self._bucket.where(key)} is empty")
        try:
            inventory = self._bucket.read(f"{key}.idx")
            if inventory is None:
                return Message(head, b"", "it has no index")
            wanted = t2m_range(
                inventory, init_time=ticket.init_time, step_h=ticket.step_h, size=head.size
            )
            content = self._bucket.read_range(key, head, wanted)
        except (IndexFaultError, SourceDataError) as error:
            return Message(head, b"", f"its index cannot be used: {error}")
        except RangeRefusedError as error:
            return Message(head, b"", f"its index points outside it ({error})")
        return Message(head, content, _framing_fault(content))

    def _from_whole_object(self, ticket: Ticket, area: Grid, fault: str) -> Field:
        key = ticket.key(self._resolution)
        head = self._bucket.head(key)
        if not head or not head.size:
            raise ObjectReplacedError(
                f"Expected {self._bucket.where(key)} to stay, found it gone; try again later."
            )
        _log.warning(
            "%s: %s; reading all of its %.1f MB instead",
            *(self._bucket.where(key), fault, head.size / 1e6),
        )
        path = self._write(b"")
        try:
            self._download(key, head, path)
            return self._read(path, ticket, area)
        finally:
            path.unlink()

    def _download(self, key: str, head: ObjectHead, path: Path) -> None:
        try:
            self._bucket.download(key, head, path)
        except LsntpError:
            raise  # the bucket's; what follows is the disk's
        except OSError as error:
            raise self._no_room(error) from error

    def _read(self, path: Path, ticket: Ticket, area: Grid) -> Field:
        """The one field of a file that is of the ticket's run and step."""
        label = self._bucket.where(ticket.key(self._resolution))
        wanted = ticket.init_time + hours(ticket.step_h)
        parts = open_parts(path, self._folder, label=label, step_h=ticket.step_h)
        times = np.concatenate([part.times for part in parts])
        if not np.array_equal(times, [wanted]):
            runs = ", ".join(format_time(time - hours(ticket.step_h)) for time in times)
            raise SourceDataError(
                f"Expected one field of 2 m temperature of the run of "
                f"{format_time(ticket.init_time)} in {label}, found those of {runs}."
            )
        window = parts[0].grid.window(area, label)
        values, _ = parts[0].read(np.array([0]), window)
        return Field(values[0], window.grid)

    def _write(self, content: bytes) -> Path:
        """A file under a name of ours."""
        try:
            with tempfile.NamedTemporaryFile(dir=self._folder, delete=False) as file:
                file.write(content)
        except OSError as error:
            raise self._no_room(error) from error
        return Path(file.name)

    def _no_room(self, error: OSError) -> StorageError:
        return StorageError(
            f"Expected room for a GFS file in {self._folder}, found {error.strerror or error}; "
            "free space or set LSNTP_ROOT to a larger disk."
        )


def _looks() -> Retrying:
    return Retrying(
        stop=stop_after_attempt(LOOKS),
        retry=retry_if_exception_type(ObjectReplacedError),
        reraise=True,
    )


def _framing_fault(content: bytes) -> str:
    """Why some bytes are not exactly one message of edition 2, or nothing."""
    if not content.startswith(MAGIC):
        return "its index points at no start of a message"
    if not content.endswith(END):
        return "its index points at no end of a message"
    length = int.from_bytes(content[_EDITION_2_LENGTH])
    if length != len(content):
        return f"its index gives {len(content)} bytes for a message of {length}"
    return ""
