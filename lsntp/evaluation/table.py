"""The skill table: who forecasts best over the same init_times, and how sure that is."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
import xarray as xr

from lsntp.evaluation.bootstrap import FEWEST_BLOCKS, Interval
from lsntp.evaluation.metrics import METRICS, Weighting, mean_over_leads
from lsntp.grid import Floats
from lsntp.names import LEAD_TIME
from lsntp.times import Period, Times, in_hours

MODEL = "model"
WEIGHTING = "weighting"


@dataclass(frozen=True)
class Skill:
    """Skill 1 − loss / baseline's loss of the mean over leads: of MAE and of MSE."""

    mae: Interval
    mse: Interval


@dataclass(frozen=True, eq=False)
class SkillTable:
    """Scores of every model over the init_times that all of them have fully scored.

    Attributes:
        domain: its name.
        period: where init_times were looked for.
        init_times: the common set (n,).
        scores: dims (weighting, model, lead_time), variables
            :data:`~lsntp.evaluation.metrics.METRICS`; models from lowest to highest MAE.
        kinds: model to "baseline" or "network".
        versions: model to the versions that made its forecasts.
        skill: model to baseline to skill, under ``weighting``; without the model itself.
        winner_skill: skill of the winner against the runner-up; None for a single model.
        weighting: of the ranking and of skill.
        unscored: asked models without a forecast scored in the period.
        seen: how many of the init_times have truth inside the domain's training or validation
            block: their scores are no test.
        preliminary_frames: (init_time, lead_time) of the common set whose truth is preliminary.
        data_range_k: of the second SSIM and PSNR, K.
    """

    domain: str
    period: Period
    init_times: Times
    scores: xr.Dataset
    kinds: Mapping[str, Literal["baseline", "network"]]
    versions: Mapping[str, tuple[str, ...]]
    skill: Mapping[str, Mapping[str, Skill]]
    winner_skill: Skill | None
    weighting: Weighting
    unscored: tuple[str, ...]
    seen: int
    preliminary_frames: int
    data_range_k: float

    @property
    def models(self) -> tuple[str, ...]:
        """From lowest to highest MAE."""
        return tuple(str(name) for name in self.scores[MODEL].values)

    @property
    def winner(self) -> str:
        """The model of the lowest MAE, mean over leads: a baseline as often as not."""
        return self.models[0]

    @property
    def runner_up(self) -> str | None:
        """The model of the second lowest MAE."""
        return self.models[1] if len(self.models) > 1 else None

    @property
    def is_lead_significant(self) -> bool:
        """Whether the winner's MAE skill against the runner-up is above 0 at 95 %."""
        return self.winner_skill is not None and self.winner_skill.mae.is_above_zero

    @property
    def best_baseline(self) -> str | None:
        """The baseline of the lowest MAE; None where no baseline was scored."""
        return next((name for name in self.models if self.kinds[name] == "baseline"), None)

    @property
    def days(self) -> int:
        """UTC days in the common set: the blocks of the bootstrap."""
        return int(np.unique(self.init_times.astype("datetime64[D]")).size)

    @property
    def lead_hours(self) -> Floats:
        """Lead times (K,), hours."""
        leads = self.scores[LEAD_TIME].values
        return np.array([in_hours(lead) for lead in leads], np.float64)

    def score(self, model: str, metric: str, *, weighting: Weighting | None = None) -> float:
        """The mean over leads of one metric of one model."""
        chosen = self.scores[metric].sel({MODEL: model, WEIGHTING: weighting or self.weighting})
        return float(chosen.mean(LEAD_TIME, skipna=False))

    @property
    def verdict(self) -> str:
        """Who won, how surely, and plainly whether each network beats the best baseline.

        Before that, whether this is no test; at the end, who is missing.
        """
        sentences = [self._winner_sentence(), *self._network_sentences()]
        if self.seen:
            sentences.insert(
                0,
                f"No test: {self.seen} of the {counted(self.init_times.size, 'initial time')} have "
                "truth that training or validation has seen.",
            )
        if self.unscored:
            sentences.append(f"Not scored: {', '.join(self.unscored)}.")
        return " ".join(sentences)

    def _winner_sentence(self) -> str:
        sentence = (
            f"{self.winner} is best: MAE {self.score(self.winner, 'mae'):.3f} K, mean of "
            f"{counted(self.lead_hours.size, 'lead')} over "
            f"{counted(self.init_times.size, 'initial time')} on {counted(self.days, 'day')}"
        )
        if self.winner_skill is None:
            return f"{sentence}; there is no other model to compare it with."
        claim = "is significant" if self.is_lead_significant else "is not significant"
        if not math.isfinite(self.winner_skill.mae.low):
            claim = "cannot be tested"
        return (
            f"{sentence}; its lead over {self.runner_up} {claim} ({_text(self.winner_skill.mae)})."
        )

    def _network_sentences(self) -> list[str]:
        networks = [name for name in self.models if self.kinds[name] == "network"]
        if self.best_baseline is None:
            return ["No baseline was scored."]
        if not networks:
            return ["No network was scored."]
        return [self._against_baseline(name, self.best_baseline) for name in networks]

    def _against_baseline(self, network: str, baseline: str) -> str:
        interval = self.skill[network][baseline].mae
        found, bar = self.score(network, "mae"), self.score(baseline, "mae")
        numbers = f"MAE {found:.3f} K against {bar:.3f} K ({_text(interval)})"
        if found > bar:
            doubt = _doubt(interval, is_clear=interval.is_below_zero)
            return f"The network {network} loses to the baseline {baseline}{doubt}: {numbers}."
        if found < bar:
            doubt = _doubt(interval, is_clear=interval.is_above_zero)
            if list(self.kinds.values()).count("baseline") == 1:
                return (
                    f"The network {network} beats {baseline}, the only baseline scored{doubt}: "
                    f"{numbers}."
                )
            return (
                f"The network {network} beats every baseline{doubt}; the best of them is "
                f"{baseline}: {numbers}."
            )
        return f"The network {network} equals the best baseline {baseline}: {numbers}."

    def to_frame(self) -> pd.DataFrame:
        """One row per model, best first: MAE per lead and means over leads, K and 1.

        Everything under ``weighting`` but ``mae_plain`` and ``mae_area``; the last columns are
        the MAE skill against the best baseline with its interval.
        """
        return pd.DataFrame([self._record(model) for model in self.models]).set_index(MODEL)

    def _record(self, model: str) -> dict[str, Any]:
        by_lead = self.scores["mae"].sel({MODEL: model, WEIGHTING: self.weighting}).values
        against = self.skill[model].get(self.best_baseline or "")
        interval = against.mae if against else Interval(math.nan, math.nan, math.nan)
        return {
            MODEL: model,
            "kind": self.kinds[model],
            **{f"mae_{hour:g}h": v for hour, v in zip(self.lead_hours, by_lead, strict=True)},
            **{metric: self.score(model, metric) for metric in METRICS},
            "mae_plain": self.score(model, "mae", weighting="plain"),
            "mae_area": self.score(model, "mae", weighting="area"),
            "skill": interval.estimate,
            "skill_low": interval.low,
            "skill_high": interval.high,
        }

    def to_dict(self) -> dict[str, Any]:
        """Everything, ready for JSON; None stands for NaN."""
        mean = mean_over_leads(self.scores)
        return {
            "domain": self.domain,
            "period": [str(self.period.start), str(self.period.end)],
            "init_times": self.init_times.size,
            "days": self.days,
            "lead_hours": self.lead_hours.tolist(),
            "weighting": self.weighting,
            "winner": self.winner,
            "runner_up": self.runner_up,
            "winner_skill": _skill_dict(self.winner_skill) if self.winner_skill else None,
            "is_lead_significant": self.is_lead_significant,
            "best_baseline": self.best_baseline,
            "verdict": self.verdict,
            "unscored": list(self.unscored),
            "seen": self.seen,
            "preliminary_frames": self.preliminary_frames,
            "data_range_k": self.data_range_k,
            "models": [
                {
                    "model": model,
                    "kind": self.kinds[model],
                    "versions": list(self.versions[model]),
                    "scores": {
                        str(weighting): {
                            metric: {
                                "leads": [_number(v) for v in _pick(self.scores, where)[metric]],
                                "mean": _number(_pick(mean, where)[metric]),
                            }
                            for metric in METRICS
                        }
                        for weighting in self.scores[WEIGHTING].values
                        for where in [{MODEL: model, WEIGHTING: weighting}]
                    },
                    "skill": {
                        baseline: _skill_dict(skill)
                        for baseline, skill in self.skill[model].items()
                    },
                }
                for model in self.models
            ],
        }


def counted(number: int, noun: str) -> str:
    """``1 lead``, ``6 leads``."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _pick(scores: xr.Dataset, where: Mapping[str, Any]) -> dict[str, Any]:
    """The arrays of one model and weighting, by metric."""
    return {str(name): values.values for name, values in scores.sel(where).items()}


def _skill_dict(skill: Skill) -> dict[str, dict[str, float | None]]:
    return {
        name: {
            "estimate": _number(interval.estimate),
            "low": _number(interval.low),
            "high": _number(interval.high),
        }
        for name, interval in (("mae", skill.mae), ("mse", skill.mse))
    }


def _number(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def _doubt(interval: Interval, *, is_clear: bool) -> str:
    has_bounds = math.isfinite(interval.low)
    return ", though not significantly" if has_bounds and not is_clear else ""


def _text(interval: Interval) -> str:
    if not math.isfinite(interval.low):
        return f"skill {interval.estimate:+.3f}; fewer than {FEWEST_BLOCKS} days give no interval"
    return (
        f"skill {interval.estimate:+.3f}, 95 % interval {interval.low:+.3f} to {interval.high:+.3f}"
    )
