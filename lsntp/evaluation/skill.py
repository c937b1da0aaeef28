"""Skill of every model against every baseline, over the forecasts they all have."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt
import xarray as xr

from lsntp.archives.evaluation import (
    COUNT,
    FRAME_SUMS,
    MAP_COUNT,
    MODEL,
    MODEL_VERSION,
    TRUTH_STATUS,
    EvaluationArchive,
)
from lsntp.config import BASELINES, Domain
from lsntp.errors import ArchiveNotFoundError, DomainError, EvaluationError
from lsntp.evaluation import bootstrap
from lsntp.evaluation.maps import error_maps
from lsntp.evaluation.metrics import Weighting, lead_metrics, rmse_per_cell
from lsntp.evaluation.render import render_table
from lsntp.evaluation.table import WEIGHTING, Skill, SkillTable
from lsntp.grid import Floats
from lsntp.names import INIT_TIME, LEAD_TIME, Status
from lsntp.times import Period, Times
from lsntp.training_data.splits import effective_periods
from lsntp.workspace import Workspace

__all__ = ["Skill", "SkillTable", "render_table", "skill_table"]

_WEIGHTINGS: tuple[Weighting, ...] = ("plain", "area")


def skill_table(
    domain: Domain,
    *,
    models: Sequence[str] | None = None,
    period: Period | None = None,
    weighting: Weighting = "plain",
) -> SkillTable:
    """Compare models over the init_times that all of them have fully scored.

    Args:
        domain: whose evaluation archive.
        models: which; by default every model of the domain with a scored forecast in the period.
        period: of init_times. By default the test block, in so far as history and horizon lie
            inside it and behind the purge gap; everything scored if that holds nothing.
        weighting: of cells, for the ranking and the skill; the table holds both scores.

    Raises:
        EvaluationError: if nothing is scored, a named model is not, or none is in common.
    """
    workspace = Workspace.of(domain)
    try:
        archive = EvaluationArchive.open(workspace.evaluation)
    except ArchiveNotFoundError as error:
        raise EvaluationError(
            f"Expected scored forecasts in {workspace.evaluation}, found none; run "
            f"`lsntp forecast {domain.domain}`, then `lsntp evaluate {domain.domain}`."
        ) from error
    with archive.dataset() as data:
        init_times: Times = data[INIT_TIME].values
        known = [str(name) for name in data[MODEL].values]
        names = [name for name in (models or domain.model_names) if name in known]
        is_full = (data[COUNT].sel({MODEL: names}) > 0).all(LEAD_TIME).load()
        chosen = period or _default_period(domain, init_times, is_full)
        inside = chosen.contains(init_times)
        compared = [name for name in names if is_full.sel({MODEL: name}).values[inside].any()]
        _check_named(domain, models, compared, chosen)
        common = is_full.sel({MODEL: compared}).values.all(axis=0) & inside
        if not common.any():
            raise EvaluationError(_explain_nothing_common(is_full, compared, inside, chosen))
        scored = data.sel({MODEL: compared}).isel({INIT_TIME: np.flatnonzero(common)})
        sums = scored[list(FRAME_SUMS)].load()
        is_preliminary = (scored[TRUTH_STATUS] == Status.PRELIMINARY).any(MODEL)
        versions = {
            name: tuple(sorted({str(v) for v in scored[MODEL_VERSION].sel({MODEL: name}).values}))
            for name in compared
        }
    return _tabulate(
        domain,
        sums,
        period=chosen,
        init_times=init_times[common],
        weighting=weighting,
        versions=versions,
        unscored=tuple(name for name in models or domain.model_names if name not in compared),
        preliminary_frames=int(is_preliminary.sum()),
        data_range_k=float(archive.attrs["data_range_k"]),
    )


def _tabulate(
    domain: Domain,
    sums: xr.Dataset,
    *,
    period: Period,
    init_times: Times,
    weighting: Weighting,
    versions: dict[str, tuple[str, ...]],
    unscored: tuple[str, ...],
    preliminary_frames: int,
    data_range_k: float,
) -> SkillTable:
    compared = [str(name) for name in sums[MODEL].values]
    scores = _scores(domain, sums, init_times)
    order = np.argsort(scores["mae"].sel({WEIGHTING: weighting}).mean(LEAD_TIME).values)
    ranked = [compared[index] for index in order]
    losses = _losses(sums, weighting)

    def against(model: str, other: str) -> Skill:
        mae, mse = (
            bootstrap.skill(
                losses[name].sel({MODEL: model}).values,
                losses[name].sel({MODEL: other}).values,
                init_times,
                samples=domain.bootstrap_samples,
            )
            for name in ("absolute_error", "squared_error")
        )
        return Skill(mae=mae, mse=mse)

    return SkillTable(
        domain=domain.domain,
        period=period,
        init_times=init_times,
        scores=scores.sel({MODEL: ranked}),
        kinds={name: _kind(name) for name in ranked},
        versions=versions,
        skill={
            name: {
                other: against(name, other)
                for other in ranked
                if other != name and _kind(other) == "baseline"
            }
            for name in ranked
        },
        winner_skill=against(*ranked[:2]) if len(ranked) > 1 else None,
        weighting=weighting,
        unscored=unscored,
        seen=int((init_times + domain.lead_times[0] < domain.split.validation.period.end).sum()),
        preliminary_frames=preliminary_frames,
        data_range_k=data_range_k,
    )


def _scores(domain: Domain, sums: xr.Dataset, init_times: Times) -> xr.Dataset:
    """Every metric, dims (weighting, model, lead_time)."""
    names = [str(name) for name in sums[MODEL].values]
    maps = xr.concat([error_maps(domain, name, init_times) for name in names], dim=MODEL)
    maps = maps.assign_coords({MODEL: names})
    weights: dict[Weighting, Floats | None] = {
        "plain": None,
        "area": domain.target_grid.area_weights,
    }
    tables = []
    for weighting in _WEIGHTINGS:
        table = lead_metrics(sums, weighting=weighting)
        table["rmse_per_cell"] = rmse_per_cell(
            maps["map_squared_error_sum"], maps[MAP_COUNT], weights=weights[weighting]
        )
        tables.append(table)
    return xr.concat(tables, dim=WEIGHTING).assign_coords({WEIGHTING: list(_WEIGHTINGS)})


def _losses(sums: xr.Dataset, weighting: Weighting) -> xr.Dataset:
    """Mean absolute and squared error of each init_time over its leads and cells."""
    prefix = "area_" if weighting == "area" else ""
    return xr.Dataset(
        {
            name: (sums[f"{prefix}{name}_sum"] / sums[COUNT]).mean(LEAD_TIME, skipna=False)
            for name in ("absolute_error", "squared_error")
        }
    )


def _kind(model: str) -> Literal["baseline", "network"]:
    return "baseline" if model in BASELINES else "network"


def _default_period(domain: Domain, init_times: Times, is_full: xr.DataArray) -> Period:
    """The init_times of windows inside the test block if one was scored, else all."""
    last = init_times[-1] if init_times.size else domain.start
    everything = Period(domain.start, last + domain.cadence)
    block = effective_periods(domain)["test"]
    try:
        test = Period(
            block.start + (domain.history - 1) * domain.cadence,
            block.end - domain.horizon * domain.cadence,
        )
    except DomainError:
        return everything
    return test if is_full.values[:, test.contains(init_times)].any() else everything


def _check_named(
    domain: Domain, models: Sequence[str] | None, compared: Sequence[str], period: Period
) -> None:
    """Every named model, or at least one, must have a fully scored forecast."""
    absent = [name for name in (models or []) if name not in compared]
    if absent or not compared:
        raise EvaluationError(
            f"Expected fully scored forecasts of {', '.join(absent) or 'any model'} in {period}, "
            f"found none; run `lsntp forecast {domain.domain}`, then "
            f"`lsntp evaluate {domain.domain}`."
        )


def _explain_nothing_common(
    is_full: xr.DataArray, compared: Sequence[str], inside: npt.NDArray[np.bool_], period: Period
) -> str:
    counts = ", ".join(
        f"{name} {int(is_full.sel({MODEL: name}).values[inside].sum())}" for name in compared
    )
    return (
        f"Expected initial times in {period} that every model has fully scored, found none in "
        f"common ({counts}); forecast and evaluate them, or name fewer models."
    )
