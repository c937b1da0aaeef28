"""The analyses a model starts from, read from the archive by initial time."""

import numpy as np
import numpy.typing as npt

from lsntp.archives.analysis import AnalysisArchive
from lsntp.config import Domain
from lsntp.errors import ArchiveError
from lsntp.times import Times, format_duration_h, format_time
from lsntp.training_data.blocks import USABLE_CODES
from lsntp.workspace import Workspace

Codes = npt.NDArray[np.int8]


def open_analysis(domain: Domain) -> AnalysisArchive:
    """The domain's analysis archive.

    Raises:
        ArchiveNotFoundError: if there is none yet.
        ArchiveError: if it was made for another grid, start or cadence.
    """
    archive = AnalysisArchive.open(Workspace.of(domain).analysis)
    faults = []
    if not archive.grid.matches(domain.target_grid):
        faults.append(f"grid {domain.target_grid}, found {archive.grid}")
    if archive.start != domain.start:
        faults.append(f"start {format_time(domain.start)}, found {format_time(archive.start)}")
    if archive.cadence != domain.cadence:
        wanted, found = (format_duration_h(step) for step in (domain.cadence, archive.cadence))
        faults.append(f"cadence {wanted}, found {found}")
    if faults:
        raise ArchiveError(
            f"Expected in {archive.path}: {'; '.join(faults)}. Correct the domain file, or give "
            "the domain a new name and ingest it."
        )
    return archive


def times_of(archive: AnalysisArchive, init_times: Times, offsets: tuple[int, ...]) -> Times:
    """The instants (n, len(offsets)) that lie ``offsets`` steps from each of ``init_times``."""
    return init_times[:, None] + np.array(offsets) * archive.cadence


def status_of(archive: AnalysisArchive, init_times: Times, offsets: tuple[int, ...]) -> Codes:
    """The status codes (n, len(offsets)) at :func:`times_of`."""
    times = times_of(archive, init_times, offsets)
    return archive.status_at(times.ravel()).reshape(times.shape)


def is_complete(status: Codes) -> npt.NDArray[np.bool_]:
    """Which rows of :func:`status_of` hold usable analyses only."""
    return np.asarray(np.isin(status, USABLE_CODES).all(axis=1))


def read_fields(
    archive: AnalysisArchive, init_times: Times, offsets: tuple[int, ...]
) -> npt.NDArray[np.float32]:
    """Fields (n, len(offsets), H, W), K, at :func:`times_of`; every instant is read once."""
    wanted = times_of(archive, init_times, offsets)
    times, position = np.unique(wanted, return_inverse=True)
    return archive.read(times)[position.reshape(wanted.shape)]
