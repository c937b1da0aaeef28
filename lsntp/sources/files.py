"""The user's own files: GRIB, netCDF, ZIPs of them, Zarr."""

import glob
import logging
import os
import re
import weakref
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt
import xarray as xr

from lsntp.aside import temporary_folder
from lsntp.errors import SourceDataError
from lsntp.grid import Grid
from lsntp.names import LATITUDE, LONGITUDE, TIME
from lsntp.sources.decoding import open_parts
from lsntp.sources.frames import build_frames, settle_repeats
from lsntp.sources.native import Window
from lsntp.sources.parts import Part, refuse_monthly
from lsntp.times import Duration, Instant, Period, Times, format_duration_h, format_time, hours

logger = logging.getLogger(__name__)

_MOST_WAYS = 1000
"""One circle of symbolic links ends after 40 rounds, as the system has it; several hardly ever."""
_ESCAPED = re.compile(r"\[([*?[])\]")


class FileSource:
    """Analyses in files; see :class:`lsntp.sources.base.Source`.

    Files are found and their headers read once, at the first question. Times off the
    domain's steps are left out with a warning.

    Args:
        paths: globs of files and Zarr stores.
        origin: a time on the domain's axis.
        cadence: the step of the domain's axis.
    """

    name = "files"
    is_synthetic = False
    publication_latency = hours(0)

    def __init__(self, paths: Sequence[str], *, origin: Instant, cadence: Duration) -> None:
        self._paths = tuple(paths)
        self._origin = origin
        self._cadence = cadence

    def available(self, period: Period) -> Times:
        """See :meth:`lsntp.sources.base.Source.available`."""
        return self._times[period.contains(self._times)]

    def fetch(self, times: Times, area: Grid) -> list[xr.Dataset]:
        """See :meth:`lsntp.sources.base.Source.fetch`."""
        return read_parts(self._parts, times, area, source=self.name)

    @cached_property
    def _parts(self) -> list[Part]:
        """Everything the files hold, in the order of their paths."""
        unpacked = temporary_folder()
        weakref.finalize(self, unpacked.cleanup)
        parts = [part for path in self._files() for part in open_parts(path, Path(unpacked.name))]
        refuse_monthly(np.concatenate([part.times for part in parts]), _where(parts), at_least=3)
        return parts

    def _files(self) -> list[Path]:
        """Every file once, whatever links and patterns lead to it."""
        paths = sorted({path for pattern in self._paths for path in _matches(pattern)})
        first = {os.path.realpath(path): path for path in reversed(paths)}
        return [Path(path) for path in sorted(first.values())]

    @cached_property
    def _times(self) -> Times:
        """The sorted, unique times on the domain's axis."""
        times: Times = np.unique(np.concatenate([part.times for part in self._parts]))
        is_off = self._is_off_axis(times)
        axis = f"{format_time(self._origin)} + k * {format_duration_h(self._cadence)}"
        if is_off.all():
            raise SourceDataError(
                f"Expected times on the axis {axis} in {_where(self._parts)}, found {times.size} "
                f"and none of them on it (first: {format_time(times[0])}); set archive.start and "
                "cadence_h to fit the files, or use other files."
            )
        if is_off.any():
            off = [part for part in self._parts if self._is_off_axis(part.times).any()]
            logger.warning(
                "%d of %d times in the files are left out: not on the axis %s (first: %s, in %s)",
                *(is_off.sum(), times.size, axis, format_time(times[is_off][0]), _where(off)),
            )
        on_axis: Times = times[~is_off]
        gaps = np.diff(on_axis)
        if gaps.size and gaps.min() > self._cadence:
            logger.warning(
                "the times in the files are %s apart or more, the domain's steps %s: the steps "
                "between stay missing",
                *(format_duration_h(gaps.min()), format_duration_h(self._cadence)),
            )
        return on_axis

    def _is_off_axis(self, times: Times) -> npt.NDArray[np.bool_]:
        return np.asarray((times - self._origin) % self._cadence != np.timedelta64(0, "ns"))


def read_parts(parts: Sequence[Part], times: Times, area: Grid, *, source: str) -> list[xr.Dataset]:
    """What files hold of the asked times; see :meth:`lsntp.sources.base.Source.fetch`.

    Args:
        parts: the files, in the order in which equal fields win.
        times: the asked ones.
        area: the domain's cells.
        source: the name of the source they belong to.

    Raises:
        DomainError: if ``area`` does not lie inside the cells of every part.
        SourceDataError: if a file is damaged.
        SourceUnavailableError: if one changed since it was opened.
    """
    windows: dict[bytes, Window] = {}
    for part in parts:
        if part.grid.key not in windows:
            windows[part.grid.key] = part.grid.window(area, part.label)
    datasets: dict[str, list[xr.Dataset]] = {}
    for part in parts:
        positions = np.flatnonzero(np.isin(part.times, times))
        if positions.size:
            window = windows[part.grid.key]
            values, statuses = part.read(positions, window)
            frames = build_frames(
                values,
                part.times[positions],
                statuses,
                window.grid,
                source=source,
                is_synthetic=False,
                files=[Path(part.label).name],
            )
            datasets.setdefault(window.grid.digest, []).append(frames)
    return [settle_repeats(_join(frames)) for frames in datasets.values()]


def _matches(pattern: str) -> Iterator[str]:
    """The paths a glob leads to, or the one file that is called like the glob."""
    if os.path.lexists(literal := _ESCAPED.sub(r"\1", pattern)):
        yield literal
        return
    if "://" in pattern or "$" in pattern:
        raise SourceDataError(
            f"Expected a path on this machine in source.paths, found {pattern}; download "
            "the files first, and set every ${VARIABLE} the path uses."
        )
    ways: Counter[str] = Counter()
    for path in glob.iglob(pattern, recursive=True):
        ways[real := os.path.realpath(path)] += 1
        if ways[real] > _MOST_WAYS:
            raise SourceDataError(
                f"Expected {pattern} to lead to every file by a few ways, found more than "
                f"{_MOST_WAYS} to {real}; remove the symbolic links that lead back to a folder "
                "above them, or narrow source.paths."
            )
        yield path
    if not ways:
        raise SourceDataError(
            f"Expected at least one file matching {pattern}, found none; correct source.paths."
        )


def _where(parts: Sequence[Part]) -> str:
    """``a.nc``, or ``a.nc and 3 more``."""
    labels = list(dict.fromkeys(part.label for part in parts))
    return labels[0] if len(labels) == 1 else f"{labels[0]} and {len(labels) - 1} more"


def _join(datasets: Sequence[xr.Dataset]) -> xr.Dataset:
    """Frames on one grid from several files, in the order of the files."""
    if len(datasets) == 1:
        return datasets[0]
    cells = {name: datasets[0][name] for name in (LATITUDE, LONGITUDE)}
    same_cells = [dataset.assign_coords(cells) for dataset in datasets]
    joined = xr.concat(same_cells, TIME, combine_attrs="override")
    joined.attrs["files"] = ", ".join(dict.fromkeys(d.attrs["files"] for d in datasets))
    return joined
