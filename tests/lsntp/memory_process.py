"""Make an archive of many days in a process of its own, and print the peak of its memory, MiB.

``python memory_process.py prepare|ingest|fit|forecast|evaluate DAYS FOLDER``. ``prepare`` makes the
training archive out of fields that nobody stores; each of the others, with persistence, goes on
where the one before it ended.
"""

import resource
import sys
from pathlib import Path

import numpy as np

from lsntp.config import load_domain
from lsntp.evaluation.scoring import evaluate
from lsntp.forecasting import forecast
from lsntp.grid import Grid
from lsntp.ingest import ingest
from lsntp.names import Status
from lsntp.times import Period, hours
from lsntp.training import train
from lsntp.training_data.archive import build_training_archive

ROWS, COLUMNS = 61, 101
YAML = """
domain: large
source: {{name: synthetic, spacing: 1}}
grid: {{kind: regular, north: 60, south: 0, west: -50, east: 50, spacing: 1}}
cadence_h: 1
archive: {{start: 2001-01-01}}
split:
  train: {{start: 2001-01-01, end: {train}}}
  validation: {{start: {train}, end: {end}}}
  test: {{start: {end}, end: {after}}}
root: "{root}"
"""


class Made:
    """An analysis archive that makes its fields when they are read, and holds none."""

    def __init__(self, days: int, grid: Grid, start: np.datetime64) -> None:
        self.grid, self.start, self.cadence = grid, start, hours(1)
        self.times = start + np.arange(24 * days) * self.cadence

    def read(self, times: np.ndarray) -> np.ndarray:
        hour = ((times - self.start) / self.cadence).astype(np.float32)
        wave = 4 * np.sin(hour * np.float32(2 * np.pi / 24)) + hour / 1000
        fields = np.full((times.size, *self.grid.shape), 280, np.float32)
        fields += wave[:, None, None]
        fields += np.arange(self.grid.shape[1], dtype=np.float32) / 10
        fields[times > self.times[-1]] = np.nan
        return fields

    def status_at(self, times: np.ndarray) -> np.ndarray:
        return np.where(times <= self.times[-1], Status.FINAL, Status.MISSING).astype(np.int8)

    def digests_at(self, times: np.ndarray) -> np.ndarray:
        return np.zeros((times.size, 32), np.uint8)


def main() -> None:
    role, days, folder = sys.argv[1], int(sys.argv[2]), Path(sys.argv[3])
    first = np.datetime64("2001-01-01")
    end = first + days
    text = YAML.format(train=end - 10, end=end, after=end + 10, root=folder)
    (folder / "large.yaml").write_text(text)
    domain = load_domain(folder / "large.yaml")
    whole = Period(domain.start + hours(48), np.datetime64(end, "ns"))
    if role == "prepare":
        made = Made(days, domain.target_grid, domain.start)
        build_training_archive(domain, made, folder / "training", "standard")
    elif role == "ingest":
        ingest(domain)
    elif role == "fit":
        train(domain, models=["persistence"])
    elif role == "forecast":
        forecast(domain, models=["persistence"], period=whole)
    else:
        evaluate(domain, models=["persistence"])
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)


if __name__ == "__main__":
    main()
