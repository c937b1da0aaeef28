"""Where static fields are from: files of the user, ERA5 or GFS."""

import glob
import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

from lsntp.config import StaticConfig, StaticEra5, StaticFiles, StaticGfs
from lsntp.errors import SourceDataError
from lsntp.grid import Grid
from lsntp.times import Instant


class Origin(Protocol):
    """Brings files that hold height and land.

    Attributes:
        description: where they are from, for a reader of the fields.
        digest: changes when other fields are to be expected. Asks nobody beyond this machine.
    """

    @property
    def description(self) -> str:
        """See the class."""
        ...

    @property
    def digest(self) -> str:
        """See the class."""
        ...

    def paths(self) -> Sequence[Path]:
        """The files, fetched if they have to be.

        Raises:
            SourceDataError: if they cannot be had.
            SourceUnavailableError: if they cannot be had now.
        """
        ...


class Files:
    """Files of the user; see :class:`Origin`.

    Args:
        patterns: globs.

    Raises:
        SourceDataError: if a pattern matches nothing.
    """

    def __init__(self, patterns: Sequence[str]) -> None:
        self._paths: list[Path] = []
        for pattern in patterns:
            found = sorted(glob.glob(pattern, recursive=True))
            if not found:
                raise SourceDataError(
                    f"Expected at least one file matching {pattern}, found none; correct "
                    "static.paths."
                )
            self._paths += map(Path, found)

    @property
    def description(self) -> str:
        """``files: z.grib, lsm.nc``."""
        return f"files: {', '.join(path.name for path in self._paths)}"

    @property
    def digest(self) -> str:
        """Of every byte of the files."""
        content = hashlib.sha256()
        for path in self._paths:
            for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
                if file.is_file():
                    content.update(f"{file.name} {file.stat().st_size}\n".encode())
                    content.update(file.read_bytes())
        return content.hexdigest()

    def paths(self) -> Sequence[Path]:
        """See :meth:`Origin.paths`."""
        return self._paths


def open_origin(
    config: StaticConfig, area: Grid, folder: Path, clock: Callable[[], Instant]
) -> Origin:
    """Where the static fields of a domain are from; nothing is asked yet.

    Args:
        config: the ``static`` section of the domain.
        area: the domain's cells.
        folder: for what is fetched; made when needed.
        clock: what time it is.
    """
    match config:
        case StaticFiles():
            return Files(config.paths)
        case StaticEra5():
            from lsntp.static.era5 import Era5Ground

            return Era5Ground(config, area, folder, clock)
        case StaticGfs():
            from lsntp.static.gfs import GfsGround

            return GfsGround(config, folder, clock)
