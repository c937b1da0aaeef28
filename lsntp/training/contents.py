"""What is inside a version: tensors by name, and the statistics and baselines made of them."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from lsntp.config import Domain
from lsntp.errors import ModelError
from lsntp.models.base import Forecaster
from lsntp.models.baselines import make_baseline
from lsntp.models.calibration import Calibration
from lsntp.models.ridge import FEATURES, Ridge
from lsntp.names import QUANTILES
from lsntp.training.versions import ModelVersion, Tensors, check_tensors
from lsntp.training_data.climatology import SEASONAL_TERMS, Climatology
from lsntp.training_data.forcings import HEIGHT, Forcings
from lsntp.training_data.ground import Ground
from lsntp.training_data.statistics import Statistics

CLIMATOLOGY = "climatology.coefficients"
HOURS_OF_DAY = "climatology.hours_of_day"
NETWORK = "network."
LAND = "static.land_fraction"
HEIGHT_KM = "static.height_km"
RIDGE = "ridge.coefficients"
CELL_VARIANCE = "calibration.cell_variance"
VARIANCE_WEIGHTS = "calibration.weights"
QUANTILE_SCORES = "calibration.scores"


def climatology_tensors(climatology: Climatology) -> dict[str, npt.NDArray[Any]]:
    """The climatology, by tensor name; the rest of the statistics is JSON."""
    return {CLIMATOLOGY: climatology.coefficients, HOURS_OF_DAY: climatology.hours_of_day}


def climatology_shapes(domain: Domain, found: Tensors) -> dict[str, tuple[int, ...]]:
    """The shapes that :func:`climatology_tensors` must have, seasonal or by hour of day only."""
    hours = domain.steps_per_day
    is_seasonal = CLIMATOLOGY in found and found[CLIMATOLOGY].shape[1:2] == (SEASONAL_TERMS,)
    terms = SEASONAL_TERMS if is_seasonal else 1
    return {CLIMATOLOGY: (hours, terms, *domain.target_grid.shape), HOURS_OF_DAY: (hours,)}


def ground_tensors(forcings: Forcings) -> dict[str, npt.NDArray[Any]]:
    """The domain's own static fields, as far as a network is told them, by tensor name."""
    ground = forcings.ground
    if ground is None or not forcings.fixed:
        return {}
    tensors = {LAND: ground.land}
    if ground.height_km is not None and HEIGHT in forcings.fixed:
        tensors[HEIGHT_KM] = ground.height_km
    return tensors


def ground_shapes(
    domain: Domain, found: Tensors, static: tuple[str, ...]
) -> dict[str, tuple[int, ...]]:
    """The shapes that :func:`ground_tensors` must have; land that nobody named is in no version."""
    shape = domain.target_grid.shape
    if HEIGHT in static:
        return {LAND: shape, HEIGHT_KM: shape}
    return {LAND: shape} if LAND in found else {}


def restore_ground(tensors: Tensors) -> Ground | None:
    """What :func:`ground_tensors` gave; None where it gave nothing."""
    return Ground(tensors[LAND], tensors.get(HEIGHT_KM)) if LAND in tensors else None


def calibration_tensors(calibration: Calibration) -> dict[str, npt.NDArray[Any]]:
    """The calibration, by tensor name; its hours of day are those of the climatology."""
    return {
        CELL_VARIANCE: calibration.cell_variance,
        VARIANCE_WEIGHTS: calibration.weights,
        QUANTILE_SCORES: calibration.scores,
    }


def calibration_shapes(domain: Domain, found: Tensors) -> dict[str, tuple[int, ...]]:
    """The shapes that :func:`calibration_tensors` must have; a version may have none of them."""
    if not found.keys() & {CELL_VARIANCE, VARIANCE_WEIGHTS, QUANTILE_SCORES}:
        return {}
    return {
        CELL_VARIANCE: (domain.horizon, *domain.target_grid.shape),
        VARIANCE_WEIGHTS: (domain.horizon, 2),
        QUANTILE_SCORES: (domain.steps_per_day, domain.horizon, len(QUANTILES)),
    }


def restore_calibration(tensors: Tensors) -> Calibration | None:
    """The calibration among tensors that were checked, if it is there."""
    if CELL_VARIANCE not in tensors:
        return None
    return Calibration(
        cell_variance=tensors[CELL_VARIANCE],
        weights=tensors[VARIANCE_WEIGHTS],
        scores=tensors[QUANTILE_SCORES],
        hours_of_day=np.asarray(tensors[HOURS_OF_DAY], np.float64),
    )


def restore_statistics(version: ModelVersion, tensors: Tensors) -> Statistics:
    """The statistics of the training data, climatology included.

    Raises:
        ModelError: if ``statistics.json`` does not hold them, whole and finite.
    """
    climatology = Climatology(
        np.asarray(tensors[CLIMATOLOGY], np.float32), np.asarray(tensors[HOURS_OF_DAY], np.float64)
    )
    content = version.statistics
    try:
        statistics = Statistics.from_dict(content, climatology)
        _check_numbers(statistics, version.provenance.recipe.horizon)
    except (KeyError, TypeError, ValueError) as error:
        raise ModelError(
            f"Expected the statistics of the training data in {version.path}, found other "
            f"content ({error!r}); run `lsntp train`."
        ) from error
    return statistics


def _check_numbers(statistics: Statistics, horizon: int) -> None:
    """Refuse what arithmetic would only stumble over later.

    Raises:
        ValueError: naming every number that is not as it must be.
    """
    numbers = {
        name: np.asarray(getattr(statistics, name), np.float64)
        for name in ("minimum", "maximum", "mean", "std", "increment_std", "anomaly_std")
    }
    faults = [
        f"{name} not finite" for name, value in numbers.items() if not np.isfinite(value).all()
    ]
    if (shape := numbers["increment_std"].shape) != (horizon,):
        faults.append(f"increment_std of shape {shape} for {horizon} leads")
    if faults:
        raise ValueError("; ".join(faults))


def baseline_tensors(forecaster: Forecaster, statistics: Statistics) -> dict[str, Any]:
    """Everything a baseline needs, by tensor name; a ridge has a climatology of its own."""
    if isinstance(forecaster, Ridge):
        return climatology_tensors(forecaster.climatology) | {RIDGE: forecaster.coefficients}
    return climatology_tensors(statistics.climatology)


def baseline_shapes(domain: Domain, model: str, found: Tensors) -> Mapping[str, tuple[int, ...]]:
    """The shapes that :func:`baseline_tensors` must have."""
    shapes = climatology_shapes(domain, found)
    if model == Ridge.name:
        shapes[RIDGE] = (domain.horizon, FEATURES)
    return shapes


def restore_baseline(version: ModelVersion, domain: Domain) -> Forecaster:
    """The baseline of a version; torch is not imported.

    Raises:
        ModelError: if a tensor is missing, extra, misshaped or not finite.
    """
    tensors = version.tensors()
    check_tensors(tensors, baseline_shapes(domain, version.model, tensors), version.path)
    climatology = restore_statistics(version, tensors).climatology
    if version.model == Ridge.name:
        return Ridge(tensors[RIDGE], climatology, domain.lead_times, domain.cadence)
    return make_baseline(
        version.model,
        climatology=climatology,
        lead_times=domain.lead_times,
        cadence=domain.cadence,
    )
