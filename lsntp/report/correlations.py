"""Learned against measured correlations of one place: the numbers of Fig. 1, 11 and 12.

Figures as in Xu et al., Neural Networks 155 (2022) 242-257, doi 10.1016/j.neunet.2022.07.022.
Shapes: H x W the domain's grid, h x w the nodes of a network, coarser if it downsamples.
"""

from dataclasses import dataclass
from functools import partial
from typing import Self

import numpy as np
import xarray as xr

from lsntp.config import Domain
from lsntp.dask_cluster import on_cluster
from lsntp.errors import DomainError, ModelError, TrainingDataError
from lsntp.grid import Floats, Grid
from lsntp.names import LATITUDE, LONGITUDE
from lsntp.report.learned import learned_column, networks_with_a_graph
from lsntp.times import Period, Times
from lsntp.training.history import open_analysis
from lsntp.training.versions import ModelVersion, latest_version
from lsntp.training_data.blocks import (
    FieldArchive,
    block_frames,
    reduce_blocks,
    split_times,
    usable_at,
)
from lsntp.training_data.splits import effective_periods
from lsntp.training_data.statistics import REFERENCE_K
from lsntp.workspace import Workspace

Place = tuple[float, float]


@dataclass(frozen=True, eq=False)
class Correlations:
    """What a network has learned about one place, beside what the data say.

    Attributes:
        domain: its name.
        model, version: of the network.
        is_synthetic: whether data and network must be labelled so.
        place: (latitude, longitude) asked for, degrees.
        cell: (row, column) of the cell that holds it.
        node: (row, column) of the node that stands for that cell.
        grid: of the domain.
        node_grid: of the nodes.
        adjacency: (h, w), a column of A: with which weight every node takes from this one.
        correlation: (H, W), Pearson's ρ of every cell with this one, -1…1; NaN where a
            cell never changes.
        period: the training period the correlation was taken over.
        frames: usable analyses in it.
    """

    domain: str
    model: str
    version: str
    is_synthetic: bool
    place: Place
    cell: tuple[int, int]
    node: tuple[int, int]
    grid: Grid
    node_grid: Grid
    adjacency: Floats
    correlation: Floats
    period: Period
    frames: int

    def to_dataset(self) -> xr.Dataset:
        """The numbers with their coordinates, CF attributes and where they come from."""
        axes = {
            LATITUDE: (self.grid.latitude, "latitude", "degrees_north"),
            LONGITUDE: (self.grid.longitude, "longitude", "degrees_east"),
            f"node_{LATITUDE}": (self.node_grid.latitude, "latitude", "degrees_north"),
            f"node_{LONGITUDE}": (self.node_grid.longitude, "longitude", "degrees_east"),
        }
        return xr.Dataset(
            {
                "adjacency": (
                    (f"node_{LATITUDE}", f"node_{LONGITUDE}"),
                    self.adjacency,
                    {
                        "units": "1",
                        "long_name": "learned weight with which a node takes from the chosen one",
                        "comment": f"an even share is 1 / {self.adjacency.size}",
                    },
                ),
                "correlation": (
                    (LATITUDE, LONGITUDE),
                    self.correlation,
                    {
                        "units": "1",
                        "long_name": "Pearson correlation of 2 m temperature with the chosen cell",
                    },
                ),
            },
            {
                name: (name, values, {"standard_name": standard, "units": units})
                for name, (values, standard, units) in axes.items()
            },
            {
                "Conventions": "CF-1.11",
                "title": f"Learned and measured correlations, domain {self.domain}",
                "model": self.model,
                "model_version": self.version,
                "synthetic": str(self.is_synthetic).lower(),
                "place_latitude": self.place[0],
                "place_longitude": self.place[1],
                "cell_latitude": float(self.grid.latitude[self.cell[0]]),
                "cell_longitude": float(self.grid.longitude[self.cell[1]]),
                "training_period": str(self.period),
                "frames": self.frames,
            },
        )


