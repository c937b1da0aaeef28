"""Forecasts that started from preliminary hours which are final now."""

import numpy as np
import pytest

from lsntp.archives.forecast import ForecastArchive
from lsntp.archives.superseded import superseded
from lsntp.names import Status
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
