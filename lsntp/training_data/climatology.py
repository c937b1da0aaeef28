"""Climatology: the mean field by hour of day and, given two years, by smoothed day of year."""

from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

from lsntp.errors import DomainError, TrainingDataError
from lsntp.grid import Fields, Floats
from lsntp.times import Duration, Instant, Period, Times, format_time, in_hours

HARMONICS = 4
SEASONAL_TERMS = 1 + 2 * HARMONICS
SEASONAL_SPAN = np.timedelta64(730, "D")
"""Usable hours must span two years before the season is told apart from the weather."""
MAX_CONDITION = 50.0
"""Of the normal equations: 2 for a full year, 50 when some 70 days of the year have no field."""

_DAY = np.timedelta64(1, "D")


@dataclass(frozen=True, eq=False)
class Climatology:
    """The expected field of any time, from the training period only.

    For every hour of day and cell a mean plus four annual harmonics, fitted by least
    squares: a smooth day of year that needs no window (the mean alone when the data
    span less than two years).

    Attributes:
        coefficients: (S, F, H, W) float32, K; S hours of day, F = 1 (hour of day only) or 9
            (mean, then cosine and sine of 1..4 cycles a year).
        hours_of_day: (S,) UTC hours of day, ascending.

    References:
        Narapusetty, DelSole and Tippett (2009), Optimal estimation of the climatological
        mean, doi:10.1175/2009JCLI2944.1.
    """

    coefficients: Fields
    hours_of_day: Floats

    @property
    def is_seasonal(self) -> bool:
        """Whether the day of year matters, not the hour of day alone."""
        return len(self.coefficients[0]) > 1

    def at(self, times: Times) -> Fields:
        """The climatological fields (..., H, W), K, of ``times`` (...).

        Raises:
            DomainError: if a time is at an hour of day that was not fitted.
        """
        flat = times.ravel()
        slots = slots_of(flat, self.hours_of_day)
        _, terms, height, width = self.coefficients.shape
        basis = annual_basis(flat, terms).astype(np.float32)
        fields = np.empty((flat.size, height, width), np.float32)
        for slot in np.unique(slots):
            here = slots == slot
            fields[here] = np.tensordot(basis[here], self.coefficients[slot], axes=1)
        return fields.reshape(*times.shape, height, width)

    def by_hour_of_day(self, times: Times) -> Self:
        """The mean of :meth:`at` over ``times`` (n,) by hour of day, without the season.

        Over the times of the fit that is the plain mean of the fields of each hour, because
        the residuals of a least-squares fit with a mean term sum to zero.
        """
        if not self.is_seasonal:
            return self
        slots = slots_of(times, self.hours_of_day)
        basis = annual_basis(times, len(self.coefficients[0]))
        means = [
            np.tensordot(basis[slots == slot].mean(axis=0), coefficients.astype(np.float64), 1)
            for slot, coefficients in enumerate(self.coefficients)
        ]
        return type(self)(np.stack(means)[:, None].astype(np.float32), self.hours_of_day)


