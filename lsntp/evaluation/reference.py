"""What forecasts are measured from: climatology and value range of the training period."""

import hashlib
from dataclasses import dataclass
from typing import Final, Self, get_args

from lsntp.archives.evaluation import EvaluationArchive
from lsntp.config import Domain, Scaling
from lsntp.errors import ArchiveNotFoundError, EvaluationError
from lsntp.evaluation.sums import ValueRange
from lsntp.places import matching
from lsntp.times import Period
from lsntp.training_data.archive import (
    TrainingArchive,
    covered_times,
    input_digest,
    is_complete,
    open_training_archive,
)
from lsntp.training_data.blocks import FieldArchive
from lsntp.training_data.climatology import Climatology
from lsntp.workspace import Workspace

REFERENCE_DIGEST: Final = "reference_digest"
"""Attribute of the evaluation archive: what its scores are measured from."""


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


def training_reference(domain: Domain, analysis: FieldArchive) -> Reference:
    """The reference of the training archive made from what ``analysis`` holds now.

    Where an hour was replaced since training data were made of it, that of the stored scores
    stays in use until ``lsntp prepare`` runs again. No clock decides, neither the system's nor
    that of the files: a copied root and a clock set back give the same reference.

    Args:
        domain: whose forecasts are scored.
        analysis: its truth.

    Raises:
        EvaluationError: if there is no training archive, none on the domain's grid, or several
            of which none is made from the present analyses nor behind the stored scores.
        ArchiveError: if one is damaged.
        TrainingDataError: if the domain's blocks leave nothing to train on.
    """
    folder = Workspace.of(domain).training
    complete = {path.stem: path for path in matching(folder, "*.zarr") if is_complete(path)}
    if not complete:
        raise EvaluationError(
            f"Expected a training archive in {folder}, whose climatology anomalies are taken "
            f"from, found none; run `lsntp prepare {domain.reference}`."
        )
    for digest in _present_digests(domain, analysis):
        if digest in complete:
            return Reference.of(open_training_archive(complete[digest]))
    archives = [open_training_archive(path) for path in complete.values()]
    fitting = [archive for archive in archives if archive.grid.matches(domain.target_grid)]
    if not fitting:
        raise EvaluationError(
            f"Expected a training archive in {folder} on the grid {domain.target_grid}, found "
            f"{archives[0].grid}; run `lsntp prepare {domain.reference}`."
        )
    references = {found.digest: found for found in map(Reference.of, fitting)}
    if len(references) == 1:
        return next(iter(references.values()))
    in_use = references.get(_digest_in_use(domain))
    if in_use is None:
        raise EvaluationError(
            f"Expected a training archive of the present analyses in {folder}, found "
            f"{len(fitting)} older ones with {len(references)} climatologies; run `lsntp prepare "
            f"{domain.reference}`."
        )
    return in_use


def _present_digests(domain: Domain, analysis: FieldArchive) -> list[str]:
    """What training archives of the present analyses are called; all hold one climatology."""
    if not analysis.times.size:
        return []
    times = covered_times(domain, analysis)
    if not times.size:
        return []
    return [input_digest(domain, analysis, times, scaling) for scaling in get_args(Scaling)]


def _digest_in_use(domain: Domain) -> str:
    """Of the reference behind the stored scores; empty before there are any."""
    try:
        archive = EvaluationArchive.open(Workspace.of(domain).evaluation)
    except ArchiveNotFoundError:
        return ""
    return str(archive.attrs.get(REFERENCE_DIGEST, ""))
