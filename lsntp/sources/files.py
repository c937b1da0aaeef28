"""The user's own files: GRIB, netCDF, ZIPs of them, Zarr."""

import glob
import logging
import shutil
import tempfile
import weakref
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
import xarray as xr

from lsntp.errors import SourceDataError
from lsntp.grid import Grid
from lsntp.names import LATITUDE, LONGITUDE, TIME
from lsntp.sources.formats import open_parts
from lsntp.sources.frames import build_frames, settle_repeats
from lsntp.sources.native import Window
from lsntp.sources.parts import Part
from lsntp.times import Duration, Instant, Period, Times, format_duration_h, format_time, hours

logger = logging.getLogger(__name__)


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
        windows: dict[bytes, Window] = {}
        for part in self._parts:
            if part.grid.key not in windows:
                windows[part.grid.key] = part.grid.window(area, part.label)
        datasets: dict[str, list[xr.Dataset]] = {}
        for part in self._parts:
            window = windows[part.grid.key]
            if frames := self._read(part, window, times):
                datasets.setdefault(window.grid.digest, []).append(frames)
        return [settle_repeats(_join(frames)) for frames in datasets.values()]

    def _read(self, part: Part, window: Window, times: Times) -> xr.Dataset | None:
        positions = np.flatnonzero(np.isin(part.times, times))
        if not positions.size:
            return None
        values, statuses = part.read(positions, window)
        return build_frames(
            values,
            part.times[positions],
            statuses,
            window.grid,
            source=self.name,
            is_synthetic=self.is_synthetic,
            files=[Path(part.label).name],
        )

    @cached_property
    def _parts(self) -> list[Part]:
        """Everything the files hold, in the order of their paths."""
        folder = Path(tempfile.mkdtemp(prefix="lsntp-"))
        weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
        return [part for path in self._files() for part in open_parts(path, folder)]

    def _files(self) -> list[Path]:
        found: set[str] = set()
        for pattern in self._paths:
            if "://" in pattern or "$" in pattern:
                raise SourceDataError(
                    f"Expected a path on this machine in source.paths, found {pattern}; download "
                    "the files first, and set every ${VARIABLE} the path uses."
                )
            matches = glob.glob(pattern, recursive=True)
            if not matches:
                raise SourceDataError(
                    f"Expected at least one file matching {pattern}, found none; correct "
                    "source.paths."
                )
            found.update(matches)
        return [Path(path) for path in sorted(found)]

    @cached_property
    def _times(self) -> Times:
        """The sorted, unique times on the domain's axis."""
        times: Times = np.unique(np.concatenate([part.times for part in self._parts]))
        is_off = (times - self._origin) % self._cadence != np.timedelta64(0, "ns")
        if is_off.any():
            logger.warning(
                "%d of %d times in the files are left out: not on the axis %s + k * %s (first: %s)",
                is_off.sum(),
                times.size,
                format_time(self._origin),
                format_duration_h(self._cadence),
                format_time(times[is_off][0]),
            )
        on_axis: Times = times[~is_off]
        return on_axis


def _join(datasets: Sequence[xr.Dataset]) -> xr.Dataset:
    """Frames on one grid from several files, in the order of the files."""
    if len(datasets) == 1:
        return datasets[0]
    cells = {name: datasets[0][name] for name in (LATITUDE, LONGITUDE)}
    same_cells = [dataset.assign_coords(cells) for dataset in datasets]
    joined = xr.concat(same_cells, TIME, combine_attrs="override")
    joined.attrs["files"] = ", ".join(dict.fromkeys(d.attrs["files"] for d in datasets))
    return joined
