"""A source beyond a network as a third party would add one: it reads what a folder holds.

Upstream is a folder: netCDF files are what it can deliver, ``state.json`` what it says of the
rest, ``asked.jsonl`` every question it was asked.
"""

import json
from pathlib import Path

import numpy as np

from lsntp.errors import SourceDataError, SourceUnavailableError
from lsntp.sources import Hole
from lsntp.sources.files import FileSource
from lsntp.times import format_time, hours, parse_time


class LateSource:
    """Offers every step up to ``state["now"]``, delivers those that a file holds."""

    name = "late"
    is_synthetic = False
    publication_latency = hours(0)

    def __init__(self, options, domain):
        self.folder = Path(options["folder"])
        self._domain = domain
        self._asked = np.array([], "datetime64[ns]")

    @property
    def _state(self):
        return json.loads((self.folder / "state.json").read_text())

    def available(self, period):
        end = min(period.end, parse_time(self._state["now"]) + self._domain.cadence)
        steps = self._domain.start + np.arange(10_000) * self._domain.cadence
        return steps[(steps >= period.start) & (steps < end)]

    def fetch(self, times, area):
        with (self.folder / "asked.jsonl").open("a") as log:
            log.write(json.dumps([format_time(time) for time in times]) + "\n")
        self._asked = np.union1d(self._asked, times)
        if np.isin(self._times("broken"), times).any():
            raise SourceDataError("Expected a field, found a page in HTML; ask the provider.")
        if np.isin(self._times("away"), times).any():
            raise SourceUnavailableError("Expected an answer, found none; wait.")
        files = FileSource(
            [str(self.folder / "*.nc")], origin=self._domain.start, cadence=self._domain.cadence
        )
        return files.fetch(times, area)

    def pending(self, period):
        times = self._times("pending")
        return times[period.contains(times)]

    def holes(self):
        return [
            Hole(time, "Expected a field, the catalogue says 404.")
            for time in np.intersect1d(self._times("holes"), self._asked)
        ]

    def why_absent(self):
        return dict.fromkeys(self._times("failed"), "Expected a result, the job has failed.")

    def _times(self, name):
        return np.array([parse_time(time) for time in self._state.get(name, [])], "datetime64[ns]")


def install(site: Path) -> None:
    """Make the source known as a package that is installed in ``site`` would."""
    package = site / "late_source-1.0.dist-info"
    package.mkdir(parents=True)
    (package / "METADATA").write_text("Metadata-Version: 2.1\nName: late-source\nVersion: 1.0\n")
    (package / "entry_points.txt").write_text(
        "[lsntp.sources]\nlate = tests.lsntp.late_source:LateSource\n"
    )


def tell(folder: Path, **state) -> None:
    """What upstream says from now on: ``now`` and lists of times, in text."""
    folder.mkdir(exist_ok=True)
    (folder / "state.json").write_text(json.dumps(state))


def questions(folder: Path) -> list[list[str]]:
    """The times of every question since the last look."""
    log = folder / "asked.jsonl"
    asked = [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
    log.unlink(missing_ok=True)
    return asked
