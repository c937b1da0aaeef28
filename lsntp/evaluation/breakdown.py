"""When and where forecasts are good: scores by hour, month, day and region, worst cases, trends.

Everything is a reduction of stored sums. All functions compare models over the initial times
that every one of them has fully scored (:func:`~lsntp.evaluation.selection.select`), so two
numbers of one dataset always speak of the same truth. Times are UTC.
"""

from collections.abc import Sequence
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt
import xarray as xr

from lsntp.archives.evaluation import COUNT, MODEL
from lsntp.config import REFERENCES, Domain
from lsntp.errors import EvaluationError
from lsntp.evaluation.metrics import Weighting, frame_terms, lead_metrics, scores_from
from lsntp.evaluation.regional import region_scores
from lsntp.evaluation.selection import Selection, described, select
from lsntp.grid import Floats
from lsntp.names import INIT_TIME, LEAD_TIME, VALID_TIME
from lsntp.times import Duration, Period, Times, hours

Group = Literal["valid_hour", "init_hour", "month", "day"]
__all__ = [
    "Group",
    "group_labels",
    "region_scores",
    "scores_by",
    "skill_through_time",
    "total_by",
    "worst_cases",
]

Labels = npt.NDArray[Any]

FRAMES: Final = "frames"
DAY: Final = "day"
RANK: Final = "rank"
_HOUR: Final = np.timedelta64(1, "h")


def scores_by(
    domain: Domain,
    group: Group,
    *,
    models: Sequence[str] | None = None,
    period: Period | None = None,
    weighting: Weighting = "plain",
) -> xr.Dataset:
    """Every score of every model, by hour of day, month or day.

    Args:
        domain: whose evaluation archive.
        group: ``valid_hour`` (hour of day the forecast is for), ``init_hour`` (hour of day it
            starts from), ``month`` or ``day`` (both of init_time).
        models: names, or ``name@version``; by default every scored model of the domain.
        period: of init_times; by default the test block, everything scored if that is empty.
        weighting: of cells; SSIM and PSNR are unweighted in both.

    Returns:
        Dims (model, <group>, lead_time): the scores of
        :func:`~lsntp.evaluation.metrics.lead_metrics` (MAE, bias and RMSE in K) and ``frames``,
        how many there are of (<group>, lead_time); NaN where there is none. The coordinate of an
        hour group is a float hour 0 ≤ h < 24, UTC, that of a month or day its first instant.

    Raises:
        EvaluationError: if nothing is scored, a named model is not, or none is in common.
    """
    chosen = select(domain, models=models, period=period)
    labels = group_labels(group, chosen.init_times, chosen.sums[LEAD_TIME].values)
    totals = total_by(frame_terms(chosen.sums, weighting=weighting), labels, dim=group)
    scores = scores_from(totals)
    scores[FRAMES] = totals[FRAMES].isel({MODEL: 0}, drop=True).astype(np.int64)
    return described(scores, chosen, weighting)


def group_labels(group: Group, init_times: Times, lead_times: Labels) -> Labels:
    """The group (n, K) of every frame: an hour of day (float) or a first instant (ns).

    Raises:
        EvaluationError: for a group that there is not.
    """
    shape = (init_times.size, lead_times.size)
    if group == "valid_hour":
        return _hour_of_day(init_times[:, None] + lead_times)
    if group == "init_hour":
        return np.broadcast_to(_hour_of_day(init_times)[:, None], shape)
    if group not in ("month", "day"):
        raise EvaluationError(
            f"Expected valid_hour, init_hour, month or day to group by, found {group!r}."
        )
    unit = "datetime64[M]" if group == "month" else "datetime64[D]"
    first: Labels = init_times.astype(unit).astype("datetime64[ns]")
    return np.broadcast_to(first[:, None], shape)


def total_by(terms: xr.Dataset, labels: Labels, *, dim: str) -> xr.Dataset:
    """Frame terms (…, init_time, lead_time) summed by label (n, K): dims (…, dim, lead_time)."""
    names, group_of = np.unique(labels, return_inverse=True)
    leads = labels.shape[1]
    place = (group_of.reshape(labels.shape) * leads + np.arange(leads)).ravel()

    def total(values: Floats) -> Floats:
        rows = values.reshape(-1, place.size)
        sums = [np.bincount(place, weights=row, minlength=names.size * leads) for row in rows]
        stacked = np.stack(sums).astype(np.float64)
        return stacked.reshape(*values.shape[:-2], names.size, leads)

    summed: xr.Dataset = xr.apply_ufunc(
        total,
        terms,
        input_core_dims=[[INIT_TIME, LEAD_TIME]],
        output_core_dims=[[dim, LEAD_TIME]],
        exclude_dims={INIT_TIME},
    )
    return summed.assign_coords({dim: names, LEAD_TIME: terms[LEAD_TIME]})


