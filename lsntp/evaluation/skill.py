"""Skill of every model against every baseline, over the forecasts they all have."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
import xarray as xr

from lsntp.archives.evaluation import COUNT, MAP_COUNT, MODEL
from lsntp.config import REFERENCES, Domain
from lsntp.evaluation import bootstrap
from lsntp.evaluation.maps import error_maps
from lsntp.evaluation.metrics import Weighting, lead_metrics, rmse_per_cell
from lsntp.evaluation.render import render_table
from lsntp.evaluation.selection import Contender, Selection, select
from lsntp.evaluation.table import WEIGHTING, Skill, SkillTable
from lsntp.grid import Floats
from lsntp.names import LEAD_TIME
from lsntp.times import Period

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
        models: names, or ``name@version``; by default every model of the domain with a scored
            forecast in the period.
        period: of init_times. By default the test block, in so far as history and horizon lie
            inside it and behind the purge gap; everything scored if that holds nothing.
        weighting: of cells, for the ranking and the skill; the table holds both scores.

    Raises:
        EvaluationError: if nothing is scored, a named model is not, or none is in common.
    """
    chosen = select(domain, models=models, period=period)
    return _tabulate(
        domain,
        chosen,
        weighting=weighting,
        unscored=tuple(n for n in models or domain.model_names if n not in chosen.models),
    )


def _tabulate(
    domain: Domain, chosen: Selection, *, weighting: Weighting, unscored: tuple[str, ...]
) -> SkillTable:
    sums, init_times, compared = chosen.sums, chosen.init_times, chosen.models
    scores = _scores(domain, chosen)
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
        period=chosen.period,
        init_times=init_times,
        scores=scores.sel({MODEL: ranked}),
        kinds={name: kind_of(name) for name in ranked},
        versions=chosen.versions,
        skill={
            name: {
                other: against(name, other)
                for other in ranked
                if other != name and kind_of(other) == "baseline"
            }
            for name in ranked
        },
        winner_skill=against(*ranked[:2]) if len(ranked) > 1 else None,
        weighting=weighting,
        unscored=unscored,
        seen=chosen.seen,
        preliminary_frames=chosen.preliminary_frames,
        data_range_k=chosen.data_range_k,
    )


def _scores(domain: Domain, chosen: Selection) -> xr.Dataset:
    """Every metric, dims (weighting, model, lead_time)."""
    maps = xr.concat(
        [error_maps(domain, entry.model, chosen.init_times) for entry in chosen.contenders],
        dim=MODEL,
    ).assign_coords({MODEL: list(chosen.models)})
    weights: dict[Weighting, Floats | None] = {
        "plain": None,
        "area": domain.target_grid.area_weights,
    }
    tables = []
    for weighting in _WEIGHTINGS:
        table = lead_metrics(chosen.sums, weighting=weighting)
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


def kind_of(model: str) -> Literal["baseline", "network"]:
    """What a model, or ``model@version``, is."""
    return "baseline" if Contender.parse(model).model in REFERENCES else "network"
