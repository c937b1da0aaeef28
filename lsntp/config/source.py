"""Where analyses come from: one class a source, told apart by its name."""

from importlib.metadata import entry_points
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, field_validator

PLUGIN_GROUP = "lsntp.sources"
"""Entry points of third parties: a name, and what to call with the options and the domain."""

_LAST_HOURLY_STEP_H, _LAST_STEP_H = 120, 384
"""Of GFS: hourly at 0.25 degrees up to the first, 3-hourly otherwise and up to the second."""

Spacing = Annotated[float, Field(ge=0.01, description="Grid step, degrees.")]


class _Source(BaseModel):
    """No unknown keys, no later change, no number that is none."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class FilesSource(_Source):
    """The user's own GRIB 1/2, netCDF-3/4 and Zarr."""

    name: Literal["files"] = "files"
    paths: tuple[str, ...] = Field(
        min_length=1,
        description="Globs; ${VARIABLES} are expanded, relative ones start at the YAML.",
    )


class SyntheticSource(_Source):
    """The documented generator, for the offline demo and scale tests only."""

    name: Literal["synthetic"] = "synthetic"
    seed: int = 0
    spacing: Spacing = 0.5
    live: bool = Field(
        False,
        description="Go on to the present hour, for trying a schedule, not end with split.test.",
    )


class Era5Source(_Source):
    """ERA5 through the Climate Data Store; URL and key as cdsapi finds them, never from here."""

    name: Literal["era5"] = "era5"
    dataset: str = Field("reanalysis-era5-single-levels", pattern=r"^[a-z0-9-]+$")
    data_format: Literal["grib", "netcdf"] = Field(
        "grib", description="grib: the stable one, and the larger cost limit."
    )
    publication_days: float = Field(
        5.5, gt=0, description="Age at which preliminary hours are asked for."
    )
    max_jobs: int = Field(2, ge=1, le=20, description="Of our jobs in the queue at once.")
    retries: int = Field(5, ge=0, le=100, description="Of a request that failed for a while.")
    pause_s: float = Field(20.0, gt=0, description="Longest pause between two questions.")
    deadline_minutes: float = Field(
        300.0,
        gt=0,
        description="Longest wait for one piece of a run (30 days at most); its jobs are picked up "
        "by the next one.",
    )
    timeout_s: float = Field(60.0, gt=0, description="Longest silence of the service.")
    hosts: tuple[str, ...] = Field(
        ("*.copernicus.eu", "*.ecmwf.int"),
        min_length=1,
        description="Where results may be fetched from.",
    )


class GfsSource(_Source):
    """GFS from the public bucket; endpoint and region from the usual AWS variables.

    Anonymous unless AWS_ACCESS_KEY_ID or AWS_PROFILE is set.
    """

    name: Literal["gfs"] = "gfs"
    bucket: str = Field("noaa-gfs-bdp-pds", pattern=r"^[a-z0-9][a-z0-9.-]+$")
    resolution: Literal["0p25", "0p50", "1p00"] = "0p25"
    publication_h: float = Field(
        3.6, gt=0, description="Hours after init_time at which f000 is asked for."
    )
    give_up_h: float = Field(
        48.0, gt=0, description="Hours after init_time at which a missing object is a hole."
    )
    forecasts: bool = Field(
        True, description="Also its own forecasts, as the models gfs and gfs-bias-corrected."
    )
    forecasts_per_run: int = Field(
        40, ge=1, description="Initial times that a run without --from or --to fetches them from."
    )
    correction_init_times: int = Field(
        120, ge=1, description="Fewest forecasts of the training block to correct the bias from."
    )
    connections: int = Field(8, ge=1, le=64, description="Objects asked for at once.")
    retries: int = Field(4, ge=0, le=20, description="Of a request that failed for a while.")
    pause_s: float = Field(1.0, gt=0, description="Longest before the first retry; then doubled.")
    timeout_s: float = Field(60.0, gt=0, description="Longest silence of the server.")
    deadline_minutes: float = Field(
        30.0, gt=0, description="Longest time for one object, retries included."
    )

    def has_step(self, step_h: float) -> bool:
        """Whether the bucket holds a forecast so many hours ahead."""
        is_hourly = self.resolution == "0p25" and step_h <= _LAST_HOURLY_STEP_H
        return 0 <= step_h <= _LAST_STEP_H and step_h % (1 if is_hourly else 3) == 0


class NcepR1Source(_Source):
    """NCEP/NCAR Reanalysis 1, yearly files over HTTPS."""

    name: Literal["ncep_r1"] = "ncep_r1"
    variable: Literal["air.2m.gauss", "air.sig995"] = "air.2m.gauss"
    hosts: tuple[str, ...] = Field(
        (
            "https://downloads.psl.noaa.gov/Datasets/ncep.reanalysis",
            "https://psl.noaa.gov/thredds/fileServer/Datasets/ncep.reanalysis",
        ),
        min_length=1,
        description="Roots that hold the same files, tried in order.",
    )
    publication_days: float = Field(
        3.0, gt=0, description="Age at which a time is expected in the file of its year."
    )
    retries: int = Field(4, ge=0, le=100, description="Of a download that failed for a while.")
    pause_s: float = Field(30.0, gt=0, description="Longest pause between two attempts.")
    stall_s: float = Field(60.0, gt=0, description="Longest silence of a host.")
    deadline_minutes: float = Field(
        60.0, gt=0, description="Longest time for one file; the next run goes on with the rest."
    )

    @field_validator("hosts")
    @classmethod
    def _are_safe_roots(cls, roots: tuple[str, ...]) -> tuple[str, ...]:
        for root in roots:
            if not _is_safe_root(root):
                raise ValueError(
                    f"expected roots such as https://host/path, without credentials or query "
                    f"(http for this machine only), found {root!r}"
                )
        return tuple(root.rstrip("/") for root in roots)


class PluginSource(_Source):
    """A source of a third party, by its entry point."""

    name: str
    options: dict[str, Any] = Field(
        default_factory=dict,
        description="What it takes. Written in clear into every archive: keys and passwords "
        "belong in the environment.",
    )

    @field_validator("name")
    @classmethod
    def _is_installed(cls, name: str) -> str:
        known = [*BUILT_IN, *sorted(entry_points(group=PLUGIN_GROUP).names)]
        if name not in known:
            raise ValueError(
                f"expected one of {', '.join(known)}, or the name of an entry point of the group "
                f"{PLUGIN_GROUP} that is installed"
            )
        return name


BUILT_IN = ("files", "synthetic", "era5", "gfs", "ncep_r1")


def _is_safe_root(root: str) -> bool:
    parts = urlsplit(root)
    is_plain = parts.username is None and not parts.query and not parts.fragment
    is_loopback = parts.hostname in ("127.0.0.1", "::1", "localhost")
    is_private = parts.scheme == "https" or (parts.scheme == "http" and is_loopback)
    return bool(is_private and is_plain and parts.hostname)


def _tag(value: object) -> str:
    name = value.get("name") if isinstance(value, dict) else getattr(value, "name", None)
    return name if name in BUILT_IN else "plugin"


SourceConfig = Annotated[
    Annotated[FilesSource, Tag("files")]
    | Annotated[SyntheticSource, Tag("synthetic")]
    | Annotated[Era5Source, Tag("era5")]
    | Annotated[GfsSource, Tag("gfs")]
    | Annotated[NcepR1Source, Tag("ncep_r1")]
    | Annotated[PluginSource, Tag("plugin")],
    Discriminator(_tag),
]
