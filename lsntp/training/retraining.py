"""Which hours a training run uses as the archive grows: ``retrain`` in the domain file."""

import numpy as np

from lsntp.archives.analysis import AnalysisArchive
from lsntp.config import Domain
from lsntp.errors import TrainingDataError
from lsntp.times import DAY, Duration, Instant, Period, format_time
from lsntp.training_data.blocks import usable_at


def with_current_split(domain: Domain, analysis: AnalysisArchive) -> Domain:
    """The domain whose ``split`` follows the newest analysis; itself where the window is fixed.

    With E the midnight up to which there are analyses, going back from it:

    * test: the days of the gate, ``gate.days`` of initial times behind the purge gap, to E;
    * validation: ``retrain.validation_days`` before them;
    * training: ``retrain.days`` before those (rolling), or all from ``split.train.start`` on
      (expanding).

    No hour is shared, and the purge gap is cut from each later block as for any split. Whole days
    make a second run on the same day the same run.

    Args:
        domain: as its file says.
        analysis: the domain's analyses.

    Raises:
        TrainingDataError: if the archive is too short for these blocks.
    """
    retrain = domain.retrain
    if not retrain.is_moving:
        return domain
    usable = analysis.times[usable_at(analysis, analysis.times)]
    end = usable[-1] + domain.cadence if usable.size else domain.start
    end = end.astype("datetime64[D]").astype("datetime64[ns]")
    test = end - domain.gate.days * DAY - _whole_days(2 * domain.purge)
    validation = test - retrain.validation_days * DAY
    first = domain.split.train.period.start
    train = first if retrain.days is None else validation - retrain.days * DAY
    if train < domain.start or train >= validation:
        raise TrainingDataError(
            f"Expected analyses enough for a {retrain.window} window ({_described(domain)}) before "
            f"{format_time(end)}, found an archive that begins at {format_time(domain.start)}: "
            f"training would last from {format_time(train)} to {format_time(validation)}. Ingest "
            "more, shorten retrain.days, retrain.validation_days or gate.days, or set "
            "retrain.window: fixed."
        )
    periods = {
        "train": Period(train, validation),
        "validation": Period(validation, test),
        "test": Period(test, end),
    }
    split = {
        name: {"start": _text(period.start), "end": _text(period.end)}
        for name, period in periods.items()
    }
    return domain.model_copy(update={"split": type(domain.split).model_validate(split)})


def _whole_days(duration: Duration) -> Duration:
    """Rounded up."""
    rounded: Duration = int(-(-duration // DAY)) * DAY
    return rounded


def _described(domain: Domain) -> str:
    training = f"{domain.retrain.days} training days, " if domain.retrain.days else ""
    return (
        f"{training}{domain.retrain.validation_days} validation days, {domain.gate.days} days of "
        f"the gate, purge gaps of {domain.history + domain.horizon} steps"
    )


def _text(time: Instant) -> str:
    return str(np.datetime_as_string(time, unit="m"))
