"""The champion: the one version that a domain's users get, and how it is replaced.

``models/<domain>/champion.json`` is the only mutable object among the models. It is replaced
whole, in one step, under a lease, so that a reader sees the old champion or the new one. It
keeps who was champion before, when and why, for :func:`rollback`.
"""

import hashlib
import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, Literal, Self

from pydantic import AwareDatetime, BaseModel, ConfigDict, ValidationError

from lsntp.archives.lease import writer_lease
from lsntp.archives.right import Lease
from lsntp.archives.staging import storage_errors
from lsntp.config import Domain
from lsntp.errors import LsntpError, ModelError
from lsntp.names import CHAMPION, VERSION_PATTERN
from lsntp.places import Place
from lsntp.training.loading import load_forecaster
from lsntp.training.provenance import now_utc
from lsntp.training.versions import (
    ModelVersion,
    is_stored,
    latest_version,
    list_versions,
    open_version,
)
from lsntp.workspace import Workspace

Action = Literal["crowned", "promoted", "forced", "rolled back"]

HISTORY: Final = 50
"""Earlier champions that are kept."""

_log = logging.getLogger(__name__)


class Reign(BaseModel):
    """One version as champion.

    Attributes:
        version: which.
        since: when it became champion.
        action: how: ``crowned`` (the first, best of the baselines), ``promoted`` by the gate,
            ``forced`` by a person, or ``rolled back`` to.
        by: who did it; the gate, or the name of a person.
        reason: why.
        decision: the gate's record of it; None where it did not decide.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    version: str
    since: AwareDatetime
    action: Action
    by: str
    reason: str
    decision: str | None = None


class Champion(Reign):
    """The present champion, and those before it, newest first."""

    history: tuple[Reign, ...] = ()

    @property
    def decisions(self) -> frozenset[str]:
        """The gate's decisions that took effect."""
        reigns = (self, *self.history)
        return frozenset(reign.decision for reign in reigns if reign.decision is not None)

    @property
    def previous(self) -> str | None:
        """The version a rollback returns to: the one before, not one that was rolled back from."""
        standing: list[str] = []
        for reign in (*reversed(self.history), self):
            if reign.action == "rolled back" and reign.version in standing:
                del standing[standing.index(reign.version) :]
            standing.append(reign.version)
        earlier = [version for version in standing if version != self.version]
        return earlier[-1] if earlier else None

    def succeeded_by(self, reign: Reign) -> Self:
        """The new state: ``reign``, with this one before it."""
        mine = Reign(**self.model_dump(exclude={"history"}))
        return type(self)(**reign.model_dump(), history=(mine, *self.history)[:HISTORY])


def champion_path(domain: Domain) -> Place:
    """``models/<domain>/champion.json``."""
    return Workspace.of(domain).models / f"{CHAMPION}.json"


def champion_of(domain: Domain) -> Champion | None:
    """The champion of a domain; None before there is one.

    Raises:
        ModelError: if ``champion.json`` does not hold what was written; no writer, killed or
            not, leaves such a file.
    """
    path = champion_path(domain)
    try:
        return Champion.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except LsntpError:
        raise
    except (OSError, ValidationError) as error:
        raise ModelError(
            f"Expected a readable {path}, found: {one_line(error)}. Choose a champion out of "
            f"`lsntp models list {domain.reference}` with `lsntp models promote {domain.reference} "
            "VERSION --force --why TEXT`, which keeps the damaged file beside it."
        ) from error


@contextmanager
def pointer_lease(domain: Domain) -> Iterator[Lease]:
    """The only right to replace the champion or to store a decision.

    Raises:
        ArchiveBusyError: if another process holds it.
        StorageError: if the work folder is not writable.
    """
    with writer_lease(Workspace.of(domain).locks / CHAMPION) as lease:
        yield lease


def put_champion(
    domain: Domain, reign: Reign, *, before: Champion | None, lease: Lease
) -> Champion:
    """Replace the champion.

    Args:
        domain: whose.
        reign: the new one's.
        before: the present one, as read under the lease.
        lease: :func:`pointer_lease`, held.

    Raises:
        StorageError: if the storage refuses; the champion stays as it was.
    """
    after = before.succeeded_by(reign) if before else Champion(**reign.model_dump())
    path = champion_path(domain)
    with storage_errors(str(path)):
        path.parent.mkdir(parents=True, exist_ok=True)
        lease.replace(path, json_bytes(after))
    _log.info("%s: champion %s, %s by %s", domain.domain, after.version, after.action, after.by)
    return after


