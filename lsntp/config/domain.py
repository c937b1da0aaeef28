"""A domain: one frozen, validated YAML file that names everything a run depends on."""

import datetime as dt
import itertools
from typing import Annotated, Any, Literal, Self, get_args

import numpy as np
import yaml
from cronsim import CronSim, CronSimError
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PrivateAttr,
    field_validator,
    model_validator,
)

from lsntp.config.alarms import AlarmsConfig
from lsntp.config.architecture import LsntpConfig
from lsntp.config.network import NetworkConfig
from lsntp.config.quality import QualityConfig
from lsntp.config.region import RegionConfig, check_regions
from lsntp.config.source import GfsSource, SourceConfig, Spacing
from lsntp.config.static import StaticConfig
from lsntp.config.upkeep import DriftConfig, GateConfig, RetrainConfig
from lsntp.grid import Grid, gaussian_grid, regular_grid
from lsntp.names import CHAMPION, VERSION_PATTERN
from lsntp.places import is_place
from lsntp.times import Duration, Instant, Period, hours, in_hours, parse_time

ROOT_VARIABLE = "LSNTP_ROOT"
WORK_VARIABLE = "LSNTP_WORK"
DEFAULT_ROOT = "lsntp-data"
NAME_PATTERN = r"^[a-z0-9][a-z0-9-]{0,62}$"

Name = Annotated[str, Field(pattern=NAME_PATTERN)]


def _to_moment(value: object) -> dt.date:
    """Dates and ISO 8601 text; a bare number would count as seconds since 1970."""
    if isinstance(value, dt.date):
        return value
    if not isinstance(value, str):
        raise ValueError("expected an ISO 8601 time such as 2019-03-01T06")  # noqa: TRY004
    return dt.datetime.fromisoformat(value)


def _to_utc(moment: dt.datetime) -> dt.datetime:
    if moment.second or moment.microsecond:
        raise ValueError("expected a time of whole minutes")
    utc = moment.astimezone(dt.UTC).replace(tzinfo=None) if moment.tzinfo else moment
    parse_time(utc)  # refuses years that the archives cannot hold
    return utc


UtcTime = Annotated[dt.datetime, BeforeValidator(_to_moment), AfterValidator(_to_utc)]
"""A date or time to the minute; with an offset it is converted, without one it is UTC."""


def _to_cron(line: str) -> str:
    try:
        CronSim(line, dt.datetime(2000, 1, 1, tzinfo=dt.UTC))
    except CronSimError as error:
        raise ValueError(f"expected a cron line such as 40 */6 * * *: {error}") from error
    return line


Cron = Annotated[
    str,
    Field(pattern=r"^\S+( \S+){4}$", description="Five fields, UTC."),
    AfterValidator(_to_cron),
]


class _Frozen(BaseModel):
    """No unknown keys, no later change, no number that is none."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


# --- the grid ------------------------------------------------------------------------------


class _Box(_Frozen):
    north: float = Field(ge=-90, le=90)
    south: float = Field(ge=-90, le=90)
    west: float = Field(ge=-180, le=180)
    east: float = Field(ge=-180, le=180)


class RegularGridConfig(_Box):
    """Cell centres at north, north - spacing … south and west … east."""

    kind: Literal["regular"] = "regular"
    spacing: Spacing

    def build(self) -> Grid:
        """The grid; see :func:`lsntp.grid.regular_grid`."""
        return regular_grid(**self.model_dump(exclude={"kind"}))


class GaussianGridConfig(_Box):
    """The cells of a global Gaussian grid inside a box (94 x 192 is T62)."""

    kind: Literal["gaussian"] = "gaussian"
    latitudes: int = Field(94, ge=2, le=4000, description="Rows of the global grid.")
    longitudes: int = Field(192, ge=4, le=8000, description="Columns of the global grid.")

    def build(self) -> Grid:
        """The grid; see :func:`lsntp.grid.gaussian_grid`."""
        return gaussian_grid(**self.model_dump(exclude={"kind"}))


GridConfig = Annotated[RegularGridConfig | GaussianGridConfig, Field(discriminator="kind")]


# --- periods -------------------------------------------------------------------------------


class ArchiveConfig(_Frozen):
    """The analysis archive: its first hour never changes."""

    start: UtcTime


class PeriodConfig(_Frozen):
    """A half-open span ``[start, end)``, UTC."""

    start: UtcTime
    end: UtcTime

    @model_validator(mode="after")
    def _check_order(self) -> Self:
        self.period  # noqa: B018  (building it is the check)
        return self

    @property
    def period(self) -> Period:
        """The span as a :class:`~lsntp.times.Period`."""
        return Period(parse_time(self.start), parse_time(self.end))


class SplitConfig(_Frozen):
    """Time blocks for training, validation and test, in that order, never overlapping.

    The purge gap (history + horizon) is cut from the start of each later block.
    """

    train: PeriodConfig
    validation: PeriodConfig
    test: PeriodConfig

    @model_validator(mode="after")
    def _check_blocks(self) -> Self:
        blocks = (self.train.period, self.validation.period, self.test.period)
        for earlier, later in itertools.pairwise(blocks):
            if earlier.end > later.start:
                raise ValueError(
                    "expected train, validation and test in order without overlap, "
                    f"found {earlier} before {later}"
                )
        return self


# --- models --------------------------------------------------------------------------------


BaselineName = Literal[
    "persistence",
    "diurnal-persistence",
    "climatology",
    "persistence-climatological-increment",
    "persistence-diurnal-increment",
    "ridge",
]
BASELINES: tuple[BaselineName, ...] = get_args(BaselineName)
GUIDANCE = ("gfs", "gfs-bias-corrected")
"""Forecasts of the domain's own source: as they come, and less their mean error."""
REFERENCES: tuple[str, ...] = (*BASELINES, *GUIDANCE)
"""What a network has to beat."""


