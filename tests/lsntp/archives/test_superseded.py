"""Forecasts that started from preliminary hours which are final now."""

import numpy as np
import pytest

from lsntp.archives.forecast import ForecastArchive
from lsntp.archives.superseded import reach, superseded
from lsntp.config import BASELINES
from lsntp.forecasting import forecast
from lsntp.models.baselines import make_baseline
from lsntp.names import Status
from lsntp.training import train
from lsntp.workspace import Workspace

P, F = Status.PRELIMINARY, Status.FINAL


@pytest.fixture
def forecasts(tmp_path, make_domain):
    """The small hourly domain (history 4) and an archive for forecasts of it."""
    domain = make_domain(tmp_path)
    archive = ForecastArchive.create(
        Workspace.of(domain).forecast("ridge"),
        grid=domain.target_grid,
        start=domain.start,
        cadence=domain.cadence,
        lead_times=domain.lead_times,
        attrs={},
    )
    return domain, archive


def times(domain, *slots):
    return domain.start + np.array(slots) * domain.cadence


def forecast_from(domain, archive, slots, status):
    fields = np.full((len(slots), domain.horizon, *domain.target_grid.shape), 280, np.float32)
    archive.publish(
        times(domain, *slots),
        fields,
        model_version="v1",
        analysis_status=np.array(status, np.int8),
    )


def test_only_forecasts_whose_preliminary_inputs_are_all_final_now_are_superseded(
    forecasts, publish, make_fields
):
    domain, archive = forecasts
    fields = make_fields(domain, 60)
    analysis = publish(domain, fields[:30], status=F)
    publish(domain, fields[30:], first=30, status=P)
    forecast_from(domain, archive, [29, 30, 40, 54, 55, 56], [F, P, P, P, P, P])
    assert superseded(domain, archive, analysis).size == 0
    publish(domain, fields[30:55], first=30, status=F)
    # 55 and 56 start from hours that are preliminary still, 29 never did
    np.testing.assert_array_equal(superseded(domain, archive, analysis), times(domain, 30, 40, 54))


def test_an_input_within_the_last_day_that_is_still_preliminary_keeps_a_forecast_as_it_is(
    forecasts, publish, make_fields
):
    domain, archive = forecasts
    fields = make_fields(domain, 60)
    analysis = publish(domain, fields, status=P)
    forecast_from(domain, archive, [34, 35], [P, P])
    publish(domain, fields[11:], first=11, status=F)  # of the final ones hour 10 was rejected
    # hour 34 may start from 24 h before, which is hour 10
    np.testing.assert_array_equal(superseded(domain, archive, analysis), times(domain, 35))


def test_without_forecasts_none_is_superseded(forecasts, publish, make_fields):
    domain, archive = forecasts
    analysis = publish(domain, make_fields(domain, 5))
    assert superseded(domain, archive, analysis).size == 0


@pytest.mark.parametrize(("cadence_h", "horizon"), [(1, 3), (1, 30), (6, 6), (6, 2)])
def test_no_baseline_looks_further_back_than_the_hours_that_have_to_be_settled(
    tmp_path, make_domain, cadence_h, horizon
):
    domain = make_domain(tmp_path, cadence_h=cadence_h, horizon=horizon)
    looks = [
        make_baseline(
            name, climatology=None, lead_times=domain.lead_times, cadence=domain.cadence
        ).offsets[0]
        for name in BASELINES
        if name != "ridge"
    ]
    assert reach(domain) >= max(-first for first in looks)


def test_redoing_superseded_forecasts_settles_though_one_hour_stays_preliminary(
    tmp_path, make_domain, publish, make_fields
):
    """Six-hourly, 36 h ahead: yesterday's increment starts two days, eight steps, back."""
    model = "persistence-diurnal-increment"
    split = {
        "train": {"start": "2021-01-01", "end": "2021-01-07"},
        "validation": {"start": "2021-01-07", "end": "2021-01-12"},
        "test": {"start": "2021-01-12", "end": "2021-01-16"},
    }
    domain = make_domain(
        tmp_path, cadence_h=6, horizon=6, baselines=[model], networks={}, split=split
    )
    fields = make_fields(domain, 60)
    publish(domain, fields[:40], status=F)
    publish(domain, fields[40:], first=40, status=P)
    train(domain)
    period = domain.split.test.period  # slots 44 to 59
    options = {"models": [model], "period": period}
    assert forecast(domain, **options)[0].written.size == 16
    publish(domain, fields[41:], first=41, status=F)
    (redone,) = forecast(domain, **options, redo_superseded=True)
    np.testing.assert_array_equal(redone.written, times(domain, *range(49, 60)))
    (again,) = forecast(domain, **options, redo_superseded=True)
    assert (again.written.size, again.superseded) == (0, 0)
