"""How the model in use is kept good: the gate, the retraining window, the drift rule."""

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

FEWEST_DAYS = 6
"""Fewer whole days give the paired block bootstrap no 95 % interval."""


class _Frozen(BaseModel):
    """No unknown keys, no later change, no number that is none."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class GateConfig(_Frozen):
    """When a candidate replaces the champion; see :mod:`lsntp.training.gate`."""

    days: int = Field(
        28,
        ge=FEWEST_DAYS,
        description="Newest days that both are compared on; fewer (six at least) where one of "
        "them was trained or validated on more recent ones.",
    )
    margin: float = Field(
        0.02,
        ge=0,
        le=1,
        description="Share of the champion's RMSE by which no lead may be worse; 0.02 is 2 %.",
    )
    archive: bool = Field(
        True,
        description="Whether the forecasts by which a network is compared with the champion are "
        "kept, each version's in an archive of its own, and scored in the evaluation archive.",
    )


class RetrainConfig(_Frozen):
    """Which hours a training run uses as the archive grows, and where scheduled ones run.

    ``fixed`` takes ``split`` as it stands. The moving windows derive the blocks from the newest
    analysis: the gate's days last, ``validation_days`` before them, training before those.
    """

    window: Literal["fixed", "expanding", "rolling"] = Field(
        "fixed",
        description="fixed: split as written; expanding: all from split.train.start on; rolling: "
        "the newest days only.",
    )
    days: int | None = Field(None, ge=2, description="Training days of a rolling window.")
    validation_days: int = Field(14, ge=2, description="Validation days of a moving window.")
    pool: Literal["gpu", "cpu"] = Field(
        "gpu",
        description="Work pool of the deployed retraining. gpu: its runs take every visible GPU "
        "and refuse to train without one; cpu: whatever the machine has.",
    )

    @model_validator(mode="after")
    def _check_days(self) -> Self:
        if (self.window == "rolling") != (self.days is not None):
            raise ValueError(
                "expected days with window: rolling and with no other, "
                f"found window: {self.window}, days: {self.days}"
            )
        return self

    @property
    def is_moving(self) -> bool:
        """Whether the blocks follow the newest analysis."""
        return self.window != "fixed"


class DriftConfig(_Frozen):
    """When the champion has drifted; see :mod:`lsntp.evaluation.drift`."""

    window_days: int = Field(7, ge=1, description="Days over which a skill is taken.")
    threshold: float = Field(
        0.0, lt=1, description="Skill against persistence (1 - MAE / MAE) that is too low below."
    )
    for_days: int = Field(3, ge=1, description="Days in a row it must stay below.")
