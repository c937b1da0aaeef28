import json

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from lsntp.errors import TrainingDataError
from lsntp.names import Status
from lsntp.times import Period, hours, parse_time
from lsntp.training_data.statistics import Statistics, compute_statistics

LEADS = np.arange(1, 3) * hours(1)
TEN_DAYS = Period.parse("2021-01-01", "2021-01-11")


def same(first, second, atol=1e-6):
    for name in ("minimum", "maximum", "mean", "std", "anomaly_std", "increment_std"):
        np.testing.assert_allclose(getattr(first, name), getattr(second, name), atol=atol)
    np.testing.assert_allclose(
        first.climatology.coefficients, second.climatology.coefficients, atol=1e-4
    )


def test_statistics_of_a_series_worked_by_hand(memory_archive):
    # 12-hourly, one cell, two days: 280, 290, 284, 290
    archive = memory_archive(np.array([280, 290, 284, 290.0])[:, None, None], cadence=hours(12))
    period = Period.parse("2021-01-01", "2021-01-03")
    found = compute_statistics(archive, period, np.arange(1, 3) * hours(12))
    assert (found.minimum, found.maximum, found.mean) == (280, 290, 286)
    # deviations -6, 4, -2, 4: 72 / 4
    assert found.std == pytest.approx(np.sqrt(18))
    # climatology 282 at 0 UTC and 290 at 12 UTC: anomalies -2, 0, 2, 0
    assert found.anomaly_std == pytest.approx(np.sqrt(2))
    # increments 10, -6, 6: mean 10/3, mean square 172/3; over two steps 4, 0
    assert found.increment_std == pytest.approx([np.sqrt(172 / 3 - 100 / 9), 2])
    assert (found.frames_used, found.frames_skipped) == (4, 0)


@given(frames=st.integers(1, 300), lost=st.sets(st.integers(0, 239), max_size=30))
@settings(max_examples=15, deadline=None)
def test_the_block_length_does_not_matter(make_archive, frames, lost):
    archive = make_archive(24 * 10).lose(*lost)
    whole = compute_statistics(archive, TEN_DAYS, LEADS)
    same(compute_statistics(archive, TEN_DAYS, LEADS, frames=frames), whole)


def test_nothing_outside_the_training_period_matters(make_archive):
    archive, changed = make_archive(24 * 20), make_archive(24 * 20)
    changed.fields[240:] += 100
    first = compute_statistics(archive, TEN_DAYS, LEADS)
    second = compute_statistics(changed, TEN_DAYS, LEADS)
    assert first.to_dict() == second.to_dict()
    np.testing.assert_array_equal(first.climatology.coefficients, second.climatology.coefficients)


def test_nothing_before_the_training_period_matters(make_archive):
    archive, changed = make_archive(24 * 20), make_archive(24 * 20)
    changed.fields[:240] += 100
    period = Period.parse("2021-01-11", "2021-01-21")
    first = compute_statistics(archive, period, LEADS)
    assert first.to_dict() == compute_statistics(changed, period, LEADS).to_dict()


def test_every_hour_of_the_training_period_matters(make_archive):
    first = compute_statistics(make_archive(), TEN_DAYS, LEADS)
    for index in (0, 100, 239):
        changed = make_archive()
        changed.fields[index] += 1
        assert compute_statistics(changed, TEN_DAYS, LEADS).mean != first.mean


def test_missing_and_quarantined_hours_are_skipped_and_counted(make_archive):
    archive = make_archive(24 * 10).lose(5, 6)
    archive.status[7] = Status.QUARANTINED
    archive.fields[7] = 999
    archive.status[8] = Status.PRELIMINARY
    found = compute_statistics(archive, TEN_DAYS, LEADS)
    assert (found.frames_used, found.frames_skipped) == (237, 3)
    kept = np.delete(archive.fields, [5, 6, 7], axis=0).astype(np.float64)
    assert found.mean == pytest.approx(kept.mean(), abs=1e-4)
    assert found.maximum == kept.max()


