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

from lsntp.grid import Fields, Grid
from lsntp.land import land_fraction
from lsntp.times import Duration, Times
from lsntp.training_data.scaling import Scaler

KNOWN: Final = ("climatology", "cosine of the solar zenith angle")
"""Channels of ``known_future``."""
STATIC: Final = ("land fraction", "sine of latitude")
"""Channels of ``static``."""

_EPOCH = np.datetime64("2000-01-01T12:00", "ns")
_DAY = np.timedelta64(1, "D")


@dataclass(frozen=True, eq=False)
class Forcings:
    """The channels beside the temperature, for the steps of a window: -(T - 1) … K.

    Attributes:
        grid: the domain's.
        scaler: of the history; the climatology is in its units.
        cadence: length of a step.
        history: T.
        horizon: K.
        is_known, is_static: which of the two :meth:`of` gives.
        land: share of land (H, W); None for that of :mod:`lsntp.land`.
    """

    grid: Grid
    scaler: Scaler
    cadence: Duration
    history: int
    horizon: int
    is_known: bool = True
    is_static: bool = True
    land: Fields | None = None

    def of(self, init_times: Times) -> tuple[Fields | None, Fields | None]:
        """``known_future`` of the windows and ``static``, as a network takes them."""
        return (
            self.known_future(init_times) if self.is_known else None,
            self.static if self.is_static else None,
        )

    def known_future(self, init_times: Times) -> Fields:
        """The channels :data:`KNOWN` at every step of the windows: (n, T + K, 2, H, W) float32.

        Args:
            init_times: (n,).

        Raises:
            DomainError: if a time is at an hour of day that the climatology does not know.
        """
        steps = np.arange(1 - self.history, self.horizon + 1)
        times = init_times[:, None] + steps * self.cadence
        climatology = self.scaler.statistics.climatology.at(times)
        fields = np.empty((*times.shape, len(KNOWN), *self.grid.shape), np.float32)
        fields[:, :, 0] = self.scaler.scale(climatology)
        fields[:, :, 1] = cosine_of_solar_zenith(times, self.grid)
        return fields

    @cached_property
    def static(self) -> Fields:
        """The channels :data:`STATIC`: (2, H, W) float32."""
        sine = np.sin(np.deg2rad(self.grid.latitude))[:, None]
        land = land_fraction(self.grid) if self.land is None else self.land
        fields = [land, np.broadcast_to(sine, self.grid.shape)]
        return np.stack(fields).astype(np.float32)


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
