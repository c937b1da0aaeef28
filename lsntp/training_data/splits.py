"""Time-blocked training, validation and test, with no hour in common."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lsntp.config import Domain
from lsntp.errors import DomainError, TrainingDataError
from lsntp.times import Period, Times, format_time
from lsntp.training_data.blocks import FieldArchive, usable_at


@dataclass(frozen=True, eq=False)
class Split:
    """The init_times of the windows of each block; test may be empty, the others are not.

    Attributes:
        train: (n,), ascending; so are the others.
        validation: (m,).
        test: (k,).
    """

    train: Times
    validation: Times
    test: Times


def effective_periods(domain: Domain) -> dict[str, Period]:
    """The period of ``train``, ``validation`` and ``test`` that windows must lie wholly inside.

    A later block starts no earlier than history + horizon steps after the end of the one
    before: what touches is cut, what lies further apart stays as it is.

    Raises:
        TrainingDataError: if nothing is left of a block.
    """
    split = domain.split
    periods = {"train": split.train.period}
    previous = split.train.period
    for name, block in (("validation", split.validation.period), ("test", split.test.period)):
        start = max(block.start, previous.end + domain.purge)
        try:
            periods[name] = Period(start, block.end)
        except DomainError as error:
            raise TrainingDataError(
                f"Expected split.{name} to be longer than the purge gap of "
                f"{domain.history + domain.horizon} steps after {previous}, found {block}; "
                f"move split.{name}.end."
            ) from error
        previous = block
    return periods


def make_split(domain: Domain, archive: FieldArchive) -> Split:
    """Every init_time whose window is complete and wholly inside its effective block.

    A window is ``history`` times up to and including init_time and ``horizon`` times after
    it. The test block may have no window yet: training does not wait for it.

    Raises:
        TrainingDataError: if training or validation has no window, or nothing is left of a
            block behind its purge gap.
    """
    periods = effective_periods(domain)
    windows = {name: window_init_times(domain, archive, period) for name, period in periods.items()}
    for name in ("train", "validation"):
        if not windows[name].size:
            raise TrainingDataError(_explain_empty(name, periods[name], domain, archive))
    return Split(**windows)


def window_init_times(domain: Domain, archive: FieldArchive, period: Period) -> Times:
    """The init_times (n,) whose history and horizon are usable and inside ``period``.

    Args:
        domain: gives ``history``, ``horizon`` and the axis.
        archive: says which times are usable.
        period: that windows must lie wholly inside.
    """
    times = period.steps(domain.cadence, domain.start)
    length = domain.history + domain.horizon
    if times.size < length:
        return times[:0]
    usable = usable_at(archive, times)
    complete = np.lib.stride_tricks.sliding_window_view(usable, length).all(axis=-1)
    return times[np.flatnonzero(complete) + domain.history - 1]


def looking_back(domain: Domain, archive: FieldArchive, split: Split, frames: int) -> Split:
    """Training and validation of those windows that have ``frames`` usable times before them.

    See :func:`with_longer_history` for arguments and errors.
    """
    train, validation = (
        with_longer_history(domain, archive, init_times, frames)
        for init_times in (split.train, split.validation)
    )
    return Split(train, validation, split.test)


def with_longer_history(
    domain: Domain, archive: FieldArchive, init_times: Times, frames: int
) -> Times:
    """Those of ``init_times`` (n,) with ``frames`` usable times up to and including them.

    The frames before a window may lie in the block before its own: they are inputs, long known
    when the forecast is made, and no score is taken of them. None lies before the training block,
    where the training archive begins.

    Args:
        domain: gives ``history``, the axis and the start of the training block.
        archive: says which times are usable.
        init_times: of windows of :func:`make_split`.
        frames: no fewer than ``history``.

    Raises:
        TrainingDataError: if none is left of some.
    """
    if frames <= domain.history or not init_times.size:
        return init_times
    reach = (frames - 1) * domain.cadence
    start = domain.split.train.period.start
    after = init_times[init_times - reach >= start]
    times = after[:, None] + np.arange(1 - frames, 1) * domain.cadence
    usable = usable_at(archive, times.ravel()).reshape(times.shape)
    kept = after[usable.all(axis=1)]
    if not kept.size:
        raise TrainingDataError(
            f"Expected usable analyses at {frames} times in a row up to an initial time between "
            f"{format_time(init_times[0])} and {format_time(init_times[-1])}, which a network with "
            f"architecture.yesterday looks back over, from {format_time(start)} on, where the "
            "training archive begins, found none; ingest more of the period, begin split.train "
            "earlier, or set yesterday: false."
        )
    return kept


def _explain_empty(name: str, period: Period, domain: Domain, archive: FieldArchive) -> str:
    usable = usable_at(archive, period.steps(domain.cadence, domain.start))
    extent = f"ends at {format_time(archive.times[-1])}" if archive.times.size else "is empty"
    return (
        f"Expected at least {domain.history + domain.horizon} usable times in a row (history "
        f"{domain.history} + horizon {domain.horizon}) in the {name} period {period}, found "
        f"{_longest_run(usable)} in a row and {usable.sum()} of {usable.size} in all; the "
        f"analysis archive {extent}. Run `lsntp backfill {domain.reference} --from "
        f"{format_time(period.start)} --to {format_time(period.end)}`, or move split.{name}."
    )


def _longest_run(usable: npt.NDArray[np.bool_]) -> int:
    """The most usable times in a row."""
    holes = np.flatnonzero(~usable)
    bounds = np.concatenate([[-1], holes, [usable.size]])
    return int(np.diff(bounds).max()) - 1
