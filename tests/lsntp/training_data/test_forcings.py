"""The Sun against almanacs and the calendar; the channels against what they are made of."""

from dataclasses import replace

import numpy as np
import pytest

from lsntp.errors import TrainingDataError
from lsntp.grid import Grid
from lsntp.times import hours, parse_time
from lsntp.training_data.archive import build_training_archive
from lsntp.training_data.forcings import (
    CALENDAR,
    HEIGHT,
    KNOWN,
    STATIC,
    Forcings,
    calendar,
    cosine_of_solar_zenith,
)
from lsntp.training_data.ground import Ground


def cosine(time, latitude, longitude):
    """Of one place: a grid has at least two rows and columns."""
    grid = Grid(np.array([latitude, latitude - 1.0]), np.array([longitude, longitude + 1.0]))
    return float(cosine_of_solar_zenith(np.array(time, "datetime64[ns]"), grid)[0, 0])


def test_the_solar_position_algorithm_s_worked_example_is_met():
    # Reda and Andreas (2004), NREL/TP-560-34302, appendix A.5: 39.742476 N, 105.1786 W, elevation
    # angle without refraction 39.872046 degrees at 2003-10-17T12:30:30, UTC - 7 h.
    found = cosine("2003-10-17T19:30:30", 39.742476, -105.1786)
    assert np.rad2deg(np.arcsin(found)) == pytest.approx(39.872046, abs=0.02)


def test_at_the_equinox_the_noon_sun_is_overhead_at_the_equator():
    # 2024-03-20: equinox 03:06 UTC, equation of time -7.5 minutes, so noon at Greenwich is 12:07:30
    assert cosine("2024-03-20T12:07:30", 0.0, 0.0) > 0.99999
    assert cosine("2024-03-21T00:07:30", 0.0, 0.0) < -0.9999
    assert cosine("2024-03-20T18:07:30", 0.0, 0.0) == pytest.approx(0.0, abs=0.01)


@pytest.mark.parametrize(
    ("time", "latitude", "expected"),
    [
        ("2023-06-21T12:02", 23.44, 0.0),  # the tropic, zenith distance in degrees
        ("2023-06-21T12:02", 50.0, 50.0 - 23.44),
        ("2023-12-22T11:58", 50.0, 50.0 + 23.44),
        ("2023-12-22T11:58", -23.44, 0.0),
    ],
)
def test_at_the_solstices_noon_is_a_declination_of_23_44_degrees_away(time, latitude, expected):
    # arccos is flat at the zenith: compare cosines
    assert cosine(time, latitude, 0.0) == pytest.approx(np.cos(np.deg2rad(expected)), abs=2e-4)


def test_the_poles_have_a_sun_that_only_the_season_moves():
    day = np.datetime64("2023-06-21", "ns") + np.arange(24) * hours(1)
    grid = Grid(np.array([90.0, 89.0]), np.array([0.0, 120.0]))
    found = cosine_of_solar_zenith(day, grid)[:, 0]
    np.testing.assert_allclose(found, np.sin(np.deg2rad(23.44)), atol=2e-4)


def test_fifteen_degrees_east_is_an_hour_earlier():
    early = cosine("2023-09-01T08:00", 40.0, 15.0)
    assert early == pytest.approx(cosine("2023-09-01T09:00", 40.0, 0.0), abs=1e-3)


def test_axes_of_time_lead_the_shape():
    times = parse_time("2023-01-01") + np.arange(6).reshape(2, 3) * hours(1)
    grid = Grid(np.array([50.0, 49.0]), np.array([0.0, 1.0, 2.0, 3.0]))
    found = cosine_of_solar_zenith(times, grid)
    assert found.shape == (2, 3, 2, 4)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found[1, 2], cosine_of_solar_zenith(times[1, 2], grid))


@pytest.fixture
def forcings(domain, archive, tmp_path):
    training = build_training_archive(domain, archive, tmp_path, "standard")
    return Forcings(domain.target_grid, training.scaler, domain.cadence, history=3, horizon=2)


def test_known_future_is_climatology_and_sun_of_every_step_of_the_window(forcings):
    init_times = np.array(["2021-01-03T05", "2021-01-04T23"], "datetime64[ns]")
    found = forcings.known_future(init_times)
    assert found.shape == (2, 5, len(KNOWN), 2, 3)
    assert found.dtype == np.float32
    # the last step of the second window is 01 UTC of 5 January
    last = np.array(["2021-01-05T01"], "datetime64[ns]")
    usual = forcings.scaler.statistics.climatology.at(last)
    np.testing.assert_allclose(forcings.scaler.unscale(found[1, 4, 0]), usual[0], atol=1e-4)
    np.testing.assert_array_equal(found[1, 4, 1], cosine_of_solar_zenith(last, forcings.grid)[0])
    # the first of the first window is two steps before its init_time
    first = np.array(["2021-01-03T03"], "datetime64[ns]")
    np.testing.assert_array_equal(found[0, 0, 1], cosine_of_solar_zenith(first, forcings.grid)[0])


def test_static_fields_are_land_and_the_sine_of_latitude(forcings):
    assert forcings.static.shape == (len(STATIC), 2, 3)
    land, sine = forcings.static
    # 50 and 49 N, 0 to 2 E: the Channel off Dieppe in the north-west, Normandy and Picardy below
    assert land[0, 0] < 0.5 < land[1, 1]
    np.testing.assert_allclose(sine[0], 0.76604444, atol=1e-6)  # sin 50 degrees


def test_the_calendar_goes_round_with_the_day_and_with_the_year():
    times = np.array(["2021-01-01T00", "2021-01-01T06", "2021-07-02T12"], "datetime64[ns]")
    found = calendar(times)
    np.testing.assert_allclose(found[0], [0, 1, 0, 1], atol=1e-6)
    np.testing.assert_allclose(found[1, :2], [1, 0], atol=1e-6)
    # half a day and, but for an hour or so, half a year
    np.testing.assert_allclose(found[2], [0, -1, 0, -1], atol=5e-3)


def test_the_calendar_follows_the_sun_where_it_is_asked_for(forcings):
    told = replace(forcings, known=KNOWN + CALENDAR)
    init_times = np.array(["2021-01-03T05"], "datetime64[ns]")
    found = told.known_future(init_times)
    np.testing.assert_array_equal(found[:, :, :2], forcings.known_future(init_times))
    steps = init_times[0] + np.arange(-2, 3) * np.timedelta64(1, "h")
    np.testing.assert_array_equal(found[0, :, 2:, 1, 2], calendar(steps))
    assert (found[:, :, 2:] == found[:, :, 2:, :1, :1]).all()


def test_the_height_follows_the_latitude_and_one_that_is_missing_is_told(forcings):
    land, height = np.zeros((2, 3), np.float32), np.arange(6, dtype=np.float32).reshape(2, 3)
    told = replace(forcings, fixed=(*STATIC, HEIGHT), ground=Ground(land, height))
    np.testing.assert_array_equal(told.static[0], land)
    np.testing.assert_array_equal(told.static[2], height)
    with pytest.raises(TrainingDataError, match="Expected the height of the ground"):
        _ = replace(told, ground=Ground(land)).static
