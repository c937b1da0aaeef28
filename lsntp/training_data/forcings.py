"""What is known of a window before its forecast: the Sun, what is usual, and what lies there.

The Sun's place is the low-precision one of the Astronomical Almanac (0.01° between 1950 and 2050),
sidereal time that of Meeus:

    g = 357.529° + 0.98560028° D,    q = 280.459° + 0.98564736° D,
    λ = q + 1.915° sin g + 0.020° sin 2g,    ε = 23.439° - 0.00000036° D,
    α = atan2(cos ε sin λ, cos λ),    sin δ = sin ε sin λ,
    θ = 280.46061837° + 360.98564736629° D,
    cos Z = sin φ sin δ + cos φ cos δ cos(θ + longitude - α),

D days since 2000-01-01T12 UTC, δ declination, Z solar zenith angle without refraction.

References:
    U.S. Naval Observatory, Computing Approximate Solar Coordinates, aa.usno.navy.mil;
    Meeus (1998), Astronomical Algorithms, 2nd ed., eq. 12.4.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np

from lsntp.errors import TrainingDataError
from lsntp.grid import Fields, Grid
from lsntp.land import land_fraction
from lsntp.times import Duration, Times
from lsntp.training_data.ground import Ground
from lsntp.training_data.scaling import Scaler

KNOWN: Final = ("climatology", "cosine of the solar zenith angle")
"""Channels of ``known_future``, always."""
CALENDAR: Final = (
    "sine of the hour of day",
    "cosine of the hour of day",
    "sine of the day of year",
    "cosine of the day of year",
)
"""Channels of ``known_future`` that may follow: 24 hours, UTC, and 365.2425 days are a circle."""
STATIC: Final = ("land fraction", "sine of latitude")
"""Channels of ``static``, always."""
HEIGHT: Final = "height of the ground"
"""The channel of ``static`` that may follow, km."""

_EPOCH = np.datetime64("2000-01-01T12:00", "ns")
_DAY = np.timedelta64(1, "D")
_YEAR = 365.2425
"""Days."""


@dataclass(frozen=True, eq=False)
class Forcings:
    """The channels beside the temperature, for the steps of a window: -(T - 1) … K.

    Attributes:
        grid: the domain's.
        scaler: of the history; the climatology is in its units.
        cadence: length of a step.
        history: T.
        horizon: K.
        known: channels of ``known_future``; none: :meth:`of` gives none.
        fixed: channels of ``static``; none: :meth:`of` gives none.
        ground: of the domain; None for the share of land of :mod:`lsntp.land`, and no height.
    """

    grid: Grid
    scaler: Scaler
    cadence: Duration
    history: int
    horizon: int
    known: tuple[str, ...] = KNOWN
    fixed: tuple[str, ...] = STATIC
    ground: Ground | None = None

    def of(self, init_times: Times) -> tuple[Fields | None, Fields | None]:
        """``known_future`` of the windows and ``static``, as a network takes them."""
        return (
            self.known_future(init_times) if self.known else None,
            self.static if self.fixed else None,
        )

    def known_future(self, init_times: Times) -> Fields:
        """The channels ``known`` at every step of the windows: (n, T + K, f, H, W) float32.

        Args:
            init_times: (n,).

        Raises:
            DomainError: if a time is at an hour of day that the climatology does not know.
        """
        steps = np.arange(1 - self.history, self.horizon + 1)
        times = init_times[:, None] + steps * self.cadence
        climatology = self.scaler.statistics.climatology.at(times)
        fields = np.empty((*times.shape, len(self.known), *self.grid.shape), np.float32)
        fields[:, :, 0] = self.scaler.scale(climatology)
        fields[:, :, 1] = cosine_of_solar_zenith(times, self.grid)
        if self.known[len(KNOWN) :]:
            fields[:, :, len(KNOWN) :] = calendar(times)[..., None, None]
        return fields

    @cached_property
    def static(self) -> Fields:
        """The channels ``fixed``: (s, H, W) float32.

        Raises:
            TrainingDataError: if a height is among them and the ground has none.
        """
        sine = np.sin(np.deg2rad(self.grid.latitude))[:, None]
        land = land_fraction(self.grid) if self.ground is None else self.ground.land
        fields = [land, np.broadcast_to(sine, self.grid.shape)]
        if HEIGHT in self.fixed:
            if self.ground is None or self.ground.height_km is None:
                raise TrainingDataError(
                    "Expected the height of the ground of a network with architecture.orography, "
                    "found none; name its source under static and run `lsntp static DOMAIN`."
                )
            fields.append(self.ground.height_km)
        return np.stack(fields).astype(np.float32)


def calendar(times: Times) -> Fields:
    """The channels :data:`CALENDAR` at ``times`` (...), UTC: (..., 4) float32."""
    hours = (times - times.astype("datetime64[D]")) / np.timedelta64(1, "h")
    days = (times - times.astype("datetime64[Y]")) / _DAY
    angles = 2 * np.pi * np.stack([hours / 24, hours / 24, days / _YEAR, days / _YEAR], axis=-1)
    angles[..., 1::2] += np.pi / 2  # a cosine is the sine a quarter ahead
    return np.sin(angles).astype(np.float32)


def cosine_of_solar_zenith(times: Times, grid: Grid) -> Fields:
    """The cosine of Z (..., H, W) float32 at ``times`` (...), UTC; below 0 at night."""
    days = (times - _EPOCH) / _DAY
    anomaly = np.deg2rad(357.529 + 0.98560028 * days)
    ecliptic = np.deg2rad(
        280.459 + 0.98564736 * days + 1.915 * np.sin(anomaly) + 0.020 * np.sin(2 * anomaly)
    )
    obliquity = np.deg2rad(23.439 - 3.6e-7 * days)
    ascension = np.arctan2(np.cos(obliquity) * np.sin(ecliptic), np.cos(ecliptic))
    declination = np.arcsin(np.sin(obliquity) * np.sin(ecliptic))
    hour_angle = np.deg2rad((280.46061837 + 360.98564736629 * days) % 360) - ascension
    # cos(a + longitude) = cos a cos longitude - sin a sin longitude: every field is a sum of three
    # that do not change, and a product of matrices costs less than a cosine for every cell.
    of_time = np.stack(
        [
            np.sin(declination),
            np.cos(declination) * np.cos(hour_angle),
            -np.cos(declination) * np.sin(hour_angle),
        ],
        axis=-1,
    ).astype(np.float32)  # (..., 3)
    return (of_time @ _zenith_fields(grid)).reshape(*times.shape, *grid.shape)


def _zenith_fields(grid: Grid) -> Fields:
    """The three of every cell, sin φ, cos φ cos longitude and cos φ sin longitude: (3, H * W)."""
    latitude, longitude = np.deg2rad(grid.latitude)[:, None], np.deg2rad(grid.longitude)
    fields = (
        np.broadcast_to(np.sin(latitude), grid.shape),
        np.cos(latitude) * np.cos(longitude),
        np.cos(latitude) * np.sin(longitude),
    )
    return np.stack([field.ravel() for field in fields]).astype(np.float32)
