"""Where a domain's static fields come from: height of the ground and share of land."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag


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


class StaticEra5(_Static):
    """ERA5's own through the Climate Data Store; URL and key as cdsapi finds them."""

    source: Literal["era5"]
    dataset: str = Field("reanalysis-era5-single-levels", pattern=r"^[a-z0-9-]+$")
    retries: int = Field(5, ge=0, le=100, description="Of a question that failed for a while.")
    pause_s: float = Field(20.0, gt=0, description="Longest pause between two questions.")
    timeout_s: float = Field(60.0, gt=0, description="Longest silence of the service.")
    deadline_minutes: float = Field(
        60.0, gt=0, description="Longest wait of a run; its job is picked up by the next one."
    )
    hosts: tuple[str, ...] = Field(
        ("*.copernicus.eu", "*.ecmwf.int"),
        min_length=1,
        description="Where the result may be fetched from.",
    )


class StaticGfs(_Static):
    """Those of a GFS analysis in the public bucket; endpoint and region as for source gfs."""

    source: Literal["gfs"]
    bucket: str = Field("noaa-gfs-bdp-pds", pattern=r"^[a-z0-9][a-z0-9.-]+$")
    resolution: Literal["0p25", "0p50", "1p00"] = "0p25"
    retries: int = Field(4, ge=0, le=20, description="Of a request that failed for a while.")
    pause_s: float = Field(1.0, gt=0, description="Longest before the first retry; then doubled.")
    timeout_s: float = Field(60.0, gt=0, description="Longest silence of the server.")
    deadline_minutes: float = Field(
        30.0, gt=0, description="Longest time for one object, retries included."
    )


def _tag(value: object) -> str:
    """Files where the section does not say."""
    found = value.get("source") if isinstance(value, dict) else getattr(value, "source", None)
    return str(found) if found is not None else "files"


StaticConfig = Annotated[
    Annotated[StaticFiles, Tag("files")]
    | Annotated[StaticEra5, Tag("era5")]
    | Annotated[StaticGfs, Tag("gfs")],
    Discriminator(_tag),
]
