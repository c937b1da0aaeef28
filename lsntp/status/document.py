"""``status/<domain>.json``: what programs may rely on. Its JSON schema lies beside it."""

import json
from typing import Any, Final, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from lsntp.alarms import AlarmName, Level

VERSION: Final = 1
SCHEMA_ID: Final = "lsntp-status-1"
GRAVITY: Final = (Level.GREEN, Level.UNKNOWN, Level.YELLOW, Level.RED)
"""The gravest last."""


class _Part(BaseModel):
    """Every key is always there; null where there is no value."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        allow_inf_nan=False,
        json_schema_serialization_defaults_required=True,
    )


class Analysis(_Part):
    """The newest time of the analysis archive that holds a true field."""

    time: AwareDatetime = Field(description="The time the field is true for, UTC.")
    status: Literal["preliminary", "final"] = Field(description="As the archive has it.")
    stored_at: AwareDatetime = Field(description="When it was written, UTC.")
    age_h: float = Field(description="made_at less time, hours.")
    latency_h: float = Field(description="How late the source publishes by its nature, hours.")


class Forecast(_Part):
    """The newest forecast of the champion."""

    init_time: AwareDatetime = Field(description="When it starts, UTC.")
    valid_until: AwareDatetime = Field(description="Its last valid time, UTC.")
    model_version: str = Field(description="What made it.")
    is_preliminary: bool = Field(description="Whether an analysis it starts from was preliminary.")
    age_h: float = Field(description="made_at less init_time, hours.")


class Day(_Part):
    """The skill of the forecasts of one UTC day of initial times."""

    day: str = Field(description="YYYY-MM-DD.")
    skill: float | None = Field(description="1 - MAE / MAE of persistence; null: not scored.")


class Skill(_Part):
    """How good the champion's forecasts of the last days with a score were."""

    days: int = Field(description="Length of the window, days.")
    until: str = Field(description="Its last day, YYYY-MM-DD.")
    against: str = Field(description="The baseline that skill is measured against.")
    skill: float | None = Field(description="1 - MAE / MAE of the baseline over the window.")
    mae_k: float | None = Field(description="Of the champion, all leads and cells, K.")
    init_times: int = Field(description="How many forecasts that are, common to both.")
    daily: tuple[Day, ...] = Field(description="The same day by day.")


class Coverage(_Part):
    """What the times of the last days up to the newest analysis hold."""

    days: int = Field(description="Length of the window, days.")
    expected: int = Field(description="Times in it.")
    final: int
    preliminary: int
    quarantined: int = Field(description="Rejected by the quality checks.")
    upstream_hole: int = Field(description="Known not to exist at the source.")
    missing: int


class Disk(_Part):
    """The disk of the archives."""

    free_gb: float = Field(description="GB of 10^9 bytes.")
    total_gb: float = Field(description="GB of 10^9 bytes.")


class Judgement(_Part):
    """How one thing stands; see :class:`lsntp.alarms.Finding`."""

    name: AlarmName = Field(description="Also the end of its events' names.")
    level: Level
    expected: str
    found: str
    where: str
    remedy: str
    limits: str = Field(description="Where yellow and red begin, in words.")
    open_since: AwareDatetime | None = Field(
        description="When the alarm was raised, UTC; null while there is none."
    )


class Status(_Part):
    """How a domain of lsntp stood at ``made_at``; out of date after ``good_until``."""

    version: Literal[1] = Field(description="Of this layout; keys may be added within one.")
    domain: str
    description: str
    is_synthetic: bool = Field(description="Whether its fields are made up.")
    source: str = Field(description="Where its analyses come from.")
    made_at: AwareDatetime = Field(description="When this was written, UTC.")
    good_until: AwareDatetime = Field(
        description="After that the watch has stopped, and nothing here can be relied on; UTC."
    )
    level: Level = Field(description="The gravest of all judgements.")
    analysis: Analysis | None = Field(description="null: none yet, or it cannot be read.")
    forecast: Forecast | None = Field(description="null: none yet, or it cannot be read.")
    skill: Skill | None = Field(description="null: nothing scored; see why_no_skill.")
    why_no_skill: str = Field(description="Empty where there is one.")
    coverage: Coverage | None = Field(description="null: no analysis yet.")
    disk: Disk | None = Field(description="null: the disk could not be asked.")
    judgements: tuple[Judgement, ...] = Field(description="One an alarm, in a fixed order.")
    lsntp_version: str

    @property
    def alarms(self) -> list[Judgement]:
        """Those that somebody has to look after."""
        return [one for one in self.judgements if one.level is Level.RED]

    def to_json(self) -> str:
        """As it is published."""
        return json.dumps(self.model_dump(mode="json"), indent=2, ensure_ascii=False) + "\n"


def schema() -> dict[str, Any]:
    """The JSON schema (draft 2020-12) of a status document."""
    made = Status.model_json_schema(mode="serialization")
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": SCHEMA_ID,
        **made,
    }