def correlations(domain: Domain, place: Place, model: str | None = None) -> Correlations:
    """The newest network's learned column for ``place`` and the correlation of the data.

    Args:
        domain: with an analysis archive and a trained network.
        place: (latitude, longitude), degrees, inside the grid.
        model: which network; None for the first of the domain that has a
            version and learns a graph.

    Raises:
        DomainError: if the place lies outside the grid.
        ModelError: if there is no version, or the network learns no adjacency.
        ArchiveError: if there is no analysis archive.
        TrainingDataError: if the training period holds fewer than two usable analyses.
    """
    grid = domain.target_grid
    if not grid.contains(*place):
        raise DomainError(
            f"Expected a place inside the grid of {domain.domain} ({grid}), found "
            f"{place[0]:g},{place[1]:g}; give it as latitude,longitude."
        )
    version = _network_version(domain, model)
    cell = grid.nearest_cell(*place)
    learned = learned_column(domain, version, cell)
    analysis = open_analysis(domain)
    period = effective_periods(domain)["train"]
    with on_cluster(domain.dask):
        correlation, frames = pearson(analysis, period, cell)
    return Correlations(
        domain=domain.domain,
        model=version.model,
        version=version.version,
        is_synthetic=domain.is_synthetic,
        place=place,
        cell=cell,
        node=learned.node,
        grid=grid,
        node_grid=learned.node_grid,
        adjacency=learned.weights,
        correlation=correlation,
        period=period,
        frames=frames,
    )


def pearson(
    archive: FieldArchive, period: Period, cell: tuple[int, int], *, frames: int | None = None
) -> tuple[Floats, int]:
    """ρ (H, W) of every cell with ``cell`` over the usable fields of ``period``, and their count.

    ρ(x, y) = Σ (x - x̄)(y - ȳ) / (√Σ (x - x̄)² √Σ (y - ȳ)²), one pass, block by block.

    Args:
        archive: what to read.
        period: nothing outside it is read.
        cell: (row, column).
        frames: block length; changes memory, not the result.

    Raises:
        TrainingDataError: if fewer than two fields are usable.
    """
    times = period.steps(archive.cadence, archive.start)
    usable = times[usable_at(archive, times)]
    if usable.size < 2:
        raise TrainingDataError(
            f"Expected at least two usable analyses in the training period {period} to correlate, "
            f"found {usable.size}; run `lsntp ingest`."
        )
    blocks = split_times(usable, frames or block_frames(archive.grid))
    sums = reduce_blocks(partial(_Sums.of, archive, cell), _Sums.merge, blocks, "correlations")
    return sums.pearson(cell), sums.count


@dataclass(frozen=True, eq=False)
class _Sums:
    """Sums over times, about :data:`REFERENCE_K` so that squares lose no digits."""

    count: int
    value: Floats
    square: Floats
    product: Floats

    @classmethod
    def of(cls, archive: FieldArchive, cell: tuple[int, int], times: Times) -> Self:
        fields = archive.read(times).astype(np.float64) - REFERENCE_K
        mine = fields[:, cell[0], cell[1]]
        return cls(
            times.size,
            fields.sum(axis=0),
            np.einsum("thw,thw->hw", fields, fields),
            np.einsum("t,thw->hw", mine, fields),
        )

    def merge(self, other: Self) -> Self:
        return type(self)(
            self.count + other.count,
            self.value + other.value,
            self.square + other.square,
            self.product + other.product,
        )

    def pearson(self, cell: tuple[int, int]) -> Floats:
        covariance = self.product - self.value * self.value[cell] / self.count
        variance = self.square - self.value**2 / self.count
        moves = variance > 1e-12 * np.maximum(self.square, 1.0)
        scale = np.sqrt(np.where(moves, variance, np.nan))
        rho: Floats = np.clip(covariance / (scale * scale[cell]), -1.0, 1.0)
        return rho


def _network_version(domain: Domain, model: str | None) -> ModelVersion:
    """The newest version of the network asked for, else of the first that has one and a graph."""
    if model is not None and model not in domain.networks:
        raise ModelError(
            f"Expected a network of domain {domain.domain} "
            f"({', '.join(domain.networks) or 'it has none'}), found {model!r}."
        )
    names = [model] if model else networks_with_a_graph(domain) or list(domain.networks)
    folder = Workspace.of(domain).models
    found = (latest_version(folder, name) for name in names)
    version = next((version for version in found if version is not None), None)
    if version is None:
        raise ModelError(
            f"Expected a trained network out of {', '.join(names) or 'none'} in {folder}, found "
            "none; run `lsntp train`."
        )
    return version
