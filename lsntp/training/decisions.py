"""What the gate decided, and why: one small file a decision, never changed."""

import hashlib
import json
import logging
from dataclasses import dataclass
from typing import Any, Final, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from lsntp.archives.staging import storage_errors
from lsntp.config import Domain
from lsntp.errors import LsntpError
from lsntp.places import Place, matching
from lsntp.training.champion import (
    Reign,
    champion_of,
    json_bytes,
    pointer_lease,
    put_champion,
)
from lsntp.training.provenance import now_utc
from lsntp.workspace import Workspace

Verdict = Literal["promoted", "kept", "refused", "postponed"]
Rule = Literal["first champion", "against the champion"]

DIGEST_LENGTH: Final = 12

_log = logging.getLogger(__name__)


class Decision(BaseModel):
    """The gate's judgement of one candidate.

    Attributes:
        id: ``<candidate>.<digest of what it was decided from>``; equal questions, equal ids.
        domain: whose.
        candidate: the version that was offered.
        champion: the version it had to beat; None where it became the first champion.
        verdict: ``promoted``; ``kept`` (stored, not better); ``refused`` (cannot be trusted);
            ``postponed`` (too few days that neither has seen: it may be offered again).
        rule: by which.
        reason: in words: what was expected, what was found, what to do.
        window: the first and the last initial time compared, UTC; None where nothing was scored.
        days: whole days of the window.
        init_times: how many were compared.
        lead_times_h: (K,).
        candidate_rmse_k, champion_rmse_k: (K,) RMSE of each lead, area-weighted, K.
        difference_k: mean over leads of candidate minus champion, K.
        interval_k: its 95 % interval; None where there was none.
        margin: share of the champion's RMSE by which no lead might be worse.
        data_digest: SHA-256 of the analyses compared with and started from.
        candidate_sha256, champion_sha256: of their weights.
        decided_at: when.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str
    domain: str
    candidate: str
    champion: str | None
    verdict: Verdict
    rule: Rule
    reason: str
    window: tuple[str, str] | None = None
    days: int = 0
    init_times: int = 0
    lead_times_h: tuple[float, ...] = ()
    candidate_rmse_k: tuple[float, ...] = ()
    champion_rmse_k: tuple[float, ...] = ()
    difference_k: float | None = None
    interval_k: tuple[float, float] | None = None
    margin: float
    data_digest: str | None = None
    candidate_sha256: str | None = None
    champion_sha256: str | None = None
    decided_at: AwareDatetime = Field(description="The wall clock.")


def decision_id(candidate: str, question: dict[str, Any]) -> str:
    """The name of the decision that answers a question about a candidate."""
    text = json.dumps({"candidate": candidate, **question}, sort_keys=True)
    return f"{candidate}.{hashlib.sha256(text.encode()).hexdigest()[:DIGEST_LENGTH]}"


def stored_decision(domain: Domain, name: str) -> Decision | None:
    """The decision of that name; None if it was never made, or its file is damaged."""
    return _read(_folder(domain) / f"{name}.json")


def decisions_of(domain: Domain, candidate: str | None = None) -> list[Decision]:
    """The stored decisions, of one candidate or of all, oldest first."""
    pattern = "*.json" if candidate is None else f"{candidate}.*.json"
    found = [_read(path) for path in matching(_folder(domain), pattern)]
    return sorted(
        (decision for decision in found if decision is not None),
        key=lambda decision: decision.decided_at,
    )


@dataclass(frozen=True)
class Outcome:
    """A decision, and whether it is new or was found as it had been made before."""

    decision: Decision
    is_new: bool


class ChampionChangedError(Exception):
    """Another process replaced the champion that a candidate was compared with."""


def settle(domain: Domain, decision: Decision, *, by: str) -> Outcome:
    """Store a decision, then replace the champion if it says so; nothing if that was done.

    The decision comes first: who is killed between the two leaves one that says what is to be
    done, and settling it again does it.

    Raises:
        ChampionChangedError: if the champion is no more the one that was decided about.
        ArchiveBusyError: if another process is replacing the champion.
        StorageError: if the storage refuses; the champion stays as it was.
    """
    path = _folder(domain) / f"{decision.id}.json"
    with pointer_lease(domain) as lease:
        champion = champion_of(domain)
        if (champion.version if champion else None) != decision.champion:
            raise ChampionChangedError
        stored = _read(path)
        is_waiting = decision.verdict == "promoted" and (
            champion is None or decision.id not in champion.decisions
        )
        if stored is None:
            with storage_errors(str(path)):
                path.parent.mkdir(parents=True, exist_ok=True)
                lease.replace(path, json_bytes(decision))
        if is_waiting:
            reign = Reign(
                version=decision.candidate,
                since=now_utc(),
                action="promoted" if champion else "crowned",
                by=by,
                reason=decision.reason,
                decision=decision.id,
            )
            put_champion(domain, reign, before=champion, lease=lease)
    return Outcome(stored or decision, is_new=stored is None or is_waiting)


def _folder(domain: Domain) -> Place:
    return Workspace.of(domain).models / "decisions"


def _read(path: Place) -> Decision | None:
    try:
        return Decision.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except LsntpError:
        raise
    except (OSError, ValidationError) as error:
        _log.warning("Skipped a damaged decision, %s: %s", path, error)
        return None
