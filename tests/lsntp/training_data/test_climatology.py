import numpy as np
import pytest

from lsntp.errors import DomainError, TrainingDataError
from lsntp.times import hours, parse_time
from lsntp.training_data.climatology import Climatology, ClimatologySums, hours_of_day, slots_of

START = parse_time("2019-01-01")


def axis(frames, cadence_h):
    return START + np.arange(frames) * hours(cadence_h)


def fit(times, fields, cadence_h, *, seasonal):
    of_day = hours_of_day(START, hours(cadence_h))
    sums = ClimatologySums.of(times, np.asarray(fields, np.float32), of_day, seasonal=seasonal)
    return Climatology(sums.solve().astype(np.float32), of_day)


def test_hour_of_day_climatology_is_the_mean_of_each_hour():
    # two days of 6-hourly fields: 0, 6, 12, 18 UTC hold (1, 3), (10, 30), (100, 300), (5, 5)
    values = np.array([1, 10, 100, 5, 3, 30, 300, 5.0])
    climatology = fit(axis(8, 6), values[:, None, None], 6, seasonal=False)
    assert climatology.at(axis(4, 6))[:, 0, 0].tolist() == [2, 20, 200, 5]
    assert not climatology.is_seasonal


def test_hour_of_day_climatology_holds_in_any_year():
    climatology = fit(axis(4, 6), np.arange(4.0)[:, None, None], 6, seasonal=False)
    later = np.array(["1979-02-28T06", "2032-02-29T18"], "datetime64[ns]")
    assert climatology.at(later)[:, 0, 0].tolist() == [1, 3]


def test_a_seasonal_climatology_recovers_an_annual_cycle_that_differs_by_hour():
    times = axis(4 * 731, 6)
    day = (times - times.astype("datetime64[Y]")) / np.timedelta64(1, "D")
    length = np.where(times < parse_time("2020-01-01"), 365, 366)
    phase = 2 * np.pi * day / length
    amplitude = np.array([5.0, 7.0, 11.0, 9.0])[np.arange(times.size) % 4]
    truth = 280 + amplitude * np.cos(phase - 3.4) + 2 * np.sin(3 * phase)
    climatology = fit(times, truth[:, None, None], 6, seasonal=True)
    assert climatology.is_seasonal
    np.testing.assert_allclose(climatology.at(times)[:, 0, 0], truth, atol=1e-3)


def test_a_seasonal_climatology_is_smooth_over_new_year_and_leap_day():
    times = axis(4 * 1096, 6)
    noise = np.random.default_rng(0).normal(280, 5, (times.size, 1, 1))
    climatology = fit(times, noise, 6, seasonal=True)
    noons = np.array(
        ["2019-12-30T12", "2019-12-31T12", "2020-01-01T12", "2020-02-28T12", "2020-02-29T12",
         "2020-03-01T12"], "datetime64[ns]",
    )  # fmt: skip
    steps = np.diff(climatology.at(noons)[:, 0, 0])
    # four harmonics of amplitude a change by at most 4 * 2 pi / 365 * a a day
    assert np.abs(steps[[0, 1, 3, 4]]).max() < 0.2


def test_the_hour_of_day_part_of_a_seasonal_climatology_is_the_plain_mean_of_each_hour():
    times = axis(4 * 790, 6)  # not whole years: the seasons do not average out
    fields = np.random.default_rng(3).normal(280, 5, (times.size, 2, 3))
    fields += 10 * np.cos(np.arange(times.size) / 232)[:, None, None]
    hourly = fit(times, fields, 6, seasonal=True).by_hour_of_day(times)
    assert not hourly.is_seasonal
    expected = fields.reshape(-1, 4, 2, 3).mean(axis=0)
    np.testing.assert_allclose(hourly.at(times[:4]), expected, atol=1e-4)
    assert hourly.by_hour_of_day(times) is hourly


def test_fields_follow_the_shape_of_the_times():
    climatology = fit(axis(4, 6), np.arange(4.0)[:, None, None], 6, seasonal=False)
    assert climatology.at(axis(6, 6).reshape(3, 2))[..., 0, 0].tolist() == [[0, 1], [2, 3], [0, 1]]
    assert climatology.at(axis(0, 6)).shape == (0, 1, 1)


def test_sums_of_two_halves_are_the_sums_of_the_whole():
    times, fields = axis(48, 1), np.random.default_rng(1).normal(280, 9, (48, 2, 3))
    of_day = hours_of_day(START, hours(1))
    first = ClimatologySums.of(times[:17], fields[:17], of_day, seasonal=False)
    second = ClimatologySums.of(times[17:], fields[17:], of_day, seasonal=False)
    whole = ClimatologySums.of(times, fields, of_day, seasonal=False)
    np.testing.assert_allclose((first + second).solve(), whole.solve(), atol=1e-10)


def test_hours_of_day_follow_the_origin_of_the_axis():
    assert hours_of_day(parse_time("2020-05-05T15"), hours(6)).tolist() == [3, 9, 15, 21]
    assert hours_of_day(START, hours(24)).tolist() == [0]
    assert hours_of_day(START, hours(0.5)).size == 48


def test_a_time_between_the_fitted_hours_is_refused():
    with pytest.raises(DomainError, match=r"0, 6, 12, 18 UTC.*found 2019-01-01T05:00Z"):
        slots_of(np.array([parse_time("2019-01-01T05")]), np.array([0.0, 6, 12, 18]))


def test_an_hour_of_day_without_any_field_is_an_error():
    with pytest.raises(TrainingDataError, match="none at 18 UTC"):
        fit(axis(3, 6), np.ones((3, 1, 1)), 6, seasonal=False)


def test_a_season_without_any_field_is_an_error():
    times = axis(4 * 731, 6)
    month = times.astype("datetime64[M]").astype(int) % 12
    kept = times[(month < 5) | (month > 7)]
    with pytest.raises(TrainingDataError, match="every season"):
        fit(kept, np.ones((kept.size, 1, 1)), 6, seasonal=True)
