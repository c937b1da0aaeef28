"""Eleven days of GFS in a bucket: analyses, and forecasts that are wrong by a known amount."""

from dataclasses import dataclass

import numpy as np

from tests.standins import gfs
from tests.standins.s3 import S3

START = np.datetime64("2024-03-01", "ns")
CYCLE = np.timedelta64(6 * 3600 * 10**9, "ns")
COUNT = 44
TRAINING_BIAS_K = {6: 1.5, 12: -2.0}
"""By step, of the forecasts from before :data:`TRAINING_END`; later ones are wrong by twice it."""
TRAINING_END = np.datetime64("2024-03-06", "ns")

DOMAIN = """
domain: season
source:
  {{name: gfs, bucket: {bucket}, resolution: 1p00, pause_s: 0.01, correction_init_times: 12}}
grid: {{kind: regular, north: 55, south: 48, west: -5, east: 6, spacing: 1}}
cadence_h: 6
history: 2
horizon: 2
archive: {{start: 2024-03-01}}
split:
  train: {{start: 2024-03-01, end: 2024-03-06}}
  validation: {{start: 2024-03-06, end: 2024-03-08}}
  test: {{start: 2024-03-08, end: 2024-03-12}}
baselines: [persistence]
root: {root}
"""


@dataclass(frozen=True)
class Season:
    """The fields of the season.

    Attributes:
        library: the real messages.
        start: the first initial time.
    """

    library: gfs.Library
    start: np.datetime64 = START

    @property
    def times(self) -> np.ndarray:
        return self.start + np.arange(COUNT) * CYCLE

    def truth(self, time: np.datetime64) -> gfs.Values:
        """The real field with a diurnal wave and weather that goes by, kelvin (181, 360)."""
        (real,) = gfs.t2m_of([self.library.t2m])
        step = float((time - self.start) / CYCLE)
        latitude, longitude = np.arange(90, -91, -1)[:, None], np.arange(360)[None, :]
        diurnal = 5 * np.cos(2 * np.pi * ((6 * step - 14.5) / 24 + longitude / 360))
        weather = 2 * np.sin(step / 3 + latitude / 9) + np.cos(step / 2 + longitude / 7)
        return real + diurnal + weather

    def error(self, init_time: np.datetime64, step_h: int) -> gfs.Values:
        """Forecast minus truth: larger to the north, and twice as large after training."""
        latitude = np.arange(90, -91, -1)[:, None] * np.ones((1, 360))
        factor = 1.0 if init_time < TRAINING_END else 2.0
        return factor * TRAINING_BIAS_K[step_h] * latitude / 50

    def forecast(self, init_time: np.datetime64, step_h: int) -> gfs.Values:
        valid = init_time + np.timedelta64(step_h * 3600 * 10**9, "ns")
        return self.truth(valid) + self.error(init_time, step_h)

    def put(self, bucket: S3, init_time: np.datetime64, step_h: int) -> bytes:
        """Publish an object and its inventory."""
        values = self.forecast(init_time, step_h) if step_h else self.truth(init_time)
        content = self.library.product(init_time, step_h, values=values, padding=2)
        key = gfs.key(init_time, step_h)
        bucket.put(key, content)
        bucket.put(f"{key}.idx", gfs.inventory(content))
        return content

    def fill(self, bucket: S3) -> None:
        """Publish all of it."""
        for time in self.times:
            for step_h in (0, *TRAINING_BIAS_K):
                self.put(bucket, time, step_h)
        bucket.forget()