# --- the domain ----------------------------------------------------------------------------


class DaskConfig(_Frozen):
    """Where block-wise work runs: local threads, or a scheduler's address."""

    cluster: str = Field(
        "local",
        pattern=r"^(local|(tcp|tls|ucx|ws|wss|inproc)://\S+)$",
        description="local, or an address such as tcp://host:8786.",
    )


class IngestConfig(_Frozen):
    """How much a scheduled run asks of a source beyond a network, and when it asks again."""

    budget_h: float = Field(
        744.0, gt=0, description="Hours of analyses a tick asks for: the newest, then old gaps."
    )
    retry_h: float = Field(
        24.0, ge=0, description="Hours until a gap that was asked for in vain is asked for again."
    )
    final_after_days: float = Field(
        60.0, ge=0, description="Age at which a preliminary hour may have become final."
    )


class ScheduleConfig(_Frozen):
    """Cron lines (UTC) of the scheduled flows."""

    ingest: Cron = "40 * * * *"
    reconcile: Cron = "20 3 * * *"
    forecast: Cron = "50 * * * *"
    evaluate: Cron = "55 * * * *"
    train: Cron = "30 1 * * 1"
    watch: Cron = "*/15 * * * *"


class Domain(_Frozen):
    """One forecasting domain, resolved.

    Build it with :func:`load_domain`. Stored beside every artefact it produced
    (:meth:`to_yaml`).
    """

    domain: Name
    description: str = ""
    source: SourceConfig
    grid: GridConfig
    cadence_h: float = Field(gt=0, le=24, description="Hours between analyses; divides a day.")
    history: int = Field(6, ge=1, le=240, description="Input steps of a window.")
    horizon: int = Field(6, ge=1, le=240, description="Forecast steps of a window.")
    archive: ArchiveConfig
    split: SplitConfig
    static: StaticConfig | None = Field(
        None, description="Height of the ground and share of land; null: none."
    )
    quality: QualityConfig = QualityConfig()
    ingest: IngestConfig = IngestConfig()
    networks: dict[Name, NetworkConfig] = Field(default_factory=dict)
    baselines: tuple[BaselineName, ...] = BASELINES
    ridge_penalty: float = Field(1.0, gt=0, description="L2 penalty of the ridge baseline, K^2.")
    bootstrap_samples: int = Field(1000, ge=100)
    gate: GateConfig = GateConfig()
    retrain: RetrainConfig = RetrainConfig()
    drift: DriftConfig = DriftConfig()
    alarms: AlarmsConfig = AlarmsConfig()
    schedule: ScheduleConfig = ScheduleConfig()
    dask: DaskConfig = DaskConfig()
    place: tuple[float, float] | None = Field(
        None, description="(latitude, longitude) whose learned correlations the report shows."
    )
    regions: dict[Name, RegionConfig] = Field(
        default_factory=dict, description="Where scores are also taken; land and sea are known."
    )
    root: str = Field(
        DEFAULT_ROOT,
        description=f"Archive root, a folder or s3://bucket/prefix; {ROOT_VARIABLE} beats the "
        "file.",
    )
    work: str | None = Field(
        None,
        description="Folder of this machine for partial files, checkpoints and the embedded "
        f"scheduler; the root where that is a folder, else one in ~/.cache; {WORK_VARIABLE} "
        "beats the file.",
    )
    _reference: str = PrivateAttr("")

    @field_validator("cadence_h")
    @classmethod
    def _cadence_divides_a_day(cls, value: float) -> float:
        if (24 / value) % 1 or abs(60 * value - round(60 * value)) > 1e-9:
            raise ValueError("expected a number of hours that divides 24, in whole minutes")
        return value

    @field_validator("baselines")
    @classmethod
    def _baselines_once(cls, value: tuple[BaselineName, ...]) -> tuple[BaselineName, ...]:
        if len(set(value)) < len(value):
            raise ValueError("expected every baseline once")
        return value

    @field_validator("root")
    @classmethod
    def _root_is_a_place(cls, value: str) -> str:
        if not is_place(value):
            raise ValueError("expected a folder of this machine, or s3://bucket/prefix")
        return value

    @field_validator("work")
    @classmethod
    def _work_is_local(cls, value: str | None) -> str | None:
        if value is not None and "://" in value:
            raise ValueError("expected a folder of this machine")
        return value

    @model_validator(mode="after")
    def _check_together(self) -> Self:
        clash = set(self.networks) & set(REFERENCES)
        if clash:
            raise ValueError(f"networks may not take a baseline's name: {sorted(clash)}")
        if CHAMPION in self.networks:
            raise ValueError(
                f"networks may not be named {CHAMPION}: that is whichever version the gate chose"
            )
        if versions := [name for name in self.networks if VERSION_PATTERN.fullmatch(name)]:
            raise ValueError(f"networks may not be named like versions of a model: {versions}")
        self._check_guidance()
        self._check_orography()
        if self.start > self.split.train.period.start:
            raise ValueError(
                f"archive.start ({self.archive.start}) must not lie after "
                f"split.train.start ({self.split.train.start})"
            )
        if self.drift != DriftConfig() and "persistence" not in self.baselines:
            raise ValueError(
                "expected persistence under baselines where a drift rule is set, since drift is "
                f"measured against it, found {', '.join(self.baselines) or 'none'}"
            )
        grid = self.target_grid
        if self.place is not None and not grid.contains(*self.place):
            raise ValueError(
                f"place: expected a place inside the grid ({grid}), found {self.place}"
            )
        check_regions(self.regions, grid)
        return self

    def _check_orography(self) -> None:
        for name, network in self.networks.items():
            architecture = network.architecture
            if (
                self.static is None
                and isinstance(architecture, LsntpConfig)
                and architecture.orography
            ):
                raise ValueError(
                    f"networks.{name}.architecture.orography: expected a source of the ground's "
                    "height under static (files, era5 or gfs), found none"
                )

    def _check_guidance(self) -> None:
        if not isinstance(self.source, GfsSource) or not self.source.forecasts:
            return
        leads_h = [in_hours(lead) for lead in self.lead_times]
        absent = [lead for lead in leads_h if not self.source.has_step(lead)]
        if absent:
            raise ValueError(
                f"source: GFS at {self.source.resolution} has no forecasts {absent[0]:g} h ahead, "
                "which cadence_h and horizon ask for; use another resolution, or set "
                "source.forecasts: false"
            )

    @property
    def reference(self) -> str:
        """What a command is told to find this domain: the preset or file it was loaded from."""
        return self._reference or self.domain

    def loaded_from(self, reference: str) -> Self:
        """The same domain with another :attr:`reference`, which decides nothing else."""
        copy = self.model_copy()
        copy._reference = reference
        return copy

    def __eq__(self, other: object) -> bool:
        """Whether every key is the same; where they were loaded from does not count."""
        return isinstance(other, Domain) and self.__dict__ == other.__dict__

    __hash__ = None  # type: ignore[assignment]  # networks are a dictionary

    @property
    def cadence(self) -> Duration:
        """Time between two analyses."""
        return hours(self.cadence_h)

    @property
    def start(self) -> Instant:
        """The first hour of the analysis archive."""
        return parse_time(self.archive.start)

    @property
    def target_grid(self) -> Grid:
        """The domain's grid."""
        return self.grid.build()

    @property
    def lead_times(self) -> np.ndarray[Any, np.dtype[np.timedelta64]]:
        """Lead times (horizon,) as timedelta64[ns]: cadence, 2 cadence and so on."""
        return np.arange(1, self.horizon + 1) * self.cadence

    @property
    def steps_per_day(self) -> int:
        """Analyses per 24 hours."""
        return round(24 / self.cadence_h)

    @property
    def is_synthetic(self) -> bool:
        """Whether every artefact must be labelled synthetic."""
        return self.source.name == "synthetic"

    @property
    def purge(self) -> Duration:
        """Gap between two split blocks: history + horizon steps."""
        return (self.history + self.horizon) * self.cadence

    @property
    def guidance(self) -> tuple[str, ...]:
        """The forecasts that the source itself makes; fetched, not trained."""
        has_forecasts = isinstance(self.source, GfsSource) and self.source.forecasts
        return GUIDANCE if has_forecasts else ()

    @property
    def trained_names(self) -> tuple[str, ...]:
        """The models that `lsntp train` makes: baselines first, then networks."""
        return (*self.baselines, *self.networks)

    @property
    def model_names(self) -> tuple[str, ...]:
        """Baselines first, then the source's own forecasts, then networks."""
        return (*self.baselines, *self.guidance, *self.networks)

    def to_yaml(self) -> str:
        """The resolved configuration, loadable by :func:`load_domain`."""
        return yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False)
