"""Where a model version comes from: what decided it, and how making it went."""

import datetime as dt
import hashlib
import json
import os
import platform
import shutil
import subprocess
from pathlib import Path
from typing import Any, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

import lsntp
from lsntp.config import Domain
from lsntp.times import Period, format_time
from lsntp.training_data.splits import effective_periods

Kind = Literal["baseline", "network"]

DIGEST_LENGTH = 12


class _Record(BaseModel):
    """No unknown keys, no later change."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Recipe(_Record):
    """Everything that decides the weights of a version; equal recipes, equal versions."""

    model: str
    kind: Kind
    domain: str
    training_period: tuple[str, str] = Field(description="[start, end), UTC.")
    validation_period: tuple[str, str] = Field(description="[start, end), UTC.")
    training_data: str = Field(description="Digest of the training archive.")
    grid_digest: str
    history: int
    horizon: int
    cadence_h: float
    settings: dict[str, Any] = Field(description="The model's own configuration.")
    seed: int | None = None
    parent: str | None = Field(None, description="The version this one was fine-tuned from.")
    code_version: str
    repeat: int = Field(0, description="How often the same recipe was trained before, on demand.")

    @property
    def version(self) -> str:
        """``<model>-<first 12 hexadecimal digits of the SHA-256 of the recipe>``."""
        text = json.dumps(self.model_dump(mode="json"), sort_keys=True)
        digest = hashlib.sha256(text.encode()).hexdigest()
        return f"{self.model}-{digest[:DIGEST_LENGTH]}"


class Provenance(_Record):
    """Where a version comes from: its recipe, and how making it went."""

    version: str
    recipe: Recipe
    grid: str = Field(description="The grid in words, for messages.")
    parameters: int = Field(description="Trained numbers.")
    tensors_sha256: str = Field("", description="SHA-256 of model.safetensors, set on saving.")
    files_sha256: dict[str, str] = Field(
        {},
        description="SHA-256 of config.yaml, statistics.json and scores.json by name, set on "
        "saving; versions older than this seal have none.",
    )
    is_synthetic: bool
    commit: str | None = Field(description="Of the source tree, where there is one.")
    hardware: dict[str, str]
    durations_s: dict[str, float]
    created_at: AwareDatetime


def recipe_for(
    domain: Domain,
    *,
    model: str,
    kind: Kind,
    training_data: str,
    settings: dict[str, Any],
    seed: int | None = None,
    parent: str | None = None,
) -> Recipe:
    """The recipe of ``model`` for ``domain`` and this code; the rest is as in :class:`Recipe`.

    Raises:
        TrainingDataError: if nothing is left of the training or validation period.
    """
    periods = effective_periods(domain)
    return Recipe(
        model=model,
        kind=kind,
        domain=domain.domain,
        training_period=period_as_text(periods["train"]),
        validation_period=period_as_text(periods["validation"]),
        training_data=training_data,
        grid_digest=domain.target_grid.digest,
        history=domain.history,
        horizon=domain.horizon,
        cadence_h=domain.cadence_h,
        settings=settings,
        seed=seed,
        parent=parent,
        code_version=lsntp.__version__,
    )


def period_as_text(period: Period) -> tuple[str, str]:
    """``(start, end)`` in ISO 8601, as recipes store it."""
    return format_time(period.start), format_time(period.end)


def now_utc() -> dt.datetime:
    """The wall clock."""
    return dt.datetime.now(dt.UTC)


def hardware(accelerator: str = "cpu", devices: int = 1) -> dict[str, str]:
    """What the fit ran on: processor architecture, usable cores, accelerator and how many of it."""
    return {
        "machine": platform.machine(),
        "cores": str(os.cpu_count()),
        "accelerator": accelerator,
        "devices": str(devices),
    }


def source_commit() -> str | None:
    """The git commit of the source tree, ``-dirty`` if changed; None outside a checkout."""
    checkout = Path(lsntp.__file__).resolve().parents[1]
    git = shutil.which("git")
    if git is None or not (checkout / ".git").exists():
        return None
    try:
        described = subprocess.run(  # noqa: S603
            [git, "-C", str(checkout), "describe", "--always", "--dirty", "--abbrev=12"],
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return described.stdout.strip() or None
