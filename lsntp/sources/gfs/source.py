"""GFS as a source: analyses for the archive, and the forecasts that start from them."""

import logging
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from contextvars import copy_context
from pathlib import Path

import numpy as np
import xarray as xr

from lsntp.aside import temporary_folder
from lsntp.config import GfsSource
from lsntp.errors import DomainError, SourceDataError, StorageError
from lsntp.grid import Grid
from lsntp.names import FORECAST_DIMS, INIT_TIME, LATITUDE, LEAD_TIME, LONGITUDE, T2M, Status
from lsntp.sources.base import Hole
from lsntp.sources.frames import build_frames
from lsntp.sources.gfs.bucket import Bucket
from lsntp.sources.gfs.messages import Absent, Field, Message, Messages, Ticket
from lsntp.times import (
    Duration,
    Instant,
    LeadTimes,
    Period,
    Times,
    format_duration_h,
    format_time,
    hours,
    in_hours,
    parse_time,
)

_log = logging.getLogger(__name__)

FIRST_INIT_TIME = parse_time("2021-01-01")
"""Where the public bucket begins."""
CYCLE = hours(6)


class GfsUpstream:
    """Fields of GFS; see :class:`lsntp.sources.base.Upstream` and ``ForecastingSource``.

    An object that is missing or empty is "not yet" until it is ``give_up_h`` old, and a hole
    from then on; so is one that is there and does not hold the field.

    Args:
        config: bucket, resolution, patience.
        origin: a time on the domain's axis.
        cadence: the step of the domain's axis.
        clock: what time it is.
        work: folder for temporary files; made when it is needed.
    """

    name = "gfs"
    is_synthetic = False

    def __init__(
        self,
        config: GfsSource,
        *,
        origin: Instant,
        cadence: Duration,
        clock: Callable[[], Instant],
        work: Path,
    ) -> None:
        self.publication_latency = hours(config.publication_h)
        self._config = config
        self._origin = origin
        self._cadence = cadence
        self._clock = clock
        self._folder = work / "gfs"
        self._holes: dict[Instant, Hole] = {}
        self._why_absent: dict[Instant, str] = {}
        self._bucket = Bucket(
            config.bucket,
            connections=config.connections,
            retries=config.retries,
            pause_s=config.pause_s,
            timeout_s=config.timeout_s,
            deadline_s=config.deadline_minutes * 60,
        )

    def available(self, period: Period) -> Times:
        """See :meth:`lsntp.sources.base.Source.available`; asks nobody."""
        if not _ever_meet(self._origin, self._cadence):
            raise SourceDataError(
                f"Expected the axis {format_time(self._origin)} + k * "
                f"{format_duration_h(self._cadence)} to meet the runs of GFS at 00, 06, 12 and 18 "
                "UTC, found that it never does; set archive.start to one of them."
            )
        end = min(period.end, self._clock() - self.publication_latency + np.timedelta64(1, "ns"))
        start = max(period.start, FIRST_INIT_TIME)
        if start >= end:
            return np.array([], "datetime64[ns]")
        runs = Period(start, end).steps(CYCLE, FIRST_INIT_TIME)
        is_on_axis = (runs - self._origin) % self._cadence == np.timedelta64(0, "ns")
        return np.asarray(runs[is_on_axis], "datetime64[ns]")

    def fetch(self, times: Times, area: Grid) -> list[xr.Dataset]:
        """See :meth:`lsntp.sources.base.Source.fetch`."""
        self._why_absent = {}
        fields = self._fields([Ticket(time, 0) for time in times], area)
        if not fields:
            return []
        return [
            build_frames(
                np.stack([field.values for field in fields.values()]),
                np.array([ticket.init_time for ticket in fields]),
                np.full(len(fields), Status.FINAL, np.int8),
                _common_grid(list(fields.values())),
                source=self.name,
                is_synthetic=self.is_synthetic,
                files=[self._bucket.where(f"gfs.*.pgrb2.{self._config.resolution}.f000")],
            )
        ]

    def fetch_forecasts(
        self, init_times: Times, lead_times: LeadTimes, area: Grid
    ) -> xr.DataArray | None:
        """See :meth:`lsntp.sources.base.ForecastingSource.fetch_forecasts`."""
        *earlier, last = (round(in_hours(lead)) for lead in lead_times)
        # The last step comes last: without it the run is not complete, and one look says so.
        fields = self._fields([Ticket(init_time, last) for init_time in init_times], area)
        begun = [ticket.init_time for ticket in fields]
        fields |= self._fields([Ticket(time, step) for time in begun for step in earlier], area)
        steps_h = [*earlier, last]
        whole = [time for time in begun if all(Ticket(time, step) in fields for step in steps_h)]
        if not whole:
            return None
        grid = _common_grid(list(fields.values()))
        values = np.stack(
            [[fields[Ticket(time, step)].values for step in steps_h] for time in whole]
        )
        coordinates = {
            INIT_TIME: np.array(whole, "datetime64[ns]"),
            LEAD_TIME: lead_times,
            LATITUDE: grid.latitude,
            LONGITUDE: grid.longitude,
        }
        return xr.DataArray(values, coordinates, FORECAST_DIMS, T2M)

    def pending(self, period: Period) -> Times:  # noqa: ARG002
        """See :meth:`lsntp.sources.base.Upstream.pending`; nothing is ordered beforehand."""
        return np.array([], "datetime64[ns]")

    def holes(self) -> list[Hole]:
        """See :meth:`lsntp.sources.base.Upstream.holes`."""
        return [self._holes[time] for time in sorted(self._holes)]

    def why_absent(self) -> dict[Instant, str]:
        """See :meth:`lsntp.sources.base.Explaining.why_absent`."""
        return dict(self._why_absent)

    def _fields(self, tickets: Sequence[Ticket], area: Grid) -> dict[Ticket, Field]:
        """What of ``tickets`` is there, in their order.

        Raises:
            SourceDataError: if nothing is there and an object is at fault that may yet be mended.
        """
        fields: dict[Ticket, Field] = {}
        faults: list[SourceDataError] = []
        with _scratch(self._folder) as folder:
            messages = Messages(self._bucket, self._config.resolution, folder)
            with closing(self._looked(messages, tickets)) as looked:
                for ticket, found in looked:
                    if isinstance(found, Absent):
                        self._note(ticket, found.why)
                        continue
                    try:
                        fields[ticket] = messages.decode(ticket, found, area)
                    except SourceDataError as error:
                        if not self._note(ticket, str(error)):
                            faults.append(error)
        if faults and not fields:
            raise faults[0]
        return fields

    def _looked(
        self, messages: Messages, tickets: Sequence[Ticket]
    ) -> Generator[tuple[Ticket, Message | Absent], None, None]:
        """Each ticket with what the bucket has for it.

        The first alone: where the bucket refuses one request it need not refuse eight.
        """
        yield from ((ticket, messages.look(ticket)) for ticket in tickets[:1])
        pool = ThreadPoolExecutor(self._config.connections, thread_name_prefix="gfs")
        try:
            rest = tickets[1:]
            # A thread knows of no run, whose log its words belong to, unless it is given ours.
            looks = [pool.submit(copy_context().run, messages.look, ticket) for ticket in rest]
            yield from ((ticket, look.result()) for ticket, look in zip(rest, looks, strict=True))
        finally:
            pool.shutdown(cancel_futures=True)

    def _note(self, ticket: Ticket, why: str) -> bool:
        """Whether a field that cannot be had will not come any more: a hole."""
        is_hole = self._clock() - ticket.init_time >= hours(self._config.give_up_h)
        yet = "" if is_hole else " yet"
        _log.warning("GFS has no field of %s%s: %s", _named(ticket), yet, why)
        if ticket.step_h == 0:
            self._why_absent[ticket.init_time] = why
            if is_hole:
                self._holes[ticket.init_time] = Hole(ticket.init_time, why)
        return bool(is_hole)


def _named(ticket: Ticket) -> str:
    return f"{format_time(ticket.init_time)} + {ticket.step_h} h"


def _ever_meet(origin: Instant, cadence: Duration) -> bool:
    """Whether the axes ``origin + k * cadence`` and of the runs have a time in common."""
    common = np.gcd(cadence.astype(np.int64), CYCLE.astype(np.int64))
    return bool((origin - FIRST_INIT_TIME).astype(np.int64) % common == 0)


def _common_grid(fields: Sequence[Field]) -> Grid:
    """The grid of all fields.

    Raises:
        DomainError: if they have several.
    """
    grid = fields[0].grid
    if not all(field.grid.matches(grid) for field in fields):
        others = {str(field.grid) for field in fields}
        raise DomainError(
            f"Expected GFS fields on one grid, found {' and '.join(sorted(others))}; ask for the "
            "periods one by one."
        )
    return grid


@contextmanager
def _scratch(folder: Path) -> Iterator[Path]:
    """A folder for temporary files, gone afterwards; so is what a killed run left."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        made = temporary_folder(folder)
    except OSError as error:
        raise StorageError(
            f"Expected to write in {folder}, found {error.strerror or error}; free space or fix "
            "its permissions."
        ) from error
    with made as name:
        yield Path(name)
