"""Regions of a domain: where scores are taken apart from the whole grid."""

from collections.abc import Mapping
from typing import Final, Literal, Self

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field, model_validator

from lsntp.grid import COORDINATE_TOLERANCE_DEG, Grid

Surface = Literal["land", "sea"]

BUILT_IN: Final = ("all", "land", "sea")
"""Regions of every domain."""


class RegionConfig(BaseModel):
    """Where scores are also taken: a box, land or sea, or the land or sea of a box.

    Written ``{north: 48, south: 44, west: 5, east: 16}``, with ``surface: land`` if only that
    counts, or just ``land``. A cell belongs to a box when its centre lies inside.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    north: float = Field(90.0, ge=-90, le=90)
    south: float = Field(-90.0, ge=-90, le=90)
    west: float = Field(-180.0, ge=-180, le=180)
    east: float = Field(180.0, ge=-180, le=180)
    surface: Surface | None = Field(None, description="Only its land or sea.")

    @model_validator(mode="before")
    @classmethod
    def _from_word(cls, value: object) -> object:
        return {"surface": value} if isinstance(value, str) else value

    @model_validator(mode="after")
    def _check_box(self) -> Self:
        edges = {"north", "south", "west", "east"}
        given, absent = edges & self.model_fields_set, edges - self.model_fields_set
        if given and absent:
            raise ValueError(
                f"expected all of north, south, west and east, found no {', '.join(sorted(absent))}"
            )
        if not given and self.surface is None:
            raise ValueError("expected a box, or land, or sea, found nothing")
        if self.north <= self.south or self.east <= self.west:
            raise ValueError(
                "expected north > south and east > west (a box across the date line is not "
                f"supported), found {self.south:g}..{self.north:g} N, "
                f"{self.west:g}..{self.east:g} E"
            )
        return self

    def box_cells(self, grid: Grid) -> npt.NDArray[np.bool_]:
        """Which cells (H, W) have their centre inside the box, its edges included."""
        tolerance = COORDINATE_TOLERANCE_DEG
        rows = (grid.latitude >= self.south - tolerance) & (grid.latitude <= self.north + tolerance)
        columns = (grid.longitude >= self.west - tolerance) & (
            grid.longitude <= self.east + tolerance
        )
        cells: npt.NDArray[np.bool_] = np.logical_and.outer(rows, columns)
        return cells


def check_regions(regions: Mapping[str, RegionConfig], grid: Grid) -> None:
    """Refuse names that are taken, and boxes that hold no cell of the grid.

    Raises:
        ValueError: naming the region, what was expected and what was found.
    """
    for name, region in regions.items():
        is_itself = name in ("land", "sea") and region == RegionConfig.model_validate(name)
        if name in BUILT_IN and not is_itself:
            raise ValueError(
                f"regions.{name}: {', '.join(BUILT_IN)} are always there and cannot mean "
                "anything else; choose another name"
            )
        if not region.box_cells(grid).any():
            raise ValueError(
                f"regions.{name}: expected a box with at least one cell of the grid ({grid}), "
                f"found {region.south:g}..{region.north:g} N, {region.west:g}..{region.east:g} E"
            )
