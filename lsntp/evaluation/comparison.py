"""Two models, or two versions of one, side by side: which is better, by how much, how surely."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np

from lsntp.archives.evaluation import COUNT
from lsntp.config import Domain
from lsntp.errors import EvaluationError
from lsntp.evaluation.bootstrap import (
    FEWEST_BLOCKS,
    Difference,
    Metric,
    block_length,
    difference,
    number_of_days,
)
from lsntp.evaluation.breakdown import Group, Labels, group_labels
from lsntp.evaluation.metrics import Weighting
from lsntp.evaluation.regional import frame_losses
from lsntp.evaluation.regions import ALL, region_masks, region_shares
from lsntp.evaluation.selection import Selection, select
from lsntp.evaluation.table import counted
from lsntp.grid import Floats
from lsntp.names import LEAD_TIME
from lsntp.times import Period, Times, format_time, in_hours

By = Literal["lead", "hour", "month"]

GROUP_OF: Final[dict[By, Group]] = {"hour": "valid_hour", "month": "month"}
EVERYTHING: Final = "mean of leads"


@dataclass(frozen=True)
class Row:
    """The scores of both over some frames.

    Attributes:
        label: which frames: ``+6 h``, ``06 UTC``, ``2024-01``, or all.
        first, second: their scores, K, mean over leads.
        difference: first minus second, with its interval.
        frames: (init_time, lead_time) compared.
    """

    label: str
    first: float
    second: float
    difference: Difference
    frames: int


@dataclass(frozen=True, eq=False)
class Comparison:
    """What :func:`compare` found.

    Attributes:
        domain: its name.
        first, second: the contenders, as asked for.
        metric: ``mae`` or ``rmse`` (root of the mean over frames and cells of each lead).
        by: what the rows stand for.
        region: where.
        weighting: of cells.
        period: where init_times were looked for.
        init_times: those that both have fully scored (n,).
        overall: all frames; the mean of the leads' scores.
        rows: lead by lead, valid hour by valid hour (UTC) or month by month (of init_time).
        versions: of each, those that made the forecasts.
        block_days: days in a block of the bootstrap.
        seen: how many of the init_times are no test: training or validation has seen their truth.
        preliminary_frames: (init_time, lead_time) whose truth is preliminary.
    """

    domain: str
    first: str
    second: str
    metric: Metric
    by: By
    region: str
    weighting: Weighting
    period: Period
    init_times: Times
    overall: Row
    rows: tuple[Row, ...]
    versions: dict[str, tuple[str, ...]]
    block_days: int
    seen: int
    preliminary_frames: int

    @property
    def better(self) -> str | None:
        """The one that is clearly better over all frames; None where that cannot be told."""
        found = self.overall.difference
        if not found.is_clear:
            return None
        return self.first if found.estimate < 0 else self.second

    @property
    def span(self) -> str:
        """The first and the last initial time compared."""
        return f"{format_time(self.init_times[0])} to {format_time(self.init_times[-1])}"

    @property
    def blocks(self) -> str:
        """``56 days``, ``8 blocks of 7 days``."""
        number = self.overall.difference.blocks
        if self.block_days == 1:
            return counted(number, "day")
        return f"{counted(number, 'block')} of {self.block_days} days"

    @property
    def verdict(self) -> str:
        """Who is better, by how much and how surely; and plainly when that cannot be told."""
        sentences = [self._judgement()]
        if self.seen:
            sentences.insert(
                0,
                f"No test: {self.seen} of the {counted(self.init_times.size, 'initial time')} have "
                "truth that training or validation has seen.",
            )
        clear = [row for row in self.rows if row.difference.is_clear]
        if len(self.rows) > 1 and self.overall.difference.is_testable:
            wins = sum(row.difference.estimate < 0 for row in clear)
            sentences.append(
                f"Of {len(self.rows)} {self.by}s {self.first} is clearly better in {wins}, "
                f"{self.second} in {len(clear) - wins}."
            )
        return " ".join(sentences)

    def _judgement(self) -> str:
        found, name = self.overall.difference, self.metric.upper()
        if found.estimate == 0.0:
            return f"{self.first} and {self.second} have the same {name}; {self.blocks}."
        sign = 1.0 if found.estimate > 0 else -1.0
        lower, other = (
            (self.second, self.first) if found.estimate > 0 else (self.first, self.second)
        )
        gap = f"{abs(found.estimate):.3f} K"
        if not found.is_testable:
            return (
                f"{lower} has the lower {name} by {gap}, but {self.blocks} are too few to tell "
                f"whether that is chance: an interval takes {FEWEST_BLOCKS}."
            )
        low, high = sorted((sign * found.low, sign * found.high))
        interval = f"[{low:.3f}, {high:.3f}]"
        where = "" if self.region == ALL else f" in {self.region}"
        if found.is_clear:
            return (
                f"{lower} is better than {other} by {gap} {interval}, {name}{where}; {self.blocks}."
            )
        return (
            f"No difference can be told: {lower} has the lower {name}{where} by {gap}, but the "
            f"95 % interval {interval} holds 0; {self.blocks}."
        )

    def to_dict(self) -> dict[str, Any]:
        """Everything, ready for JSON; None stands for NaN."""
        return {
            "domain": self.domain,
            "first": self.first,
            "second": self.second,
            "metric": self.metric,
            "by": self.by,
            "region": self.region,
            "weighting": self.weighting,
            "period": [format_time(self.period.start), format_time(self.period.end)],
            "init_times": self.init_times.size,
            "block_days": self.block_days,
            "better": self.better,
            "verdict": self.verdict,
            "seen": self.seen,
            "preliminary_frames": self.preliminary_frames,
            "versions": {name: list(made_by) for name, made_by in self.versions.items()},
            "overall": _row_dict(self.overall),
            "rows": [_row_dict(row) for row in self.rows],
        }


def compare(
    domain: Domain,
    first: str,
    second: str,
    *,
    by: By = "lead",
    metric: Metric = "mae",
    region: str = ALL,
    weighting: Weighting = "plain",
    period: Period | None = None,
    block_days: int | None = None,
) -> Comparison:
    """Two contenders over the initial times that both have fully scored.

    Args:
        domain: whose evaluation archive.
        first: a model, or ``model@version``.
        second: another. ``model@version`` are forecasts from the model's archive, which has one
            for each initial time: two versions meet where each, named whole, has its own.
        by: what the rows stand for: ``lead``, ``hour`` (valid hour of day, UTC) or ``month``
            (of init_time).
        metric: ``mae``, or ``rmse`` pooled over frames and cells of each lead.
        region: a name of :func:`~lsntp.evaluation.regions.region_masks`. Any but ``all`` is
            computed from forecasts and truth as they are now, not from stored sums.
        weighting: of cells.
        period: of init_times; by default the test block, everything scored if that is empty.
        block_days: days in a block of the bootstrap; by default
            :func:`~lsntp.evaluation.bootstrap.block_length`.

    Returns:
        Scores, differences and their 95 % intervals, each row on its own: of twenty rows
        without any true difference one excludes 0 by chance.

    Raises:
        EvaluationError: if nothing is scored, a contender or region is unknown, both are the
            same, or they have no initial time in common.
    """
    if first == second:
        raise EvaluationError(f"Expected two different models to compare, found {first} twice.")
    if block_days is not None and block_days < 1:
        raise EvaluationError(f"Expected blocks of at least one day, found {block_days}.")
    prefix = "area_" if weighting == "area" else ""
    name = f"{prefix}{'absolute' if metric == 'mae' else 'squared'}_error_sum"
    chosen = select(domain, models=[first, second], period=period, variables=[name])
    losses = _losses(domain, chosen, name, region, weighting)
    length = block_days or block_length(number_of_days(chosen.init_times))

    def row(label: str, frames: Any) -> Row:
        one, other = (np.where(frames, loss, np.nan) for loss in losses)
        return Row(
            label=label,
            first=_score(one, metric),
            second=_score(other, metric),
            difference=difference(
                one,
                other,
                chosen.init_times,
                metric=metric,
                samples=domain.bootstrap_samples,
                block_days=length,
            ),
            frames=int(np.count_nonzero(frames)),
        )

    everything = np.ones(losses.shape[1:], bool)
    return Comparison(
        domain=domain.domain,
        first=first,
        second=second,
        metric=metric,
        by=by,
        region=region,
        weighting=weighting,
        period=chosen.period,
        init_times=chosen.init_times,
        overall=row(EVERYTHING, everything),
        rows=tuple(row(label, frames) for label, frames in _groups(by, chosen)),
        versions=chosen.versions,
        block_days=length,
        seen=chosen.seen,
        preliminary_frames=chosen.preliminary_frames,
    )


def _losses(
    domain: Domain, chosen: Selection, name: str, region: str, weighting: Weighting
) -> Floats:
    """The mean loss (2, n, K) of each frame in the region."""
    if region == ALL:
        return np.asarray((chosen.sums[name] / chosen.sums[COUNT]).values, np.float64)
    masks = region_masks(domain, [region])
    weights = domain.target_grid.area_weights if weighting == "area" else None
    absolute, squared = frame_losses(
        domain, chosen.contenders, chosen.init_times, region_shares(masks, weights)[0]
    )
    return absolute if "absolute" in name else squared


def _groups(by: By, chosen: Selection) -> Iterator[tuple[str, Labels]]:
    """The label and the frames (n, K) of each row."""
    leads = chosen.sums[LEAD_TIME].values
    if by == "lead":
        for number, lead in enumerate(leads):
            frames = np.zeros((chosen.init_times.size, leads.size), bool)
            frames[:, number] = True
            yield f"+{in_hours(lead):g} h", frames
        return
    if by not in GROUP_OF:
        raise EvaluationError(f"Expected lead, hour or month to compare by, found {by!r}.")
    labels = group_labels(GROUP_OF[by], chosen.init_times, leads)
    for label in np.unique(labels):
        yield _label(by, label), labels == label


def _label(by: By, value: Any) -> str:
    if by == "month":
        return str(np.datetime64(value, "M"))
    hour, minute = divmod(round(60 * float(value)), 60)
    return f"{hour:02d}:{minute:02d} UTC" if minute else f"{hour:02d} UTC"


def _score(losses: Floats, metric: Metric) -> float:
    """The mean over leads of each lead's score, of those that have frames."""
    takes_part = np.isfinite(losses)
    counts = takes_part.sum(axis=0)
    leads = counts > 0
    mean = np.where(takes_part, losses, 0.0).sum(axis=0)[leads] / counts[leads]
    return float((np.sqrt(mean) if metric == "rmse" else mean).mean())


def _row_dict(row: Row) -> dict[str, Any]:
    found = row.difference
    return {
        "label": row.label,
        "first": row.first,
        "second": row.second,
        "difference": found.estimate,
        "low": _number(found.low),
        "high": _number(found.high),
        "blocks": found.blocks,
        "is_clear": found.is_clear,
        "frames": row.frames,
    }


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None
