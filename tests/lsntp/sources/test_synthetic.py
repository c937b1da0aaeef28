import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from lsntp.grid import regular_grid
from lsntp.sources.synthetic import Atmosphere, GeneratedSource
from lsntp.times import Period, hours

AREA = regular_grid(north=54.0, south=42.0, west=-6.0, east=12.0, spacing=1.0)
PERIOD = Period.parse("2024-01-01", "2024-03-11")


def source(seed: int = 7, cadence_h: float = 1) -> GeneratedSource:
    return GeneratedSource(seed=seed, spacing_deg=0.5, period=PERIOD, cadence=hours(cadence_h))


@pytest.fixture(scope="module")
def winter() -> xr.Dataset:
    made = source()
    (frames,) = made.fetch(made.available(PERIOD), AREA)
    return frames


@settings(max_examples=10, deadline=None)
@given(cut=st.integers(1, 23))
def test_any_split_of_times_gives_the_same_bits(cut: int) -> None:
    made = source()
    times = made.available(Period.parse("2024-02-01", "2024-02-02"))
    (whole,) = made.fetch(times, AREA)
    pieces = [source().fetch(part, AREA)[0] for part in (times[:cut], times[cut:])]
    xr.testing.assert_identical(xr.concat(pieces, "time"), whole)


def test_cadence_does_not_change_the_fields() -> None:
    hourly, coarse = source(), source(cadence_h=6)
    times = coarse.available(Period.parse("2024-02-01", "2024-02-03"))
    xr.testing.assert_identical(hourly.fetch(times, AREA)[0], coarse.fetch(times, AREA)[0])


def test_another_seed_gives_another_atmosphere() -> None:
    times = source().available(Period.parse("2024-02-01", "2024-02-02"))
    first, second = (source(seed).fetch(times, AREA)[0].t2m.values for seed in (1, 2))
    assert np.abs(first - second).mean() > 1.0


def test_it_delivers_every_step_of_its_period_and_nothing_else() -> None:
    everything = source(cadence_h=6).available(Period.parse("2020-01-01", "2030-01-01"))
    assert everything.size == 70 * 4
    assert everything[0] == PERIOD.start
    assert everything[-1] == PERIOD.end - hours(6)
    assert source().fetch(np.array(["2030-01-01"], "datetime64[ns]"), AREA) == []


def test_frames_are_labelled_synthetic(winter: xr.Dataset) -> None:
    assert winter.attrs["synthetic"] == "true"
    assert winter.t2m.dtype == np.float32


def test_the_native_grid_has_the_asked_spacing_and_a_margin(winter: xr.Dataset) -> None:
    # The area's cells reach 54.5..41.5 N; native cells of 0.5 at 54.5 and 41.5 overlap by half.
    assert winter.latitude.values[[0, -1]].tolist() == [55.0, 41.0]
    assert np.all(np.diff(winter.longitude.values) == 0.5)


def test_temperatures_are_plausible(winter: xr.Dataset) -> None:
    assert winter.t2m.min() > 240.0
    assert winter.t2m.max() < 310.0
    made = GeneratedSource(
        seed=7,
        spacing_deg=0.5,
        period=Period.parse("2024-07-01", "2024-07-03"),
        cadence=hours(3),
    )
    (summer,) = made.fetch(made.available(Period.parse("2024-01-01", "2025-01-01")), AREA)
    assert summer.t2m.mean() > winter.t2m.mean() + 10.0


def test_days_are_larger_over_land_than_over_sea(winter: xr.Dataset) -> None:
    by_hour = winter.t2m.groupby("time.hour").mean().values
    swing = by_hour.max(axis=0) - by_hour.min(axis=0)
    land = Atmosphere.of_seed(7).land_fraction(winter.latitude.values, winter.longitude.values)
    assert 0.2 < (land > 0.5).mean() < 0.8
    assert swing[land > 0.8].mean() > 4.0 * swing[land < 0.2].mean()


def test_forecasting_it_is_neither_trivial_nor_hopeless(winter: xr.Dataset) -> None:
    t2m = winter.t2m.values
    change = t2m[30:] - t2m[24:-6]
    yesterday = t2m[6:-24] - t2m[:-30]
    persistence = np.abs(change).mean()
    assert 1.5 < persistence < 3.0
    assert 0.3 * persistence < np.abs(change - yesterday).mean() < 0.9 * persistence


def test_systems_travel_eastwards() -> None:
    systems = Atmosphere.of_seed(7).systems
    longitude = np.arange(-180.0, 180.0, 0.5)
    now, later = (systems.at(t, np.array([50.0]), longitude)[0] for t in (0.0, 6.0))
    # The shift that best maps the ring now onto the ring six hours later.
    shifts = np.arange(-60, 61)
    match = [np.dot(np.roll(now, shift), later) for shift in shifts]
    degrees = 0.5 * shifts[int(np.argmax(match))]
    assert 0.5 <= degrees <= 6.0
    assert np.corrcoef(np.roll(now, int(2 * degrees)), later)[0, 1] > 0.9
