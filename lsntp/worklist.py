"""Which hours a run asks for: derived from the archive each time, never from a schedule.

A tick asks for the newest hours first, since a forecast waits for them, and spends what is left
of its budget on the gaps: those never asked for before the others, the oldest first. A gap that
was asked for in vain rests (``ingest.retry_h``) before it is asked for again, so that neither a
rejected field nor a hole upstream eats every tick; so does a new hour for which the source
delivered what cannot be used. Hours whose delivery is under way are always asked for: the source
picks up its own jobs.

An upstream may be so late that more new hours are not there yet than the budget asks for. Of those
asked for in vain only the ends are asked for at every tick, the oldest since they come first and
the newest should all come at once; those between rest like gaps, so that hours that are there
have their turn.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lsntp.archives.coverage import Coverage
from lsntp.archives.ledger import HourLedger
from lsntp.config import Domain
from lsntp.intake import blocks
from lsntp.names import Status
from lsntp.times import Instant, Times, hours


@dataclass(frozen=True, eq=False)
class WorkList:
    """Hours to ask for, in pieces that are fetched and published together, in order.

    Attributes:
        pieces: ascending hours each.
        left: hours that could be asked for and are left for a later run.
    """

    pieces: Sequence[Times]
    left: Times

    @property
    def size(self) -> int:
        """How many hours are asked for."""
        return sum(piece.size for piece in self.pieces)


def everything(known: Coverage, offered: Times, origin: Instant) -> WorkList:
    """All that is not final and that the source offers, oldest first, without a budget."""
    unfinished = known.times[known.status != Status.FINAL]
    return WorkList(blocks(np.intersect1d(unfinished, offered), origin), offered[:0])


def gaps(
    known: Coverage, offered: Times, origin: Instant, *, newest_first: bool = False
) -> WorkList:
    """All that holds no field and that the source offers, without a budget."""
    pieces = blocks(np.intersect1d(known.without_field, offered), origin)
    return WorkList(pieces[::-1] if newest_first else pieces, offered[:0])


def tick(
    domain: Domain,
    known: Coverage,
    offered: Times,
    *,
    pending: Times,
    ledger: HourLedger,
    now: Instant,
) -> WorkList:
    """What one scheduled run asks for.

    Args:
        domain: gives the budget and the rest between two questions.
        known: coverage of all that is expected.
        offered: times worth asking the source for now.
        pending: times whose delivery is under way.
        ledger: when gaps were last asked for.
        now: what time it is.
    """
    budget = max(1, int(hours(domain.ingest.budget_h) // domain.cadence))
    wanted = np.intersect1d(known.without_field, offered)
    held = known.times[known.status != Status.MISSING]
    is_new = wanted > held[-1] if held.size else np.ones(wanted.size, np.bool_)
    is_pending = np.isin(wanted, pending)
    is_first = (is_new & ~ledger.is_unusable(wanted)) | is_pending
    asked_at = ledger.asked_at(wanted)
    if is_first.sum() > budget:
        is_first &= ~_inner(is_first & ~is_pending & ~np.isnat(asked_at), budget // 4)
    first = wanted[is_first][-budget:]
    is_left = ~np.isin(wanted, first)
    rest, asked_at = wanted[is_left], asked_at[is_left]

    # A clock that was ahead left questions of the future: nobody waits until then.
    is_rested = np.isnat(asked_at) | (asked_at > now)
    is_rested |= now - asked_at >= hours(domain.ingest.retry_h)
    due, due_asked = rest[is_rested], asked_at[is_rested]
    order = np.lexsort((due, np.where(np.isnat(due_asked), np.datetime64(0, "ns"), due_asked)))
    repaired = np.sort(due[order[: budget - first.size]])
    return WorkList(
        [*blocks(first, domain.start)[::-1], *blocks(repaired, domain.start)],
        np.setdiff1d(rest, repaired),
    )


def _inner(is_late: npt.NDArray[np.bool_], ends: int) -> npt.NDArray[np.bool_]:
    """All of them but ``ends`` at either end."""
    place = np.cumsum(is_late)
    is_inner: npt.NDArray[np.bool_] = is_late & (place > ends) & (place <= is_late.sum() - ends)
    return is_inner
