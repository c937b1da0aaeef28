"""One run of GFS, read as the tests of the source and of its faults read it."""

from collections.abc import Callable

import numpy as np

from lsntp.sources.gfs import GfsUpstream
from tests.lsntp.sources.gfs.conftest import AREA, RUN
from tests.standins import gfs

Publish = Callable[..., bytes]
Open = Callable[..., GfsUpstream]
KEY = gfs.key(RUN)
TIMES = np.array([RUN])


def values_of(source: GfsUpstream, times: np.ndarray = TIMES) -> np.ndarray:
    (frames,) = source.fetch(times, AREA)
    return frames.t2m.values


def assert_whole(open_gfs: Open, expected: np.ndarray) -> None:
    """The next run is what it should be, and leaves no file behind."""
    source = open_gfs()
    np.testing.assert_array_equal(values_of(source)[0], expected)
    assert not source.holes()
    assert not list(source._folder.iterdir())
