"""Regions as masks of cells: boxes of the domain file, land and sea.

Land is where at least half of a cell is land, see :mod:`lsntp.land`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from lsntp.config import Domain
from lsntp.config.region import RegionConfig
from lsntp.errors import EvaluationError
from lsntp.grid import Floats, Grid
from lsntp.land import land_fraction

REGION: Final = "region"
ALL: Final = "all"
LAND: Final = "land"
SEA: Final = "sea"
LAND_SHARE: Final = 0.5
"""A cell of at least this land fraction is land."""


@dataclass(frozen=True, eq=False)
class Masks:
    """Named regions of one grid.

    Attributes:
        names: (R,).
        inside: (R, H, W) which cells belong to each; none is empty.
    """

    names: tuple[str, ...]
    inside: npt.NDArray[np.bool_]


def region_masks(domain: Domain, names: Sequence[str] | None = None) -> Masks:
    """The cells of the domain's regions.

    Args:
        domain: whose grid and ``regions``.
        names: which; by default ``all``, then ``land`` and ``sea`` where the grid has both,
            then those of the domain file that have cells.

    Raises:
        EvaluationError: for a name that is none, or a region without cells.
    """
    known: dict[str, RegionConfig | None] = {
        ALL: None,
        LAND: RegionConfig(surface=LAND),
        SEA: RegionConfig(surface=SEA),
        **domain.regions,
    }
    unknown = [name for name in names or () if name not in known]
    if unknown:
        raise EvaluationError(
            f"Expected regions of the domain {domain.domain} ({', '.join(known)}), found "
            f"{', '.join(unknown)}; add them under regions: in the domain file."
        )
    grid = domain.target_grid
    asked = dict.fromkeys(names or known)
    masks = {name: cells_of(known[name], grid) for name in asked}
    empty = [name for name, mask in masks.items() if not mask.any()]
    if names and empty:
        raise EvaluationError(
            f"Expected at least one cell in each region, found none in {', '.join(empty)} on the "
            f"grid ({grid}); choose other regions."
        )
    for name in empty:
        # The whole grid is land or sea: neither says anything that "all" does not.
        for other in (name, *({LAND, SEA} - {name} if name in (LAND, SEA) else ())):
            masks.pop(other, None)
    return Masks(tuple(masks), np.stack(list(masks.values())))


def cells_of(region: RegionConfig | None, grid: Grid) -> npt.NDArray[np.bool_]:
    """Which cells (H, W) belong to a region: by their centre, and by their land fraction."""
    if region is None:
        return np.ones(grid.shape, bool)
    inside = region.box_cells(grid)
    if region.surface is not None:
        is_land = land_fraction(grid) >= LAND_SHARE
        inside &= is_land if region.surface == LAND else ~is_land
    return inside


def region_shares(masks: Masks, weights: Floats | None = None) -> Floats:
    """The share (R, H, W) of each cell in its region's mean; sums to 1 over each region.

    Args:
        masks: the regions.
        weights: cell areas (H, W), any scale; None where every cell counts the same.
    """
    shares = masks.inside * (1.0 if weights is None else weights)
    total: Floats = shares / shares.sum(axis=(1, 2), keepdims=True)
    return total
