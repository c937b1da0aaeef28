"""Runs of the source whose forecasts will not come any more: a note, so that no tick asks again.

One small file in the working folder. Losing it costs one more look at each of those runs.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from lsntp.archives.staging import storage_errors
from lsntp.errors import LsntpError
from lsntp.sources.notes import read_note, write_note
from lsntp.times import Times, format_time, parse_time

KEPT: Final = 10_000
"""Runs remembered, the newest: seven years of them."""


@dataclass(frozen=True)
class GivenUp:
    """The note of one domain.

    Attributes:
        path: where it lies.
        version: of the forecasts; those from another bucket or resolution have their own fate.
    """

    path: Path
    version: str

    def runs(self) -> Times:
        """The initial times given up, ascending; none where the note is lost or damaged."""
        note = read_note(self.path)
        listed = note.get("runs")
        if note.get("version") != self.version or not isinstance(listed, list):
            return np.array([], "datetime64[ns]")
        try:
            return np.unique(np.array([parse_time(time) for time in listed], "datetime64[ns]"))
        except (LsntpError, TypeError, ValueError, AttributeError):
            return np.array([], "datetime64[ns]")

    def remember(self, init_times: Times) -> None:
        """Add some; nothing is written where all are known.

        Raises:
            StorageError: if the note cannot be written.
        """
        before = self.runs()
        after = np.union1d(before, init_times)[-KEPT:]
        if not np.array_equal(before, after):
            note = {"version": self.version, "runs": [format_time(time) for time in after]}
            with storage_errors(str(self.path)):
                self.path.parent.mkdir(parents=True, exist_ok=True)
                write_note(self.path, note)