@dataclass(frozen=True, eq=False)
class ClimatologySums:
    """The normal equations of the fit, (B'B) c = B'y for every hour of day; sums add up.

    Attributes:
        gram: (S, F, F) float64.
        products: (S, F, H, W) float64, K.
        hours_of_day: (S,) UTC hours of day.
    """

    gram: Floats
    products: Floats
    hours_of_day: Floats

    @classmethod
    def of(cls, times: Times, fields: Fields, hours_of_day: Floats, *, seasonal: bool) -> Self:
        """The sums of complete fields.

        Args:
            times: (n,), UTC.
            fields: (n, H, W), K, without NaN.
            hours_of_day: (S,), all that ``times`` may be at.
            seasonal: whether the day of year gets terms of its own.

        Raises:
            DomainError: if a time is at another hour of day.
        """
        terms = SEASONAL_TERMS if seasonal else 1
        gram = np.zeros((hours_of_day.size, terms, terms))
        products = np.zeros((hours_of_day.size, terms, *fields.shape[1:]))
        slots = slots_of(times, hours_of_day)
        basis = annual_basis(times, terms)
        for slot in np.unique(slots):
            here = slots == slot
            gram[slot] = basis[here].T @ basis[here]
            products[slot] = np.tensordot(basis[here].T, fields[here].astype(np.float64), axes=1)
        return cls(gram, products, hours_of_day)

    def __add__(self, other: Self) -> Self:
        return type(self)(self.gram + other.gram, self.products + other.products, self.hours_of_day)

    def solve(self, period: Period | None = None) -> Floats:
        """The coefficients (S, F, H, W), K, float64.

        Args:
            period: whose fields these are, for the errors.

        Raises:
            TrainingDataError: if an hour of day has no field, or none in a part of the year.
        """
        self._check_determined(f"training period {period}" if period else "training period")
        slots, terms, height, width = self.products.shape
        flat = self.products.reshape(slots, terms, height * width)
        coefficients: Floats = np.asarray(np.linalg.solve(self.gram, flat), np.float64)
        return coefficients.reshape(self.products.shape)

    def _check_determined(self, where: str) -> None:
        counts = self.gram[:, 0, 0]
        if empty := [f"{hour:g}" for hour in self.hours_of_day[counts == 0]]:
            raise TrainingDataError(
                f"Expected at least one usable field for every hour of day in the {where}, found "
                f"none at {', '.join(empty)} UTC; ingest more of the period or move split.train."
            )
        condition = np.linalg.cond(self.gram / counts[:, None, None])
        if worst := [f"{hour:g}" for hour in self.hours_of_day[condition > MAX_CONDITION]]:
            raise TrainingDataError(
                f"Expected usable fields in every season of the {where}, of two years or more, "
                f"found large parts of the year empty at {', '.join(worst)} UTC; ingest "
                "them, or shorten split.train below two years for an hour-of-day climatology."
            )


def hours_of_day(origin: Instant, cadence: Duration) -> Floats:
    """The UTC hours of day (S,) that the axis ``origin + k * cadence`` visits, ascending."""
    first = in_hours((origin - origin.astype("datetime64[D]")) % cadence)
    step = in_hours(cadence)
    return first + step * np.arange(round(24 / step), dtype=np.float64)


def slots_of(times: Times, hours: Floats) -> npt.NDArray[np.int64]:
    """The position (n,) of each time's hour of day in ``hours`` (S,).

    Raises:
        DomainError: if a time is at another hour of day.
    """
    hour = (times - times.astype("datetime64[D]")) / np.timedelta64(1, "h")
    slots: npt.NDArray[np.int64] = np.abs(hour[:, None] - hours).argmin(axis=1)
    strangers = times[np.abs(hour - hours[slots]) > 1e-6]
    if strangers.size:
        raise DomainError(
            f"Expected times at {', '.join(f'{hour:g}' for hour in hours)} UTC, the hours of day "
            f"of the training period, found {format_time(strangers[0])}; use the cadence the "
            "climatology was fitted on."
        )
    return slots


def annual_basis(times: Times, terms: int) -> Floats:
    """Mean, cosine and sine of 1, 2 … cycles a year: (n, terms), terms odd."""
    years = times.astype("datetime64[Y]")
    length = (years + np.timedelta64(1, "Y")).astype("datetime64[D]") - years.astype(
        "datetime64[D]"
    )
    phase = 2 * np.pi * ((times - years) / _DAY) / (length / _DAY)
    angles = phase[:, None] * np.arange(1, terms // 2 + 1)
    waves = np.stack([np.cos(angles), np.sin(angles)], axis=-1).reshape(times.size, terms - 1)
    return np.concatenate([np.ones((times.size, 1)), waves], axis=1)
