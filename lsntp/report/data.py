"""What the page shows, as plain arrays: filled by ``collect``, drawn by the other modules."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lsntp.archives.coverage import Coverage
from lsntp.config import Domain
from lsntp.evaluation.table import SkillTable
from lsntp.grid import Floats, Grid
from lsntp.times import Instant


@dataclass(frozen=True)
class Case:
    """One forecast beside the truth.

    Attributes:
        title: why this one is shown.
        model: who made it.
        init_time: when it starts.
        lead_times: (F,) timedelta64.
        forecast: (F, H, W) K.
        truth: (F, H, W) K.
        is_preliminary: whether an input was preliminary.
    """

    title: str
    model: str
    init_time: Instant
    lead_times: npt.NDArray[np.timedelta64]
    forecast: Floats
    truth: Floats
    is_preliminary: bool


@dataclass(frozen=True)
class ErrorMap:
    """Errors per cell, mean over leads and initial times: mae, bias (H, W) K."""

    model: str
    mae: Floats
    bias: Floats


@dataclass(frozen=True)
class Links:
    """The learned weights with which all cells listen to one.

    Attributes:
        model: the network.
        version: its version.
        place: (latitude, longitude) asked for.
        cell: (row, column) of the node that stands for it.
        grid: of the nodes; coarser than the domain's when the network downsamples.
        weights: (h, w), a column of the adjacency A, as Fig. 11 and 12 of the LS-NTP paper show
            it: with which weight every node takes from this one. An even share is 1 / (h w).
    """

    model: str
    version: str
    place: tuple[float, float]
    cell: tuple[int, int]
    grid: Grid
    weights: Floats


@dataclass(frozen=True)
class Fact:
    """One line of provenance."""

    label: str
    value: str


@dataclass(frozen=True)
class ReportData:
    """Everything one page says.

    Attributes:
        domain: the resolved configuration.
        table: the scores of every model.
        forecast_path: the archive that the reading example opens.
        example_init: an initial time it holds.
        cases: forecasts to animate, the first one shown.
        error_maps: the winner first.
        links: learned correlations, or None with the reason in ``links_note``.
        links_note: said when there are none.
        coverage: of the whole analysis archive.
        facts: provenance, in order.
    """

    domain: Domain
    table: SkillTable
    forecast_path: str
    example_init: Instant
    cases: tuple[Case, ...]
    error_maps: tuple[ErrorMap, ...]
    links: Links | None
    links_note: str
    coverage: Coverage
    facts: tuple[Fact, ...]

    @property
    def grid(self) -> Grid:
        """The domain's grid."""
        return self.domain.target_grid
