"""Yearly files over HTTPS, kept on disk: complete ones for good, growing ones looked after."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from lsntp.errors import SourceDataError, SourceUnavailableError, StorageError
from lsntp.grid import Grid
from lsntp.sources.decoding import open_parts
from lsntp.sources.formats import CLASSIC_MAGICS, HDF_MAGIC
from lsntp.sources.notes import NOTE_SUFFIX, Version, read_note, version_in, write_note
from lsntp.sources.parts import Part
from lsntp.sources.transfer import AbsentError, Limits, download, host_of
from lsntp.sources.unknown import HEAD_BYTES, describe
from lsntp.times import Duration, Instant, Times, format_time

logger = logging.getLogger(__name__)

_DECODED_TOGETHER = 64
"""Fields read at once when a file is checked: a few megabytes."""


@dataclass(frozen=True)
class Year:
    """The file of one year, as it is on disk.

    Attributes:
        part: its fields.
        times: those of its times that hold a field: space that was made for later ones and not
            filled yet does not count.
        is_complete: whether that is every time of the year.
    """

    part: Part
    times: Times
    is_complete: bool


@dataclass(frozen=True)
class Answer:
    """What there is of a year.

    Attributes:
        held: the file on disk, if there is one.
        is_current: whether a host was asked, in this run, and this is all that it has; or the
            year is complete.
        problem: why no host could be asked.
    """

    held: Year | None
    is_current: bool
    problem: SourceDataError | SourceUnavailableError | None = None


class YearlyFiles:
    """The files of all years, fetched when they are asked for.

    A complete file is never asked for again: to have it anew, remove it from the folder. Any
    other is asked for once a run, and only fetched where the host has another version of it.

    Args:
        folder: where they are kept; made when needed.
        name: of the file of a year.
        roots: URLs below which ``path(year)`` leads to the file, tried in order.
        area: the cells that matter: they must be in the files, and are what is looked through.
        cadence: the step of their times, from the first hour of a year on.
        limits: of every download.
    """

    def __init__(
        self,
        folder: Path,
        name: Callable[[int], str],
        roots: Sequence[str],
        *,
        area: Grid,
        cadence: Duration,
        limits: Limits,
    ) -> None:
        self._folder = folder
        self._name = name
        self._roots = tuple(roots)
        self._area = area
        self._cadence = cadence
        self._limits = limits
        self._known: dict[int, Answer] = {}

    def held(self, year: int) -> Year | None:
        """The file on disk; one that can no longer be read counts as none. Asks no host."""
        if year in self._known:
            return self._known[year].held
        path = self._folder / self._name(year)
        note = read_note(_note(path))
        try:
            if path.stat().st_size == note.get("size"):
                return self._opened(path, year, set(note.get("blank", [])))
        except (OSError, ValueError, TypeError):
            return None
        return None

    def get(self, year: int) -> Answer:
        """All that can be had of a year now.

        Raises:
            StorageError: if the folder cannot be written.
        """
        if year not in self._known:
            held = self.held(year)
            is_complete = held is not None and held.is_complete
            self._known[year] = Answer(held, is_current=True) if is_complete else self._ask(year)
        return self._known[year]

    def _ask(self, year: int) -> Answer:
        """Ask the hosts in order until one has the file."""
        held = self.held(year)
        path = self._folder / self._name(year)
        problems: list[SourceDataError | SourceUnavailableError] = []
        for root in self._roots:
            try:
                fetched = self._fetch(f"{root}/{self._name(year)}", path, held, year)
            except (SourceDataError, SourceUnavailableError) as error:
                problems.append(error)
            else:
                _warn(problems, "asked the next host")
                return Answer(fetched, is_current=True)
        if held is not None:
            _warn(problems, f"went on with the copy on disk, up to {format_time(held.times[-1])}")
        # A host that is silent may have what the others lack: only all of them make an absence.
        others = [error for error in problems if not isinstance(error, AbsentError)]
        if not others:
            return Answer(held, is_current=True)
        passing = [error for error in others if isinstance(error, SourceUnavailableError)]
        return Answer(held, is_current=False, problem=(passing or others)[-1])

    def _fetch(self, url: str, path: Path, held: Year | None, year: int) -> Year:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StorageError(
                f"Expected to keep {path.name} in {path.parent}, found {error.strerror}; correct "
                "the permissions or the archive root."
            ) from error
        note = read_note(_note(path))
        version = version_in(note)
        blank: set[str] = set()
        refused = 0

        def check(received: Path) -> None:
            nonlocal blank, refused
            try:
                blank = self._check(received, url, year, held)
            except SourceDataError as error:
                refused += 1
                if refused > 1:  # twice the same is no accident of the transfer
                    raise
                raise SourceUnavailableError(str(error)) from error

        fetched = download(
            url,
            path,
            hosts=frozenset(map(host_of, self._roots)),
            limits=self._limits,
            check=check,
            # A version is the business of the host that named it.
            held=version if held is not None and note.get("url") == url else None,
        )
        if fetched is None and held is not None:
            return held
        content = {
            "url": url,
            **asdict(fetched or Version()),
            "size": path.stat().st_size,
            "blank": sorted(blank),
        }
        write_note(_note(path), content)
        return self._opened(path, year, blank)

    def _opened(self, path: Path, year: int, blank: set[str]) -> Year:
        part = _opened(path, str(path))
        times = part.times[~np.isin(part.times, np.array(sorted(blank), "datetime64[ns]"))]
        return Year(part, times, times.size == _times_of(year, self._cadence).size)

    def _check(self, received: Path, url: str, year: int, held: Year | None) -> set[str]:
        """Refuse what is no whole file of the year; returns the times that hold no field."""
        part = _opened(received, url)
        expected = _times_of(year, self._cadence)[: part.times.size]
        if not np.array_equal(part.times, expected):
            raise SourceDataError(
                f"Expected times from {format_time(expected[0])} on, every step of {year} up to "
                f"the last one, in {url}, found {part.times.size} from "
                f"{format_time(part.times[0])} to {format_time(part.times[-1])}; point "
                "source.hosts at the files of NCEP/NCAR Reanalysis 1."
            )
        if held is not None and part.times.size < held.times.size:
            raise SourceUnavailableError(
                f"Expected {url} to hold at least the {held.times.size} times of the copy in "
                f"{self._folder}, found {part.times.size}; the copy is kept. Run again "
                "when the host has the newer file."
            )
        return _look_through(part, held, self._area)


def _warn(problems: Sequence[Exception], what: str) -> None:
    for problem in problems:
        logger.warning("%s: %s", what, problem)


def _opened(path: Path, label: str) -> Part:
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES)
    if not head.startswith((HDF_MAGIC, *CLASSIC_MAGICS)):
        raise SourceUnavailableError(
            f"Expected a netCDF file from {label}, found {describe(head).partition(';')[0]}"
        )
    (part,) = open_parts(path, path.parent, label=label)
    return part


def _look_through(part: Part, held: Year | None, area: Grid) -> set[str]:
    """Decode every field once; returns the times without one, and tells of changed ones.

    Args:
        part: what was received.
        held: the file before it.
        area: the cells to look at.

    Raises:
        DomainError: if ``area`` does not lie inside the cells of the file.
        SourceDataError: if a field cannot be decoded.
    """
    window = part.grid.window(area, part.label)
    blank: set[str] = set()
    changed: dict[Instant, float] = {}
    for first in range(0, part.times.size, _DECODED_TOGETHER):
        positions = np.arange(first, min(first + _DECODED_TOGETHER, part.times.size))
        fields, _ = part.read(positions, window)
        times = part.times[positions]
        blank |= {str(time) for time in times[np.isnan(fields).all(axis=(1, 2))]}
        if held is not None and held.part.grid.key == part.grid.key:
            both = np.flatnonzero(np.isin(times, held.times))
            before, _ = held.part.read(np.searchsorted(held.part.times, times[both]), window)
            differences = np.nan_to_num(np.abs(fields[both] - before)).max(axis=(1, 2), initial=0)
            changed |= {
                time: float(difference)
                for time, difference in zip(times[both], differences, strict=True)
                if difference > 0
            }
    if changed:
        logger.warning(
            "%s: %d analyses differ from the copy fetched before, the first of %s, by up to %.2f "
            "K. Those in the archive are final and stay as they are; times it lacks are taken "
            "from the new file",
            *(part.label, len(changed), format_time(min(changed)), max(changed.values())),
        )
    return blank


def _times_of(year: int, cadence: Duration) -> Times:
    first, end = (np.datetime64(f"{y:04d}-01-01", "ns") for y in (year, year + 1))
    return np.arange(first, end, cadence)


def _note(path: Path) -> Path:
    return path.with_name(path.name + NOTE_SUFFIX)
