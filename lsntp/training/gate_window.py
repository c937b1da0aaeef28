"""The days on which versions are compared, and their errors there."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lsntp.archives.analysis import AnalysisArchive
from lsntp.config import FEWEST_DAYS, Domain
from lsntp.errors import DomainError, ModelError
from lsntp.evaluation.bootstrap import Difference, block_length, difference
from lsntp.grid import Floats
from lsntp.models.base import Forecaster
from lsntp.progress import track
from lsntp.times import DAY, Instant, LeadTimes, Period, Times, format_time
from lsntp.training.history import is_complete, read_fields, status_of, times_of
from lsntp.training.loading import load_forecaster
from lsntp.training.versions import ModelVersion, lineage, open_version
from lsntp.training_data.blocks import usable_at
from lsntp.training_data.splits import window_init_times
from lsntp.workspace import Workspace

BATCH = 64
"""Initial times forecast together."""
EPOCH = np.datetime64(0, "ns")


@dataclass(frozen=True, eq=False)
class Contender:
    """A version that was loaded, with the end of what it has seen."""

    version: ModelVersion
    forecaster: Forecaster
    seen_until: Instant

    @property
    def name(self) -> str:
        """``<model>-<digest>``."""
        return self.version.version


@dataclass(frozen=True, eq=False)
class GateWindow:
    """Initial times that no contender has seen, in whole days up to the newest.

    Attributes:
        unseen_from: no analysis before is used as truth: the latest end of the contenders'
            training and validation, and the purge gap.
        newest: the newest usable analysis.
        init_times: (n,) of which every contender has a complete history, and whose truth is
            complete; may be empty.
        first: where the whole days are counted from.
    """

    unseen_from: Instant
    newest: Instant
    init_times: Times
    first: Instant

    @property
    def block_times(self) -> Times:
        """``init_times`` moved so that whole days of the window are UTC days."""
        return EPOCH + (self.init_times - self.first)

    @property
    def days(self) -> int:
        """Whole days that hold an initial time."""
        return int(np.unique(self.block_times.astype("datetime64[D]")).size)

    @property
    def block_days(self) -> int:
        """Days that are drawn together: three of 28."""
        return block_length(self.days)

    @property
    def is_long_enough(self) -> bool:
        """Whether a paired block bootstrap over its days can tell anything."""
        return self.days >= FEWEST_DAYS

    @property
    def span(self) -> tuple[str, str] | None:
        """The first and the last initial time."""
        if not self.init_times.size:
            return None
        return format_time(self.init_times[0]), format_time(self.init_times[-1])

    def explain_too_short(self, names: Sequence[str]) -> str:
        """What was expected of the window, what was found, and what to do."""
        found = f"{self.days} (from {' to '.join(self.span)})" if self.span else "none"
        return (
            f"Expected at least {FEWEST_DAYS} whole days to compare on, after what "
            f"{' and '.join(names)} have seen in training and validation and the purge gap, that "
            f"is from {format_time(self.unseen_from)} on, found {found}; the newest usable "
            f"analysis is of {format_time(self.newest)}. Ingest more, or train on earlier hours, "
            "and offer it again."
        )


@dataclass(frozen=True, eq=False)
class Duel:
    """Two contenders over one window.

    Attributes:
        first, second: the contenders.
        window: what they were compared on.
        lead_times: (K,).
        mse: area-weighted mean squared error (2, n, K), K², of each forecast.
    """

    first: Contender
    second: Contender
    window: GateWindow
    lead_times: LeadTimes
    mse: Floats

    @property
    def rmse(self) -> Floats:
        """RMSE (2, K), K, over initial times and cells."""
        result: Floats = np.sqrt(self.mse.mean(axis=1))
        return result

    def difference(self, samples: int, lead: int | None = None) -> Difference:
        """RMSE of the first minus the second, of one lead or the mean over leads.

        Blocks of :attr:`GateWindow.block_days` are drawn.
        """
        chosen = slice(None) if lead is None else slice(lead, lead + 1)
        return difference(
            self.mse[0][:, chosen],
            self.mse[1][:, chosen],
            self.window.block_times,
            metric="rmse",
            samples=samples,
            block_days=self.window.block_days,
        )


def enter(domain: Domain, name: str) -> Contender:
    """Load a version, whole and proven, to be compared.

    Raises:
        ModelError: if it, or a version that it was fine-tuned from, is unknown, damaged or not
            finite, or does not fit the domain.
        ConfigError: if its stored configuration is not one of this code version.
    """
    version = open_version(Workspace.of(domain).models, name)
    return Contender(version, load_forecaster(version, domain), _seen_until(domain, version))


def gate_window(
    domain: Domain, analysis: AnalysisArchive, contenders: Sequence[Contender]
) -> GateWindow:
    """The newest ``gate.days`` days (fewer where less is unseen) of all contenders."""
    usable = analysis.times[usable_at(analysis, analysis.times)]
    newest = usable[-1] if usable.size else domain.start
    unseen_from = max(contender.seen_until for contender in contenders) + domain.purge
    nothing = GateWindow(unseen_from, newest, usable[:0], unseen_from)
    try:
        period = Period(unseen_from, newest + domain.cadence)
    except DomainError:
        return nothing
    init_times = window_init_times(domain, analysis, period)
    for contender in contenders:
        status = status_of(analysis, init_times, contender.forecaster.offsets)
        init_times = init_times[is_complete(status)]
    if not init_times.size:
        return nothing
    end = init_times[-1] + domain.cadence
    days = min(domain.gate.days, max(1, int((end - init_times[0]) // DAY)))
    first = end - days * DAY
    return GateWindow(unseen_from, newest, init_times[init_times >= first], first)


def squared_errors(
    domain: Domain, analysis: AnalysisArchive, contender: Contender, init_times: Times
) -> Floats:
    """The area-weighted mean squared error (n, K), K², of a contender's forecasts.

    Raises:
        ModelError: if a forecast is not finite.
    """
    steps = tuple(int(step) for step in domain.lead_times // domain.cadence)
    weights = domain.target_grid.area_weights
    weights = weights / weights.sum()
    batches = [init_times[first : first + BATCH] for first in range(0, init_times.size, BATCH)]
    errors = []
    for batch in track(batches, f"gate {contender.version.model}"):
        history = read_fields(analysis, batch, contender.forecaster.offsets)
        prediction = contender.forecaster.forecast(history, batch)
        broken = batch[~np.isfinite(prediction).all(axis=(1, 2, 3))]
        if broken.size:
            raise ModelError(
                f"Expected finite forecasts from {contender.name}, found NaN or infinity in "
                f"{broken.size}, first from {format_time(broken[0])}; train it again."
            )
        error = prediction.astype(np.float64) - read_fields(analysis, batch, steps)
        errors.append(np.einsum("nkhw,hw->nk", np.square(error), weights))
    return np.concatenate(errors)


def data_digest(
    domain: Domain, analysis: AnalysisArchive, window: GateWindow, contenders: Sequence[Contender]
) -> str:
    """SHA-256 of the digests of all analyses that a comparison starts from or is measured by."""
    leads = tuple(range(1, domain.horizon + 1))
    offsets = {offset for contender in contenders for offset in contender.forecaster.offsets}
    times = np.unique(times_of(analysis, window.init_times, (*sorted(offsets), *leads)))
    content = hashlib.sha256(times.astype("<i8").tobytes())
    content.update(analysis.digests_at(times).astype(np.uint8).tobytes())
    return content.hexdigest()


def duel(domain: Domain, analysis: AnalysisArchive, first: Contender, second: Contender) -> Duel:
    """Two contenders over the days that neither has seen, however few.

    Raises:
        ModelError: if a forecast is not finite, or there is no initial time to compare.
    """
    window = gate_window(domain, analysis, (first, second))
    if not window.init_times.size:
        raise ModelError(window.explain_too_short((first.name, second.name)))
    mse = [squared_errors(domain, analysis, one, window.init_times) for one in (first, second)]
    return Duel(first, second, window, domain.lead_times, np.stack(mse))


def _seen_until(domain: Domain, version: ModelVersion) -> Instant:
    """The end of what a version, and all that it was fine-tuned from, were fitted or chosen on."""
    folder = Workspace.of(domain).models
    return max(each.seen.end for each in lineage(folder, version))
