"""Where a domain's static fields come from: height of the ground and share of land."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class _Static(BaseModel):
    """No unknown keys, no later change."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class StaticFiles(_Static):
    """The user's own GRIB, netCDF or Zarr of geopotential or height, and of land and sea."""

    source: Literal["files"] = "files"
    paths: tuple[str, ...] = Field(
        min_length=1,
        description="Paths; ${VARIABLES} are expanded, relative ones start at the YAML.",
    )


StaticConfig = StaticFiles
"""One class a source; a second one makes this a union, told apart by ``source``."""
