"""Versions whose forecasts, and so whose errors, are known by hand.

The small domain with six-hourly, constant fields of 280 K. A ridge without coefficients but those
of the one, around a constant climatology, is persistence plus a bias for each lead: against
constant truth its RMSE is that bias exactly.
"""

import datetime as dt
import hashlib
import json

import numpy as np

from lsntp.models.ridge import FEATURES
from lsntp.training.contents import CLIMATOLOGY, HOURS_OF_DAY, RIDGE
from lsntp.training.provenance import Provenance, Recipe
from lsntp.training.versions import ModelVersion, save_version
from lsntp.workspace import Workspace

TRUTH_K = 280.0
LEADS = 2
MADE = dt.datetime(2021, 2, 1, tzinfo=dt.UTC)
TRAINING_DAYS, VALIDATION_DAYS, TEST_DAYS = 6, 4, 12


def gate_domain(make_domain, root, **changes):
    """Six days of training, four of validation, twelve to be judged on; two leads of 6 h."""
    small = {
        "cadence_h": 6,
        "history": 2,
        "horizon": LEADS,
        "networks": {},
        "bootstrap_samples": 200,
        "split": {
            "train": {"start": "2021-01-01", "end": "2021-01-07"},
            "validation": {"start": "2021-01-07", "end": "2021-01-11"},
            "test": {"start": "2021-01-11", "end": "2021-01-23"},
        },
    }
    return make_domain(root, **small | changes)


def truth(domain, days=TRAINING_DAYS + VALIDATION_DAYS + TEST_DAYS, *, swing_k=0.0):
    """Fields of 280 K; with a swing, every other day is that much warmer."""
    steps = days * domain.steps_per_day
    warm = (np.arange(steps) // domain.steps_per_day) % 2
    fields = np.full((steps, *domain.target_grid.shape), TRUTH_K)
    return (fields + swing_k * warm[:, None, None]).astype(np.float32)


def biased(domain, *bias_k, model="ridge", repeat=0, tensors=None, seen=None, parent=None):
    """Store persistence with a bias for each lead; returns the version's name.

    ``tensors`` replaces some, ``seen`` is the end of its validation.
    """
    hours = domain.steps_per_day
    shape = domain.target_grid.shape
    stored = {
        CLIMATOLOGY: np.full((hours, 1, *shape), TRUTH_K, np.float32),
        HOURS_OF_DAY: np.arange(hours) * domain.cadence_h,
    }
    if model == "ridge":
        stored[RIDGE] = np.zeros((domain.horizon, FEATURES))
        stored[RIDGE][:, -1] = bias_k or 0.0
    split = domain.split
    recipe = Recipe(
        model=model,
        kind="baseline",
        domain=domain.domain,
        training_period=(str(split.train.start), str(split.train.end)),
        validation_period=(str(split.validation.start), str(seen or split.validation.end)),
        training_data="0" * 16,
        grid_digest=domain.target_grid.digest,
        history=domain.history,
        horizon=domain.horizon,
        cadence_h=domain.cadence_h,
        settings={"bias_k": list(bias_k)},
        parent=parent,
        code_version="0",
        repeat=repeat,
    )
    provenance = Provenance(
        version=recipe.version,
        recipe=recipe,
        grid=str(domain.target_grid),
        parameters=0,
        is_synthetic=True,
        commit=None,
        hardware={"accelerator": "cpu"},
        durations_s={},
        created_at=MADE + repeat * dt.timedelta(hours=1),
    )
    save_version(
        Workspace.of(domain).models,
        provenance,
        tensors=stored | (tensors or {}),
        config=domain.to_yaml(),
        statistics=_statistics(domain),
        scores={
            "windows": 1,
            "lead_times_h": [6.0, 12.0],
            "mse_k2": [bias**2 for bias in bias_k or (0.0, 0.0)],
            "mae_k": [abs(bias) for bias in bias_k or (0.0, 0.0)],
        },
    )
    return recipe.version


def rewrite(version, name, content):
    """Replace a file of a version and seal it anew, as if it had been saved like that."""
    (version.path / name).write_text(content)
    path = version.path / "provenance.json"
    provenance = json.loads(path.read_text())
    provenance["files_sha256"][name] = hashlib.sha256(content.encode()).hexdigest()
    path.write_text(json.dumps(provenance))
    return ModelVersion.open(version.path)


def _statistics(domain):
    return {
        "minimum": TRUTH_K - 1,
        "maximum": TRUTH_K + 1,
        "mean": TRUTH_K,
        "std": 1.0,
        "increment_std": [1.0] * domain.horizon,
        "anomaly_std": 1.0,
        "period": ["2021-01-01T00:00Z", "2021-01-07T00:00Z"],
        "frames_used": 24,
        "frames_skipped": 0,
    }