def test_an_increment_never_spans_a_missing_end(memory_archive):
    fields = np.full((48, 1, 1), 280.0)
    fields[1::2] = 281
    fields[10] = 400
    archive = memory_archive(fields).lose(10)
    found = compute_statistics(archive, Period.parse("2021-01-01", "2021-01-03"), LEADS)
    assert found.increment_std[0] == pytest.approx(1, abs=0.01)
    assert found.increment_std[1] == 0


def test_two_years_give_a_seasonal_climatology_and_fewer_do_not(make_archive):
    archive = make_archive(4 * 731, cadence_h=6)
    leads = np.arange(1, 3) * hours(6)
    two_years = compute_statistics(archive, Period.parse("2021-01-01", "2023-01-01"), leads)
    shorter = compute_statistics(archive, Period.parse("2021-01-01", "2022-12-31"), leads)
    assert two_years.climatology.is_seasonal
    assert not shorter.climatology.is_seasonal


@pytest.mark.parametrize("days", [10, 731])
def test_anomaly_std_is_that_of_the_values_minus_their_climatology(make_archive, days):
    archive = make_archive(4 * days, cadence_h=6)
    period = Period(archive.start, archive.start + np.timedelta64(days, "D"))
    found = compute_statistics(archive, period, np.arange(1, 3) * hours(6), frames=100)
    anomalies = archive.fields - found.climatology.at(archive.times)
    assert found.anomaly_std == pytest.approx(anomalies.std(dtype=np.float64), rel=1e-5)
    assert abs(anomalies.mean(dtype=np.float64)) < 1e-4


def test_statistics_survive_json(make_archive):
    found = compute_statistics(make_archive(), TEN_DAYS, LEADS)
    again = Statistics.from_dict(json.loads(json.dumps(found.to_dict())), found.climatology)
    assert again.to_dict() == found.to_dict()
    assert again.period == TEN_DAYS


def test_a_period_without_data_is_an_error(make_archive):
    archive = make_archive(24 * 10).lose(*range(240))
    with pytest.raises(TrainingDataError, match="found none in its 240 times; ingest the period"):
        compute_statistics(archive, TEN_DAYS, LEADS)


def test_an_hour_of_day_without_data_is_named_with_the_period(make_archive):
    archive = make_archive(24 * 10).lose(*range(18, 240, 24))
    with pytest.raises(
        TrainingDataError, match=rf"training period {TEN_DAYS}, found none at 18 UTC"
    ):
        compute_statistics(archive, TEN_DAYS, LEADS)


def test_a_cell_without_data_is_an_error(make_archive):
    archive = make_archive(24 * 10)
    archive.fields[:, 0, 0] = np.nan
    with pytest.raises(TrainingDataError, match=r"without NaN .* found none in its 240"):
        compute_statistics(archive, TEN_DAYS, LEADS)


def test_real_reanalysis_agrees_with_xarray(shared_data, memory_archive):
    path = shared_data / "ncep" / "air.sig995.namerica.2013-01_2014-04.nc"
    with xr.open_dataset(path) as dataset:
        air = dataset["air"].load().astype(np.float32)
    archive = memory_archive(air.values, start=parse_time(air.time.values[0]), cadence=hours(6))
    leads = np.arange(1, 7) * hours(6)
    found = compute_statistics(archive, Period.parse("2013-01-01", "2014-01-01"), leads)
    year = air.sel(time="2013").astype(np.float64)
    by_hour = year.groupby("time.hour").mean()
    np.testing.assert_allclose(
        found.climatology.at(archive.times[:4]), by_hour.transpose("hour", ...), atol=1e-4
    )
    assert found.frames_used == 1460
    assert (found.mean, found.std) == (pytest.approx(year.mean()), pytest.approx(year.std()))
    assert found.anomaly_std == pytest.approx((year.groupby("time.hour") - by_hour).std())
    increments = [year.diff("time", n=1).std()] + [
        (year.shift(time=-steps) - year).std() for steps in range(2, 7)
    ]
    np.testing.assert_allclose(found.increment_std, increments, rtol=1e-6)
