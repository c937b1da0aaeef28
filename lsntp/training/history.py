"""The analyses a model starts from, read from the archive by initial time."""

import numpy as np
import numpy.typing as npt

from lsntp.archives.analysis import AnalysisArchive
from lsntp.times import Times
from lsntp.training_data.blocks import USABLE_CODES

Codes = npt.NDArray[np.int8]


def times_of(archive: AnalysisArchive, init_times: Times, offsets: tuple[int, ...]) -> Times:
    """The instants (n, len(offsets)) that lie ``offsets`` steps from each of ``init_times``."""
    return init_times[:, None] + np.array(offsets) * archive.cadence


def status_of(archive: AnalysisArchive, init_times: Times, offsets: tuple[int, ...]) -> Codes:
    """The status codes (n, len(offsets)) at :func:`times_of`."""
    times = times_of(archive, init_times, offsets)
    return archive.status_at(times.ravel()).reshape(times.shape)


def is_complete(status: Codes) -> npt.NDArray[np.bool_]:
    """Which rows of :func:`status_of` hold usable analyses only."""
    complete: npt.NDArray[np.bool_] = np.isin(status, USABLE_CODES).all(axis=1)
    return complete


def read_fields(
    archive: AnalysisArchive, init_times: Times, offsets: tuple[int, ...]
) -> npt.NDArray[np.float32]:
    """Fields (n, len(offsets), H, W), K, at :func:`times_of`; every instant is read once."""
    wanted = times_of(archive, init_times, offsets)
    times, position = np.unique(wanted, return_inverse=True)
    return archive.read(times)[position.reshape(wanted.shape)]