def worst_cases(
    domain: Domain,
    *,
    n: int = 3,
    models: Sequence[str] | None = None,
    period: Period | None = None,
    weighting: Weighting = "plain",
    apart: Duration | None = None,
) -> xr.Dataset:
    """The initial times with the largest MAE (mean over leads) of each model, worst first.

    Args:
        domain: whose evaluation archive.
        n: how many of each model.
        models: names, or ``name@version``; by default every scored model of the domain.
        period: of init_times; by default the test block, everything scored if that is empty.
        weighting: of cells.
        apart: least time between two cases of one model, so that one bad day is not all of
            them; None for no such rule.

    Returns:
        Dims (model, rank), rank 1 the worst: ``init_time``, ``mae`` (K, mean over leads),
        ``lead_time`` and ``valid_time`` of the worst lead, ``lead_mae`` (K) there. NaT and NaN
        where there are fewer than ``n``.

    Raises:
        EvaluationError: if nothing is scored, a named model is not, or none is in common.
    """
    if n < 1:
        raise EvaluationError(f"Expected at least one case, found n = {n}.")
    name = "area_absolute_error_sum" if weighting == "area" else "absolute_error_sum"
    chosen = select(domain, models=models, period=period, variables=[name])
    by_lead = (chosen.sums[name] / chosen.sums[COUNT]).values
    init_times, lead_times = chosen.init_times, chosen.sums[LEAD_TIME].values
    shape = (len(chosen.models), n)
    start = np.full(shape, np.datetime64("NaT", "ns"))
    lead = np.full(shape, np.timedelta64("NaT", "ns"))
    mae, lead_mae = np.full(shape, np.nan), np.full(shape, np.nan)
    for row, losses in enumerate(by_lead):
        mean = losses.mean(axis=-1)
        for rank, case in enumerate(_largest(mean, init_times, n, apart or hours(0))):
            worst = int(np.argmax(losses[case]))
            start[row, rank], lead[row, rank] = init_times[case], lead_times[worst]
            mae[row, rank], lead_mae[row, rank] = mean[case], losses[case, worst]
    dims = (MODEL, RANK)
    cases = xr.Dataset(
        {
            INIT_TIME: (dims, start),
            LEAD_TIME: (dims, lead),
            VALID_TIME: (dims, start + lead),
            "mae": (dims, mae),
            "lead_mae": (dims, lead_mae),
        },
        coords={MODEL: list(chosen.models), RANK: np.arange(1, n + 1)},
    )
    return described(cases, chosen, weighting)


def skill_through_time(
    domain: Domain,
    *,
    window_days: int = 7,
    baseline: str | None = None,
    models: Sequence[str] | None = None,
    period: Period | None = None,
    weighting: Weighting = "plain",
) -> xr.Dataset:
    """Scores over a trailing window of days, and skill against one baseline: is it drifting?

    Args:
        domain: whose evaluation archive.
        window_days: UTC days (of init_time) in a window.
        baseline: what skill is measured against; by default the baseline of the lowest MAE over
            the whole period.
        models: names, or ``name@version``; by default every scored model of the domain.
        period: of init_times; by default from the test block on without end, everything scored
            if that holds nothing.
        weighting: of cells.

    Returns:
        Dims (model, day); ``day`` is the last day of a window, every day from the first to the
        last. ``mae``, ``bias``, ``rmse`` (pooled over cells and frames of all leads), K;
        ``skill`` = 1 - MAE / baseline's MAE; NaN where the window holds no forecast.
        ``init_times(day)`` says how many it holds, ``days(day)`` on how many days: the first
        windows are shorter. Attribute ``baseline``, empty (and skill NaN) where none was scored.

    Raises:
        EvaluationError: if nothing is scored, a named model or baseline is not, or none is in
            common.
    """
    if window_days < 1:
        raise EvaluationError(f"Expected a window of at least one day, found {window_days}.")
    if models is not None and baseline is not None:
        models = list(dict.fromkeys((*models, baseline)))
    chosen = select(domain, models=models, period=period, is_open_ended=True)
    bar = baseline or _best_baseline(chosen, weighting)
    if bar is not None and bar not in chosen.models:
        raise EvaluationError(
            f"Expected a scored model as the baseline ({', '.join(chosen.models)}), found {bar!r}."
        )
    labels = group_labels(DAY, chosen.init_times, chosen.sums[LEAD_TIME].values)
    daily = total_by(frame_terms(chosen.sums, weighting=weighting), labels, dim=DAY)
    counts = daily[FRAMES].isel({MODEL: 0, LEAD_TIME: 0}, drop=True)
    daily = daily[["absolute_error", "error", "squared_error", "cells"]].sum(LEAD_TIME)
    daily = daily.assign(init_times=counts, days=xr.ones_like(counts))
    one_day = np.timedelta64(1, "D")
    every_day = np.arange(labels[0, 0], labels[-1, 0] + one_day, one_day)
    daily = daily.reindex({DAY: every_day}, fill_value=0.0)
    totals = daily.rolling({DAY: window_days}, min_periods=1).sum()
    cells = totals["cells"].where(totals["cells"] > 0)
    trend = xr.Dataset(
        {
            "mae": totals["absolute_error"] / cells,
            "bias": totals["error"] / cells,
            "rmse": (totals["squared_error"] / cells) ** 0.5,
            "init_times": totals["init_times"].astype(np.int64),
            "days": totals["days"].astype(np.int64),
        }
    )
    against = trend["mae"].sel({MODEL: bar}, drop=True) if bar else trend["mae"] * np.nan
    trend["skill"] = 1.0 - trend["mae"] / against.where(against > 0)
    return described(trend, chosen, weighting).assign_attrs(
        baseline=bar or "", window_days=window_days
    )


def _hour_of_day(times: Labels) -> Floats:
    return np.asarray((times - times.astype("datetime64[D]")) / _HOUR, np.float64)


def _largest(values: Floats, times: Times, n: int, apart: Duration) -> list[int]:
    """Positions of the ``n`` largest values whose times are ``apart`` or more."""
    found: list[int] = []
    for position in np.argsort(-values, kind="stable"):
        if len(found) == n:
            break
        if all(abs(times[position] - times[other]) >= apart for other in found):
            found.append(int(position))
    return found


def _best_baseline(chosen: Selection, weighting: Weighting) -> str | None:
    """The baseline of the lowest MAE, mean over leads, over everything chosen."""
    names = [name for name in chosen.models if name in REFERENCES]
    if not names:
        return None
    loss = lead_metrics(chosen.sums.sel({MODEL: names}), weighting=weighting)["mae"].mean(LEAD_TIME)
    return names[int(np.argmin(loss.values))]
