"""What forecasts are measured from: climatology and value range of the training period."""

import hashlib
from dataclasses import dataclass
from typing import Self

from lsntp.config import Domain
from lsntp.errors import EvaluationError
from lsntp.evaluation.sums import ValueRange
from lsntp.times import Period
from lsntp.training_data.archive import TrainingArchive, open_training_archive
from lsntp.training_data.climatology import Climatology
from lsntp.workspace import Workspace


@dataclass(frozen=True, eq=False)
class Reference:
    """The reference of anomalies and of the data-range scores, from training times only.

    Attributes:
        climatology: what anomalies are taken from.
        value_range: of the training period.
        period: the training period.
        digest: hexadecimal identity of climatology and range; scores of another are stale.
    """

    climatology: Climatology
    value_range: ValueRange
    period: Period
    digest: str

    @classmethod
    def of(cls, training: TrainingArchive) -> Self:
        """The reference a training archive holds."""
        statistics = training.statistics
        climatology = statistics.climatology
        content = hashlib.sha256()
        for array in (climatology.coefficients, climatology.hours_of_day):
            content.update(array.astype(array.dtype.newbyteorder("<")).tobytes())
        content.update(f"{statistics.minimum!r} {statistics.maximum!r}".encode())
        return cls(
            climatology,
            ValueRange(statistics.minimum, statistics.maximum),
            statistics.period,
            content.hexdigest(),
        )


def newest_reference(domain: Domain) -> Reference:
    """The reference of the domain's newest training archive.

    Raises:
        EvaluationError: if there is none, or it is of another grid.
    """
    folder = Workspace.of(domain).training
    written = {path: (path / "zarr.json") for path in folder.glob("*.zarr")}
    complete = [path for path, root in written.items() if root.is_file()]
    if not complete:
        raise EvaluationError(
            f"Expected a training archive in {folder}, whose climatology anomalies are taken "
            f"from, found none; run `lsntp prepare {domain.domain}`."
        )
    newest = max(complete, key=lambda path: (written[path].stat().st_mtime_ns, path.name))
    training = open_training_archive(newest)
    if not training.grid.matches(domain.target_grid):
        raise EvaluationError(
            f"Expected the training archive {newest} on the grid {domain.target_grid}, found "
            f"{training.grid}; run `lsntp prepare {domain.domain}`."
        )
    return Reference.of(training)
