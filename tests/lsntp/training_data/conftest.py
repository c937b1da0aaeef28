"""A small archive held in memory, and a domain to go with it."""

import hashlib
from dataclasses import dataclass, field

import numpy as np
import pytest

from lsntp.config import Domain
from lsntp.grid import Grid
from lsntp.names import Status
from lsntp.times import hours, parse_time, slot_index

START = parse_time("2021-01-01")


@dataclass
class MemoryArchive:
    """An analysis archive without storage: what training reads of one."""

    fields: np.ndarray
    grid: Grid
    start: np.datetime64 = START
    cadence: np.timedelta64 = field(default_factory=lambda: hours(1))
    status: np.ndarray = None

    def __post_init__(self):
        self.fields = np.asarray(self.fields, np.float32)
        if self.status is None:
            self.status = np.full(len(self.fields), Status.FINAL, np.int8)

    @property
    def times(self):
        return self.start + np.arange(len(self.fields)) * self.cadence

    def lose(self, *indices):
        for index in indices:
            self.fields[index] = np.nan
            self.status[index] = Status.MISSING
        return self

    def read(self, times):
        return self._take(self.fields, times, np.nan)

    def status_at(self, times):
        return self._take(self.status, times, Status.MISSING)

    def digests_at(self, times):
        digests = np.array(
            [list(hashlib.sha256(frame.tobytes()).digest()) for frame in self.fields], np.uint8
        )
        return self._take(digests, times, 0)

    def _take(self, values, times, fill):
        index = slot_index(times, self.start, self.cadence)
        found = np.full((len(times), *values.shape[1:]), fill, values.dtype)
        inside = index < len(values)
        found[inside] = values[index[inside]]
        return found


def small_grid(rows=2, columns=3):
    return Grid(50.0 - np.arange(rows), np.arange(columns))


def weather(frames, *, rows=2, columns=3, seed=0):
    """Plausible fields (frames, rows, columns): a diurnal cycle and slow noise, K."""
    random = np.random.default_rng(seed)
    noise = np.cumsum(random.normal(0, 0.3, (frames, rows, columns)), axis=0)
    cycle = 4 * np.sin(2 * np.pi * np.arange(frames) / 24)
    return (283 + cycle[:, None, None] + noise).astype(np.float32)


def _archive(frames=24 * 20, *, cadence_h=1, rows=2, columns=3, seed=0):
    return MemoryArchive(
        weather(frames, rows=rows, columns=columns, seed=seed),
        small_grid(rows, columns),
        cadence=hours(cadence_h),
    )


def _domain(
    *,
    train=("2021-01-01", "2021-01-11"),
    validation=("2021-01-11", "2021-01-16"),
    test=("2021-01-16", "2021-01-21"),
    rows=2,
    columns=3,
    **settings,
):
    names = ("train", "validation", "test")
    return Domain.model_validate(
        {
            "domain": "tiny",
            "source": {"name": "synthetic"},
            "grid": {
                "kind": "regular",
                "north": 50.0,
                "south": 50.0 - (rows - 1),
                "west": 0.0,
                "east": float(columns - 1),
                "spacing": 1.0,
            },
            "cadence_h": 1,
            "history": 3,
            "horizon": 2,
            "archive": {"start": "2021-01-01"},
            "split": {
                name: {"start": start, "end": end}
                for name, (start, end) in zip(names, (train, validation, test), strict=True)
            },
            **settings,
        }
    )


@pytest.fixture(scope="session")
def make_archive():
    """A factory: ``make_archive(frames, cadence_h=1, rows=2, columns=3, seed=0)``."""
    return _archive


@pytest.fixture(scope="session")
def make_domain():
    """A factory of configurations that fit :func:`make_archive`'s default."""
    return _domain


@pytest.fixture(scope="session")
def memory_archive():
    """A factory from fields (n, H, W): ``memory_archive(fields, cadence=hours(6))``."""
    return lambda fields, **settings: MemoryArchive(
        fields, small_grid(*np.shape(fields)[1:]), **settings
    )


@pytest.fixture
def archive():
    return _archive()


@pytest.fixture
def domain():
    return _domain()
