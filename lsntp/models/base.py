"""What every forecasting model promises, and the checks at its door."""

from typing import Protocol, runtime_checkable

import numpy as np

from lsntp.errors import ModelError
from lsntp.grid import Fields
from lsntp.times import Duration, LeadTimes, Times, format_duration_h, format_time


class Forecaster(Protocol):
    """A model that turns recent analyses into a forecast.

    Attributes:
        name: the model's name in archives and tables.
        offsets: the analyses it needs, as steps relative to the initial time,
            ascending, the last one 0.
    """

    @property
    def name(self) -> str: ...  # noqa: D102

    @property
    def offsets(self) -> tuple[int, ...]: ...  # noqa: D102

    def forecast(self, history: Fields, init_times: Times) -> Fields:
        """Forecasts (n, K, H, W), K, from ``history`` (n, len(offsets), H, W), K.

        Raises:
            ModelError: if the history has another shape than expected or holds NaN.
        """


@runtime_checkable
class QuantileForecaster(Forecaster, Protocol):
    """A model that may know how sure its forecasts are."""

    def forecast_with_quantiles(
        self, history: Fields, init_times: Times
    ) -> tuple[Fields, Fields | None]:
        """:meth:`forecast`, and quantiles (n, Q, K, H, W), K, ascending; None uncalibrated.

        They are those of :data:`lsntp.names.QUANTILES`.
        """


def check_history(
    history: Fields, init_times: Times, offsets: tuple[int, ...], *, name: str
) -> None:
    """Refuse a history that does not fit the model or is incomplete.

    Args:
        history: analyses (n, frames, H, W), K.
        init_times: (n,).
        offsets: steps of the frames the model needs, relative to the initial time.
        name: of the model, for the message.

    Raises:
        ModelError: naming the model, what it expects and what was found.
    """
    if history.ndim != 4 or history.shape[:2] != (init_times.size, len(offsets)):
        raise ModelError(
            f"{name} expects a history (n, frames, H, W) with n = {init_times.size} initial times "
            f"and {len(offsets)} frames at steps {offsets}, found shape {history.shape}."
        )
    incomplete = init_times[~np.isfinite(history).all(axis=(1, 2, 3))]
    if incomplete.size:
        raise ModelError(
            f"{name} expects a complete history, found NaN in that of {incomplete.size} initial "
            f"times, first {format_time(incomplete[0])}; forecast only where all of steps "
            f"{offsets} are usable."
        )


def steps_of(durations: LeadTimes, cadence: Duration) -> tuple[int, ...]:
    """``durations`` (K,) as whole numbers of steps.

    Raises:
        ModelError: if one is no multiple of ``cadence``.
    """
    steps = durations // cadence
    odd = durations[steps * cadence != durations]
    if odd.size:
        raise ModelError(
            f"Expected lead times that are multiples of the cadence "
            f"{format_duration_h(cadence)}, found {format_duration_h(odd[0])}."
        )
    return tuple(int(step) for step in steps)
