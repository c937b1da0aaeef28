"""When the state of a domain is worth a warning, and when somebody has to be called."""

from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

WEBHOOK_VARIABLE = "LSNTP_ALARM_WEBHOOK"


class AlarmsConfig(BaseModel):
    """Thresholds of :mod:`lsntp.alarms`: yellow is worth a look, red is an alarm.

    The first of each pair is yellow. Where it is null it follows the cadence and how the source
    publishes; see :class:`lsntp.alarms.thresholds.Thresholds`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    analysis_late_h: float | None = Field(
        None,
        gt=0,
        description="Age of the newest analysis beyond the source's publication latency, hours. "
        "null: two steps, and a day more where a source publishes a day at a time.",
    )
    analysis_overdue_h: float | None = Field(
        None, gt=0, description="The same, red. null: twice as many."
    )
    forecast_late_h: float | None = Field(
        None,
        gt=0,
        description="Hours for which a forecast could have been made from stored analyses and was "
        "not. null: a step, two hours at least.",
    )
    forecast_overdue_h: float | None = Field(
        None, gt=0, description="The same, red. null: three times as many."
    )
    coverage_days: int = Field(
        7, ge=1, description="Days up to the newest analysis whose times should all have a field."
    )
    coverage_low: float = Field(
        1.0, ge=0, le=1, description="Share of them with a field below which coverage is yellow."
    )
    coverage_min: float = Field(
        0.95, ge=0, le=1, description="The same, red. Known holes upstream do not count."
    )
    rejections_days: int = Field(
        7, ge=1, description="Days up to the newest time in which rejected fields count."
    )
    rejections_some: int = Field(1, ge=1, description="Rejected fields that are yellow.")
    rejections_many: int = Field(3, ge=1, description="Rejected fields that are red.")
    promotion_days: int = Field(
        14, ge=1, description="Days for which a candidate that the gate refused is an alarm."
    )
    disk_low_gb: float = Field(10.0, gt=0, description="Free space below which it is yellow, GB.")
    disk_min_gb: float = Field(2.0, gt=0, description="The same, red.")
    page_minutes: float = Field(
        60.0,
        gt=0,
        description="Age at which the status page calls itself out of date: the watch has stopped.",
    )
    webhook_file: str | None = Field(
        None,
        description="A file whose only line is the URL that alarms are posted to; the variable "
        f"{WEBHOOK_VARIABLE} beats it. Never the URL itself: it may hold a key, and this "
        "configuration is stored beside every archive.",
    )

    @model_validator(mode="after")
    def _check_order(self) -> Self:
        pairs = (
            ("analysis_late_h", "analysis_overdue_h", True),
            ("forecast_late_h", "forecast_overdue_h", True),
            ("rejections_some", "rejections_many", True),
            ("coverage_low", "coverage_min", False),
            ("disk_low_gb", "disk_min_gb", False),
        )
        for yellow, red, is_rising in pairs:
            first, second = getattr(self, yellow), getattr(self, red)
            if first is None or second is None:
                continue
            if (second < first) if is_rising else (second > first):
                bound = "at least" if is_rising else "at most"
                raise ValueError(
                    f"expected {red} of {bound} {yellow} ({first:g}), found {second:g}"
                )
        return self

    @model_validator(mode="after")
    def _names_no_url(self) -> Self:
        if self.webhook_file is not None and "://" in self.webhook_file:
            raise ValueError(
                "expected webhook_file to be the path of a file that holds the URL, found a URL; "
                f"put it into a file that only you can read, or into {WEBHOOK_VARIABLE}"
            )
        return self
