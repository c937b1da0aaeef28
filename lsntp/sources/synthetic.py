"""Generated 2 m temperature for the offline demo and scale tests; never for science.

A value depends on (seed, time, latitude, longitude) alone, so any cut of times gives
the same fields. It is the sum of

- a zonal mean and its seasonal cycle, larger over land;
- a made-up coast and orography, smooth random fields of the place, 6.5 K per km of height;
- a diurnal cycle with its peak at 15 h local solar time, several kelvin over land where no
  warm system shades it, a few tenths over sea;
- travelling systems: waves of 1500 to 4500 km that pass a place eastwards in 3 to 6 days;
- finer waves of 150 to 800 km that come and go within a day.

Waves are plane waves in latitude and longitude with whole wave numbers around the
circle, so there is no seam at the date line.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
import xarray as xr

from lsntp.grid import Floats, Grid
from lsntp.names import Status
from lsntp.sources.frames import build_frames
from lsntp.sources.native import NativeGrid
from lsntp.times import Duration, Instant, Period, Times, hours

_EPOCH = np.datetime64("2000-07-20T00", "ns")
"""Midsummer of the northern hemisphere, as the seasonal cycle has it."""

_YEAR_H = 365.2425 * 24
_LAPSE_K_PER_KM = 6.5
_SYSTEMS_K = 3.0
_FINE_K = 0.6


@dataclass(frozen=True)
class Waves:
    """A sum of n random plane waves; its variance is 1 over all places and times.

    Attributes:
        zonal: whole wave numbers around a circle of latitude (n,); positive is eastwards.
        meridional: radians per degree of latitude (n,).
        frequency: radians per hour (n,).
        swell: radians per hour (n,) of the slow waxing and waning; 0 for none.
        phase: radians (n,).
    """

    zonal: Floats
    meridional: Floats
    frequency: Floats
    swell: Floats
    phase: Floats

    @classmethod
    def draw(
        cls,
        rng: np.random.Generator,
        count: int,
        *,
        wave_numbers: tuple[int, int],
        period_h: tuple[float, float] = (np.inf, np.inf),
        swell_h: tuple[float, float] = (np.inf, np.inf),
    ) -> Self:
        """``count`` waves with wave numbers and periods drawn from the given ranges."""
        low, high = wave_numbers
        meridional = rng.uniform(low, high, count) * rng.choice([-1.0, 1.0], count)
        return cls(
            zonal=rng.integers(low, high, count, endpoint=True).astype(np.float64),
            meridional=np.radians(meridional),
            frequency=2 * np.pi * rng.uniform(1 / period_h[1], 1 / period_h[0], count),
            swell=2 * np.pi * rng.uniform(1 / swell_h[1], 1 / swell_h[0], count),
            phase=rng.uniform(0.0, 2 * np.pi, count),
        )

    def at(self, time_h: float, latitude: Floats, longitude: Floats) -> Floats:
        """The waves on a grid, without unit, of variance 1.

        Args:
            time_h: hours since any origin.
            latitude: (H,), degrees north.
            longitude: (W,), degrees east.

        Returns:
            (H, W).
        """
        amplitude = np.where(
            self.swell > 0, np.sqrt(2.0) * np.cos(self.swell * time_h + 3.0 * self.phase), 1.0
        ) * np.sqrt(2.0 / self.phase.size)
        drift = amplitude * np.exp(1j * (self.phase - self.frequency * time_h))
        rows = np.exp(1j * np.outer(latitude, self.meridional)) * drift
        columns = np.exp(1j * np.outer(self.zonal, np.radians(longitude)))
        field: Floats = (rows @ columns).real
        return field


@dataclass(frozen=True)
class Atmosphere:
    """The generator: everything a seed decides."""

    coast: Waves
    mountains: Waves
    systems: Waves
    fine: Waves

    @classmethod
    def of_seed(cls, seed: int) -> Self:
        """The same atmosphere for the same seed."""
        rng = np.random.default_rng(seed)
        return cls(
            coast=Waves.draw(rng, 24, wave_numbers=(8, 40)),
            mountains=Waves.draw(rng, 48, wave_numbers=(20, 120)),
            systems=Waves.draw(
                rng, 24, wave_numbers=(6, 17), period_h=(72.0, 144.0), swell_h=(240.0, 720.0)
            ),
            fine=Waves.draw(
                rng, 80, wave_numbers=(30, 160), period_h=(24.0, 72.0), swell_h=(24.0, 72.0)
            ),
        )

    def land_fraction(self, latitude: Floats, longitude: Floats) -> Floats:
        """0 over sea to 1 over land (H, W), with a smooth coast."""
        land: Floats = 1.0 / (1.0 + np.exp(-6.0 * self.coast.at(0.0, latitude, longitude)))
        return land

    def height_km(self, latitude: Floats, longitude: Floats) -> Floats:
        """Height of the ground (H, W), zero over sea."""
        ridges = np.clip(self.mountains.at(0.0, latitude, longitude), 0.0, 3.0)
        height: Floats = 0.6 * ridges * self.land_fraction(latitude, longitude)
        return height

    def temperature_k(self, time: Instant, latitude: Floats, longitude: Floats) -> Floats:
        """2 m temperature at one time.

        Args:
            time: UTC.
            latitude: (H,), degrees north.
            longitude: (W,), degrees east.

        Returns:
            (H, W), K.
        """
        time_h = float((time - _EPOCH) / np.timedelta64(1, "h"))
        land = self.land_fraction(latitude, longitude)
        sine = np.sin(np.radians(latitude))[:, None]
        summer = np.sign(sine) * np.cos(2 * np.pi * time_h / _YEAR_H)
        systems = self.systems.at(time_h, latitude, longitude)
        # 2000-07-20T00 is midnight, so hours since then are hours of the day at Greenwich.
        local_h = time_h + longitude[None, :] / 15.0
        sun = np.cos(2 * np.pi * (local_h - 15.0) / 24.0)
        shade = 1.0 / (1.0 + np.exp(1.5 * systems))
        mean = 302.0 - 32.0 * sine**2 + 14.0 * np.abs(sine) * summer * (0.5 + 0.5 * land)
        diurnal = (0.3 + land * (3.5 + 3.0 * shade) * (1.0 + 0.3 * summer)) * sun
        temperature: Floats = (
            mean
            - _LAPSE_K_PER_KM * self.height_km(latitude, longitude)
            + diurnal
            + _SYSTEMS_K * systems
            + _FINE_K * self.fine.at(time_h, latitude, longitude)
        )
        return temperature


class GeneratedSource:
    """Analyses of a made-up atmosphere; see :class:`lsntp.sources.base.Source`.

    Args:
        seed: decides the atmosphere.
        spacing_deg: step of the global native grid.
        period: the span that can be asked for.
        cadence: the step of the time axis, which starts at ``period.start``.
    """

    name = "synthetic"
    is_synthetic = True
    publication_latency = hours(0)

    def __init__(self, *, seed: int, spacing_deg: float, period: Period, cadence: Duration) -> None:
        self._atmosphere = Atmosphere.of_seed(seed)
        self._period = period
        self._cadence = cadence
        self._grid = NativeGrid(
            90.0 - np.arange(int(180 / spacing_deg + 1e-6) + 1, dtype=np.float64) * spacing_deg,
            -180.0 + np.arange(int(360 / spacing_deg + 1e-6), dtype=np.float64) * spacing_deg,
        )

    def available(self, period: Period) -> Times:
        """See :meth:`lsntp.sources.base.Source.available`."""
        times = self._period.steps(self._cadence, self._period.start)
        return times[period.contains(times)]

    def fetch(self, times: Times, area: Grid) -> list[xr.Dataset]:
        """See :meth:`lsntp.sources.base.Source.fetch`."""
        grid = self._grid.window(area, "the synthetic source").grid
        wanted = np.intersect1d(times, self.available(self._period))
        if not wanted.size:
            return []
        values = np.stack(
            [self._atmosphere.temperature_k(time, grid.latitude, grid.longitude) for time in wanted]
        ).astype(np.float32)
        statuses = np.full(wanted.size, Status.FINAL, np.int8)
        return [
            build_frames(
                values, wanted, statuses, grid, source=self.name, is_synthetic=self.is_synthetic
            )
        ]