def promote(
    domain: Domain, version: str, *, by: str, reason: str, action: Action = "forced"
) -> Champion:
    """Make a version champion without asking the gate; nothing happens if it is already.

    It must be whole and fit the domain even so: a champion that cannot forecast helps nobody.
    A damaged ``champion.json`` is kept under another name.

    Args:
        domain: whose champion.
        version: its whole name.
        by: who wants it.
        reason: why; not empty.
        action: what it is recorded as.

    Raises:
        ModelError: if the version is unknown, damaged, not finite or does not fit, or there is
            no reason.
        ArchiveBusyError: if another process is replacing the champion.
        StorageError: if the storage refuses; the champion stays as it was.
    """
    if not reason.strip():
        raise ModelError("Expected a reason for the new champion, found none; say --why TEXT.")
    load_forecaster(open_version(Workspace.of(domain).models, version), domain)
    with pointer_lease(domain) as lease:
        try:
            present = champion_of(domain)
        except ModelError as error:
            _log.warning("%s", error)
            _keep_damaged(champion_path(domain), lease)
            present = None
        if present is not None and present.version == version:
            return present
        reign = Reign(version=version, since=now_utc(), action=action, by=by, reason=reason.strip())
        return put_champion(domain, reign, before=present, lease=lease)


def rollback(domain: Domain, *, by: str, reason: str, version: str | None = None) -> Champion:
    """Return to the champion before this one, or to a named earlier one.

    Args:
        domain: whose champion.
        by: who wants it.
        reason: why.
        version: an earlier champion; by default the one before.

    Raises:
        ModelError: if there is none to return to, the named one never was champion, or it is
            damaged or does not fit.
        ArchiveBusyError: if another process is replacing the champion.
        StorageError: if the storage refuses; the champion stays as it was.
    """
    present = champion_of(domain)
    earlier = [reign.version for reign in present.history] if present else []
    target = version or (present.previous if present else None)
    if target is None or target not in earlier:
        raise ModelError(
            f"Expected an earlier champion of {domain.domain} to return to "
            f"({', '.join(dict.fromkeys(earlier)) or 'there is none'}), found "
            f"{target or 'none'}; `lsntp models promote {domain.reference} VERSION --force --why "
            "TEXT` takes any version."
        )
    return promote(domain, target, by=by, reason=reason, action="rolled back")


def find_version(domain: Domain, text: str) -> str:
    """The version that ``text`` means.

    Args:
        domain: whose versions.
        text: a version, its unique beginning, a model (its newest version), or ``champion``.

    Raises:
        ModelError: if it means none, or several.
    """
    folder = Workspace.of(domain).models
    if VERSION_PATTERN.fullmatch(text) and is_stored(folder / text):
        return text
    if text == CHAMPION and (champion := champion_of(domain)) is not None:
        return champion.version
    if (newest := latest_version(folder, text)) is not None:
        return newest.version
    known = [version.version for version in list_versions(folder)]
    meant = [name for name in known if name.startswith(text)]
    if len(meant) != 1:
        raise ModelError(
            f"Expected a model version in {folder} ({', '.join(known) or 'there is none yet'}), "
            f"the unique beginning of one, a model, or {CHAMPION}, found {text!r}; "
            f"`lsntp models list {domain.reference}` lists them."
        )
    return meant[0]


def open_champion(domain: Domain) -> ModelVersion | None:
    """The champion's version; None before there is a champion.

    Raises:
        ModelError: if it is damaged or gone.
    """
    champion = champion_of(domain)
    if champion is None:
        return None
    try:
        return open_version(Workspace.of(domain).models, champion.version)
    except ModelError as error:
        raise ModelError(
            f"Expected the champion {champion.version} of {domain.domain}, found it damaged: "
            f"{error} Until then `lsntp models rollback {domain.reference} --why TEXT` returns to "
            "the one before."
        ) from error


def one_line(error: Exception) -> str:
    """What an error says, for a message or a record of one line."""
    return " ".join(str(error).split())


def json_bytes(record: BaseModel) -> bytes:
    """A record as indented JSON."""
    return json.dumps(record.model_dump(mode="json"), indent=2, allow_nan=False).encode() + b"\n"


def _keep_damaged(path: Place, lease: Lease) -> None:
    """Copy a damaged file to the name of its digest, where it is in nobody's way."""
    with storage_errors(str(path)):
        content = path.read_bytes()
        digest = hashlib.sha256(content).hexdigest()[:12]
        lease.replace(path.with_name(f"{path.stem}.damaged-{digest}.json"), content)
