"""Which alarms are open, and who has still to be told: raised once, cleared once.

``work/<domain>/alarms.json`` is written before anybody is told and after each who was. So a
process killed at any instant leaves a list from which the next one goes on: nobody is forgotten,
and who is told twice can see it by the notice's id. It lies below the archives' root, so that
the next watch goes on on any machine; where that refuses, in the work folder of this one until
it takes it again.
"""

import datetime as dt
import json
import logging
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, ValidationError

from lsntp.alarms.finding import AlarmName, Finding
from lsntp.archives.lease import writer_lease
from lsntp.archives.right import Lease
from lsntp.archives.staging import storage_errors
from lsntp.config import Domain
from lsntp.durable import written_aside
from lsntp.errors import CredentialsError, DeliveryError, LsntpError, StorageError
from lsntp.workspace import ALARMS_FILE, Workspace

KEPT: Final = dt.timedelta(days=1)
"""Who could not be told for so long is told no more: the status page says how it stands."""
EVENTS: Final = {"raised": "lsntp.alarm", "cleared": "lsntp.all-clear"}

_log = logging.getLogger(__name__)


class _Frozen(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Notice(_Frozen):
    """An alarm was raised or cleared.

    Attributes:
        id: of this notice, however often it is told.
        kind: which of the two.
        name: of the alarm.
        domain: whose.
        since: when the alarm was raised.
        at: when this happened.
        expected, found, where, remedy: see :class:`~lsntp.alarms.finding.Finding`; what was found
            at ``at``.
        waits_for: channels that have still to take it.
    """

    id: uuid.UUID
    kind: Literal["raised", "cleared"]
    name: AlarmName
    domain: str
    since: AwareDatetime
    at: AwareDatetime
    expected: str
    found: str
    where: str
    remedy: str
    waits_for: tuple[str, ...]

    @property
    def event(self) -> str:
        """``lsntp.alarm.<name>`` or ``lsntp.all-clear.<name>``."""
        return f"{EVENTS[self.kind]}.{self.name}"

    @property
    def text(self) -> str:
        """In a line or two, as chat rooms show it."""
        if self.kind == "cleared":
            return f"[{self.domain}] all clear, {self.name}: {self.found}"
        return (
            f"[{self.domain}] ALARM {self.name}: expected {self.expected}; found {self.found}; "
            f"in {self.where}. Do: {self.remedy}"
        )

    def to_json(self) -> dict[str, Any]:
        """What is told."""
        told = self.model_dump(mode="json", exclude={"waits_for"})
        return {**told, "event": self.event, "text": self.text}


class Watch(_Frozen):
    """What is remembered between two watches.

    Attributes:
        open: the open alarms, and since when.
        notices: those that somebody has still to be told, oldest first.
    """

    open: dict[AlarmName, AwareDatetime] = {}
    notices: tuple[Notice, ...] = ()

    def after(
        self, domain: Domain, found: Sequence[Finding], channels: Sequence[str], now: dt.datetime
    ) -> "Watch":
        """With alarms raised and cleared as they were found, and notices of that."""
        still_open, notices = dict(self.open), list(self.notices)
        for finding in found:
            if finding.is_alarm and finding.name not in still_open:
                still_open[finding.name] = now
                notices.append(_notice("raised", domain, finding, channels, now, now))
            elif not finding.is_alarm and finding.name in still_open:
                since = still_open.pop(finding.name)
                notices.append(_notice("cleared", domain, finding, channels, since, now))
        return Watch(open=still_open, notices=tuple(one for one in notices if now - one.at <= KEPT))

    def told(self, notice: Notice, channel: str) -> "Watch":
        """After a channel has taken a notice."""
        left = {
            one.id: one.model_copy(
                update={"waits_for": tuple(name for name in one.waits_for if name != channel)}
            )
            if one.id == notice.id
            else one
            for one in self.notices
        }
        return Watch(open=self.open, notices=tuple(one for one in left.values() if one.waits_for))


@contextmanager
def watching(domain: Domain) -> Iterator[tuple[Watch, Lease | None]]:
    """What was remembered, and the only right to change it; None where the storage refuses it.

    A storage that refuses is what an alarm may be about: it is told when all else is done.

    Raises:
        ArchiveBusyError: if another process watches this domain.
        StorageError: if the storage cannot be written or reached; raised at the end.
        CredentialsError: if it refuses our key; raised at the end.
    """
    lease: Lease | None = None
    refusal: LsntpError | None = None
    with ExitStack() as held:
        try:
            lease = held.enter_context(writer_lease(Workspace.of(domain).alarms))
        except (StorageError, CredentialsError) as error:
            refusal = error
        yield remembered(domain), lease
    if refusal is not None:
        raise refusal


def remembered(domain: Domain) -> Watch:
    """What was stored last; nothing where that is damaged, so that alarms are raised again.

    What lies in the work folder of this machine, though the archives are elsewhere, is newer:
    see :func:`remember`.
    """
    for path in dict.fromkeys((_here(domain), Workspace.of(domain).alarms)):
        try:
            return Watch.model_validate_json(path.read_bytes())
        except FileNotFoundError:
            continue
        except (OSError, ValidationError) as error:
            _log.warning("Forgot which alarms are open, %s cannot be read: %s", path, error)
    return Watch()


def remember(domain: Domain, watch: Watch, lease: Lease | None = None) -> None:
    """Store it for the next watch: with the archives, else in the work folder of this machine.

    A storage that refuses is logged and no more: it is what an alarm may be about, and a call too
    many is better than none.

    Args:
        domain: whose.
        watch: what is to be remembered.
        lease: of :func:`watching`; without it only the work folder of this machine is left.

    Raises:
        ArchiveBusyError: if the lease was lost.
    """
    content = json.dumps(watch.model_dump(mode="json"), indent=2).encode() + b"\n"
    place, here = Workspace.of(domain).alarms, _here(domain)
    try:
        if lease is not None:
            with storage_errors(str(place)):
                place.parent.mkdir(parents=True, exist_ok=True)
                lease.replace(place, content)
                if here != place:
                    here.unlink(missing_ok=True)
            return
    except (StorageError, CredentialsError) as error:
        _log.warning("%s keeps which of its alarms are open in %s: %s", domain.domain, here, error)
    try:
        with storage_errors(str(here)):
            here.parent.mkdir(parents=True, exist_ok=True)
            with written_aside(here) as aside:  # there may be two watches without a lease
                aside.write_bytes(content)
    except StorageError as error:
        _log.warning("Alarms of %s will be told again: %s", domain.domain, error)


def tell(
    domain: Domain,
    watch: Watch,
    channels: Mapping[str, Callable[[Notice], None]],
    lease: Lease | None = None,
) -> Watch:
    """Tell every channel what it has not taken yet, oldest first; who fails waits for next time.

    After its first failure a channel is left alone: a dead one costs one attempt, not one for
    each notice.

    Args:
        domain: whose.
        watch: what is to be told; what is left of it is stored after each notice.
        channels: by name; raise :class:`~lsntp.errors.DeliveryError` for what was not taken.
        lease: see :func:`remember`.

    Raises:
        ArchiveBusyError: if the lease was lost: another watch goes on.
    """
    for channel, take in channels.items():
        for notice in watch.notices:
            if channel not in notice.waits_for:
                continue
            try:
                take(notice)
            except DeliveryError as error:
                _log.warning("%s not told by %s yet: %s", notice.event, channel, error)
                break
            watch = watch.told(notice, channel)
            remember(domain, watch, lease)
    return watch


def _notice(
    kind: Literal["raised", "cleared"],
    domain: Domain,
    finding: Finding,
    channels: Sequence[str],
    since: dt.datetime,
    now: dt.datetime,
) -> Notice:
    identity = f"lsntp:{domain.domain}:{finding.name}:{since.isoformat()}:{kind}"
    return Notice(
        id=uuid.uuid5(uuid.NAMESPACE_URL, identity),
        kind=kind,
        name=finding.name,
        domain=domain.domain,
        since=since,
        at=now,
        expected=finding.expected,
        found=finding.found,
        where=finding.where,
        remedy=finding.remedy,
        waits_for=tuple(channels),
    )


def _here(domain: Domain) -> Path:
    """On this machine; of a domain on its disk where the archives are, unless it names ``work``."""
    return Workspace.of(domain).work / ALARMS_FILE
