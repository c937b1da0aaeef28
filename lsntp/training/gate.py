"""The gate: the one rule by which a version becomes the champion of its domain.

A candidate replaces the champion when, over the newest days that neither has seen
(:func:`~lsntp.training.gate_window.gate_window`), both forecasting from the same initial times,

* its RMSE (area-weighted, mean over leads) is lower, and the 95 % interval of the difference
  from a paired bootstrap over blocks of whole days excludes zero, and
* at no lead is its RMSE above the champion's by more than ``gate.margin``.

What is damaged, does not fit, holds or gives numbers that are not finite, or has no provenance,
is refused unseen. The first champion of a domain is its best baseline, over the newest days or,
where these are too few to compare on, in validation, so that there is always something to
forecast with. Every judgement is stored with its reason
(:mod:`lsntp.training.decisions`), and repeating it changes nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from lsntp.archives.analysis import AnalysisArchive
from lsntp.config import Domain
from lsntp.errors import (
    ArchiveBusyError,
    ConfigError,
    DomainError,
    ModelError,
    TrainingDataError,
)
from lsntp.evaluation.bootstrap import Difference
from lsntp.evaluation.table import counted
from lsntp.grid import Floats
from lsntp.names import VERSION_PATTERN
from lsntp.times import format_duration_h, in_hours
from lsntp.training.champion import champion_of, one_line
from lsntp.training.decisions import (
    ChampionChangedError,
    Decision,
    Outcome,
    Rule,
    Verdict,
    decision_id,
    decisions_of,
    settle,
    stored_decision,
)
from lsntp.training.gate_window import (
    Contender,
    Duel,
    GateWindow,
    data_digest,
    enter,
    gate_window,
    squared_errors,
)
from lsntp.training.history import open_analysis
from lsntp.training.provenance import now_utc
from lsntp.training.versions import (
    ModelVersion,
    is_stored,
    latest_version,
    open_version,
)
from lsntp.workspace import Workspace

GATE: Final = "gate"
"""Who promotes when nobody asked for it by hand."""
ATTEMPTS: Final = 5
"""How often a candidate is judged anew because the champion changed meanwhile."""
UNUSABLE: Final = (ModelError, ConfigError, DomainError, TrainingDataError)
"""What is wrong with a version, not with the storage or the analyses."""


def offer(domain: Domain, candidates: Sequence[str], *, by: str = GATE) -> list[Outcome]:
    """Judge versions one after another; each has to beat the champion that the last one left.

    Before the first champion the newest versions of the domain's baselines compete to be it.

    Args:
        domain: whose champion.
        candidates: whole names of versions.
        by: who offers them.

    Returns:
        One outcome a judgement; none for a candidate that is champion already.

    Raises:
        ModelError: if there is no such version, or the champion itself is damaged or does not
            fit: that needs a person.
        ArchiveError: if there is no analysis archive, or it has another grid.
        ArchiveBusyError: if the champion keeps changing under the comparison.
        StorageError: if the storage refuses; the champion stays as it was.
    """
    folder = Workspace.of(domain).models
    for name in candidates:
        if not VERSION_PATTERN.fullmatch(name) or not is_stored(folder / name):
            open_version(folder, name)  # says which there are
    judge = _Judge(domain, open_analysis(domain), by)
    outcomes = [] if champion_of(domain) else judge.crown()
    judged = {outcome.decision.candidate for outcome in outcomes}
    for name in dict.fromkeys(candidates):
        if name not in judged and (outcome := judge.judge(name)) is not None:
            outcomes.append(outcome)
    return outcomes


def is_due(domain: Domain, version: str) -> bool:
    """Whether a version still waits for a judgement.

    It was never judged, was postponed or cut short, or is undecided: on fewer days than
    ``gate.days`` the difference from the champion may be chance, so that more of them may tell.
    """
    champion = champion_of(domain)
    if champion is not None and champion.version == version:
        return False
    decisions = decisions_of(domain, version)
    if champion is None or not decisions or decisions[-1].verdict == "postponed":
        return True
    last = decisions[-1]
    if last.verdict == "promoted":
        return last.id not in champion.decisions
    return _may_be_chance(last) and last.days < domain.gate.days


def better_by_rule(found: Duel, difference: Difference, margin: float) -> tuple[bool, str]:
    """Whether the first of a duel replaces the second, and why (not).

    Args:
        found: candidate and champion over their window.
        difference: of their RMSE, mean over leads, candidate minus champion.
        margin: share of the champion's RMSE by which no lead may be worse.
    """
    candidate, champion = found.rmse
    scores = f"RMSE {candidate.mean():.3f} K against {champion.mean():.3f} K"
    over = f"over {counted(found.window.days, 'day')}, mean of {counted(candidate.size, 'lead')}"
    interval = (
        f"difference {difference.estimate:+.3f} K [{difference.low:.3f}, {difference.high:.3f}]"
    )
    worse = np.flatnonzero(candidate > champion * (1.0 + margin))
    share = f"{100.0 * margin:g} %"
    if difference.low > 0.0:
        return False, (
            f"Expected a lower RMSE than the champion's, found {scores} {over}; {interval}. Train "
            "with other settings, or on more hours."
        )
    if not difference.high < 0.0:
        return False, (
            f"Expected a difference that is not chance, found {scores} {over}; {interval} "
            "does not lie below 0. While there are fewer days than gate.days, `lsntp train` offers "
            "it again."
        )
    if worse.size:
        leads = ", ".join(
            f"+{format_duration_h(found.lead_times[lead])} {candidate[lead]:.3f} K against "
            f"{champion[lead]:.3f} K"
            for lead in worse
        )
        return False, (
            f"Expected no lead worse than the champion's by more than {share}, found {leads}, "
            f"though better in the mean: {scores} {over}. If that lead matters less, raise "
            "gate.margin."
        )
    return True, f"{scores} {over}; {interval}; no lead worse by more than {share}."


@dataclass(frozen=True, eq=False)
class _Judge:
    """Judges the candidates of one call."""

    domain: Domain
    analysis: AnalysisArchive
    by: str

    def judge(self, name: str) -> Outcome | None:
        """One candidate against the champion of the moment."""
        for _ in range(ATTEMPTS):
            champion = champion_of(self.domain)
            if champion is not None and champion.version == name:
                return None
            try:
                decision = self._decide(name, champion.version if champion else None)
                return self._settle(decision)
            except ChampionChangedError:
                continue
        raise ArchiveBusyError(
            f"Expected the champion of {self.domain.domain} to stay while {name} is compared with "
            f"it, found another {ATTEMPTS} times; wait for other promotions to end, then offer it "
            "again."
        )

    def crown(self) -> list[Outcome]:
        """Make the best baseline the first champion; the others are kept."""
        contest = _Contest(self.domain, self.analysis)
        try:
            return [self._settle(decision) for decision in contest.decisions()]
        except ChampionChangedError:  # another process crowned first: its champion stands
            return []

    def _settle(self, decision: Decision) -> Outcome:
        return settle(self.domain, decision, by=self.by)

    def _decide(self, name: str, champion: str | None) -> Decision:
        if champion is None:
            return _without_champion(self.domain, name)
        try:
            candidate = enter(self.domain, name)
        except UNUSABLE as error:
            return _unscored(self.domain, name, champion, "refused", one_line(error))
        holder = self._enter_champion(champion)
        window = gate_window(self.domain, self.analysis, (candidate, holder))
        if not window.is_long_enough:
            reason = window.explain_too_short((name, champion))
            return _unscored(self.domain, name, champion, "postponed", reason)
        facts = {
            **_window_facts(self.domain, self.analysis, window, (candidate, holder)),
            "candidate_sha256": candidate.version.provenance.tensors_sha256,
            "champion_sha256": holder.version.provenance.tensors_sha256,
        }
        name_of_decision = decision_id(
            name,
            {
                "champion": champion,
                "window": facts["window"],
                "data": facts["data_digest"],
                "margin": self.domain.gate.margin,
                "samples": self.domain.bootstrap_samples,
                "block_days": window.block_days,
            },
        )
        stored = stored_decision(self.domain, name_of_decision)
        if stored is not None:
            return stored
        try:
            own = squared_errors(self.domain, self.analysis, candidate, window.init_times)
        except UNUSABLE as error:
            return _unscored(self.domain, name, champion, "refused", one_line(error))
        other = squared_errors(self.domain, self.analysis, holder, window.init_times)
        found = Duel(candidate, holder, window, self.domain.lead_times, np.stack([own, other]))
        difference = found.difference(self.domain.bootstrap_samples)
        is_better, reason = better_by_rule(found, difference, self.domain.gate.margin)
        return _decision(
            self.domain,
            name_of_decision,
            name,
            champion,
            "promoted" if is_better else "kept",
            reason,
            candidate_rmse_k=_finite(found.rmse[0]),
            champion_rmse_k=_finite(found.rmse[1]),
            difference_k=difference.estimate,
            interval_k=(difference.low, difference.high),
            **facts,
        )

    def _enter_champion(self, name: str) -> Contender:
        try:
            return enter(self.domain, name)
        except UNUSABLE as error:
            raise ModelError(
                f"Expected a champion of {self.domain.domain} to compare with, found {name} "
                f"unusable: {error} Return to the one before with `lsntp models rollback "
                f"{self.domain.reference} --why TEXT`, or choose one with `lsntp models promote "
                f"{self.domain.reference} VERSION --force --why TEXT`."
            ) from error


@dataclass(frozen=True, eq=False)
class _Contest:
    """The baselines of a domain that has no champion yet."""

    domain: Domain
    analysis: AnalysisArchive

    def decisions(self) -> list[Decision]:
        """One a baseline, that of the best first; none where no baseline is usable."""
        folder = Workspace.of(self.domain).models
        contenders, refused = [], []
        for model in self.domain.baselines:
            version = latest_version(folder, model)
            if version is None:
                continue
            try:
                contenders.append(enter(self.domain, version.version))
            except UNUSABLE as error:
                refused.append((version.version, one_line(error)))
        if not contenders:
            return []
        window = gate_window(self.domain, self.analysis, contenders)
        rmse: dict[str, Floats] = {}
        for contender in contenders:
            try:
                rmse[contender.name] = self._rmse(contender, window)
            except UNUSABLE as error:
                refused.append((contender.name, one_line(error)))
        if not rmse:
            return []
        best = min(rmse, key=lambda name: float(rmse[name].mean()))
        order = sorted(rmse, key=lambda name: name != best)
        facts: dict[str, Any] = {}
        if window.is_long_enough:
            facts = _window_facts(self.domain, self.analysis, window, contenders)
        return [
            *(self._decision(name, best, rmse, window, facts) for name in order),
            *(_unscored(self.domain, name, best, "refused", why) for name, why in refused),
        ]

    def _rmse(self, contender: Contender, window: GateWindow) -> Floats:
        """RMSE (K,) on the gate window; in validation where that is too short, else infinite."""
        if window.is_long_enough:
            mse = squared_errors(self.domain, self.analysis, contender, window.init_times)
            return np.asarray(np.sqrt(mse.mean(axis=0)), np.float64)
        return _validation_rmse(contender.version)

    def _decision(
        self,
        name: str,
        best: str,
        rmse: dict[str, Floats],
        window: GateWindow,
        facts: dict[str, Any],
    ) -> Decision:
        where = f"over {counted(window.days, 'day')}" if facts else "in validation"
        field = f"{counted(len(rmse), 'baseline')} {where}"
        own, lowest = (float(rmse[one].mean()) for one in (name, best))
        is_best = name == best
        if not np.isfinite(lowest):
            reason = f"The first of {counted(len(rmse), 'baseline')}: none has a score yet."
        elif is_best:
            reason = f"The lowest RMSE of {field}: {own:.3f} K, mean over leads."
        else:
            reason = (
                f"Expected the lowest RMSE of {field}, found {own:.3f} K against {lowest:.3f} K "
                f"of {best}."
            )
        question = {"rule": "first champion", "field": sorted(rmse), "reason": reason, **facts}
        return _decision(
            self.domain,
            decision_id(name, question),
            name,
            None if is_best else best,
            "promoted" if is_best else "kept",
            reason,
            rule="first champion",
            candidate_rmse_k=_finite(rmse[name]),
            champion_rmse_k=() if is_best else _finite(rmse[best]),
            **facts,
        )


def _decision(
    domain: Domain,
    name: str,
    candidate: str,
    champion: str | None,
    verdict: Verdict,
    reason: str,
    *,
    rule: Rule = "against the champion",
    **facts: Any,
) -> Decision:
    return Decision(
        id=name,
        domain=domain.domain,
        candidate=candidate,
        champion=champion,
        verdict=verdict,
        rule=rule,
        reason=reason,
        lead_times_h=tuple(in_hours(lead) for lead in domain.lead_times),
        margin=domain.gate.margin,
        decided_at=now_utc(),
        **facts,
    )


def _unscored(
    domain: Domain, candidate: str, champion: str | None, verdict: Verdict, reason: str
) -> Decision:
    """A candidate that was not compared."""
    name = decision_id(candidate, {"champion": champion, "reason": reason})
    return _decision(domain, name, candidate, champion, verdict, reason)


def _without_champion(domain: Domain, candidate: str) -> Decision:
    reason = (
        f"Expected a baseline to be the first champion of {domain.domain}, found no usable version "
        f"of one; name some under baselines, run `lsntp train {domain.reference}`, then offer this "
        "version again."
    )
    return _unscored(domain, candidate, None, "postponed", reason)


def _window_facts(
    domain: Domain,
    analysis: AnalysisArchive,
    window: GateWindow,
    contenders: Sequence[Contender],
) -> dict[str, Any]:
    return {
        "window": window.span,
        "days": window.days,
        "init_times": int(window.init_times.size),
        "data_digest": data_digest(domain, analysis, window, contenders),
    }


def _validation_rmse(version: ModelVersion) -> Floats:
    """RMSE (K,) in validation; infinite where none was taken."""
    mse = version.scores.get("mse_k2")
    return np.sqrt(np.asarray(mse, np.float64)) if mse else np.array([np.inf])


def _may_be_chance(decision: Decision) -> bool:
    """Whether the interval of the difference holds 0."""
    interval = decision.interval_k
    return interval is not None and interval[0] <= 0.0 <= interval[1]


def _finite(rmse: Floats) -> tuple[float, ...]:
    """For JSON; empty where there is no number."""
    return tuple(rmse.tolist()) if np.isfinite(rmse).all() else ()
