"""An upstream with a clock: it publishes late, out of order, wrongly at first, or not at all.

What is published when follows from the clock and a seed alone, so a run at any simulated time
sees one world. The fields are those of the documented generator.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from lsntp.config import Domain
from lsntp.errors import SourceUnavailableError
from lsntp.grid import Grid
from lsntp.names import Status
from lsntp.sources import Hole
from lsntp.sources.frames import build_frames
from lsntp.sources.synthetic import GeneratedSource
from lsntp.times import Duration, Instant, Period, Times, format_time, hours, parse_time

NAME = "simulated"


@dataclass(frozen=True)
class Publication:
    """How an upstream publishes.

    Attributes:
        latency: after its time, when a field is due.
        batch: fields are due together, so many hours of them; counted from midnight.
        final_after: after its time, when its final version replaces a preliminary one; a
            service without preliminary fields has its latency here.
        outages: periods without an answer.
        late_share: of the fields that come up to two days after they are due.
        reissued_share: of the fields that are first wrong, for six hours.
        failing_share: of the deliveries that break off.
    """

    latency: Duration
    final_after: Duration
    batch: Duration
    outages: tuple[Period, ...] = ()
    late_share: float = 0.0
    reissued_share: float = 0.0
    failing_share: float = 0.0


OUTAGES = (
    Period.parse("2024-02-21T03", "2024-02-21T09"),
    Period.parse("2024-02-28T22", "2024-03-01T05"),  # over the leap day
    Period.parse("2024-03-10T12", "2024-03-12T00"),
)
_FAULTS = {"late_share": 0.06, "reissued_share": 0.04, "failing_share": 0.08}
PUBLICATIONS = {
    "era5": Publication(hours(5 * 24), hours(12 * 24), hours(24), OUTAGES, **_FAULTS),
    "gfs": Publication(hours(4), hours(4), hours(1), OUTAGES, **_FAULTS),
    "undisturbed era5": Publication(hours(5 * 24), hours(12 * 24), hours(24)),
    "undisturbed gfs": Publication(hours(4), hours(4), hours(1)),
}
"""ERA5 comes a day at a time, and becomes final after two months or three; twelve days let that
happen within thirty."""

_MOST_LATE_H, _REISSUED_AFTER = 48, hours(6)


class SimulatedUpstream:
    """See :class:`lsntp.sources.base.Upstream`; its clock is a file that holds a time.

    Args:
        options: ``clock``, that file; ``publication``, one of :data:`PUBLICATIONS`; ``calm_from``,
            from when on it works as it should.
        domain: gives step and first time.
    """

    name = NAME
    is_synthetic = False

    def __init__(self, options: dict[str, Any], domain: Domain) -> None:
        self._clock = Path(options["clock"])
        self._how = PUBLICATIONS[options["publication"]]
        self._calm_from = parse_time(options["calm_from"])
        self.publication_latency = self._how.latency
        self._domain = domain
        self._truth = GeneratedSource(
            seed=1,
            spacing_deg=5.0,
            period=Period(domain.start, domain.start + hours(400 * 24)),
            cadence=domain.cadence,
        )

    @property
    def _now(self) -> Instant:
        return parse_time(self._clock.read_text("ascii"))

    def available(self, period: Period) -> Times:
        """The fields that are due; the late ones are among them."""
        self._refuse_outage()
        times = self._truth.available(period)
        due: Times = times[self._due_at(times) <= self._now]
        return due

    def fetch(self, times: Times, area: Grid) -> list[xr.Dataset]:
        """Those of the asked fields that have come out, as they are now."""
        self._refuse_outage()
        if self._now < self._calm_from and _draw(self._now, 3) < self._how.failing_share:
            raise SourceUnavailableError(
                f"Expected {times.size} fields, found the connection broken at "
                f"{format_time(self._now)}; run again."
            )
        out = np.array([self._published_at(time) <= self._now for time in times], np.bool_)
        return [self._as_of_now(frames) for frames in self._truth.fetch(times[out], area)]

    def pending(self, period: Period) -> Times:
        """None: this upstream delivers at once."""
        return np.array([], "datetime64[ns]")

    def holes(self) -> list[Hole]:
        """None: whatever is late comes."""
        return []

    def _as_of_now(self, frames: xr.Dataset) -> xr.Dataset:
        times = frames["time"].values
        is_final = times + self._how.final_after <= self._now
        is_wrong = np.array([self._is_wrong(time) for time in times], np.bool_)
        # Preliminary fields differ a little from final ones; wrong ones are wrong altogether.
        values = frames["t2m"].values + 0.25 * ~is_final[:, None, None]
        values[is_wrong] -= 150.0
        grid = Grid(frames["latitude"].values, frames["longitude"].values)
        statuses = np.where(is_final, Status.FINAL, Status.PRELIMINARY).astype(np.int8)
        return build_frames(
            values.astype(np.float32),
            times,
            statuses,
            grid,
            source=self.name,
            is_synthetic=self.is_synthetic,
        )

    def _due_at(self, times: Times) -> Times:
        """When the batch of each time is complete."""
        start, batch = self._domain.start, self._how.batch
        due: Times = start - (start - times - self._how.latency) // batch * batch
        return due

    def _published_at(self, time: Instant) -> Instant:
        due: Instant = self._due_at(time)
        is_late = due < self._calm_from and _draw(time, 1) < self._how.late_share
        return due + hours(int(_draw(time, 2) * _MOST_LATE_H)) if is_late else due

    def _is_wrong(self, time: Instant) -> bool:
        published = self._published_at(time)
        is_reissued = published < self._calm_from and _draw(time, 4) < self._how.reissued_share
        return bool(is_reissued and self._now < published + _REISSUED_AFTER)

    def _refuse_outage(self) -> None:
        now = np.array([self._now])
        if any(period.contains(now)[0] for period in self._how.outages):
            raise SourceUnavailableError(
                f"Expected an answer at {format_time(self._now)}, found none; wait."
            )


def _draw(moment: Instant, purpose: int) -> float:
    """Between 0 and 1, always the same for a moment and a purpose."""
    hour = int((moment - parse_time("2000-01-01")) / hours(1))
    return float(np.random.default_rng([hour, purpose]).random())


def install(site: Path) -> None:
    """Make the source known as a package that is installed in ``site`` would."""
    package = site / "simulated_upstream-1.0.dist-info"
    package.mkdir(parents=True)
    (package / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: simulated-upstream\nVersion: 1.0\n"
    )
    (package / "entry_points.txt").write_text(
        f"[lsntp.sources]\n{NAME} = tests.integration.simulated_upstream:SimulatedUpstream\n"
    )
