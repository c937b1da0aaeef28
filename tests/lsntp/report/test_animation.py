import numpy as np
import pytest

from lsntp.report.animation import animate, shown_leads
from lsntp.report.data import Case
from lsntp.times import parse_time


def case_of(domain, forecast_k, truth_k):
    shape = (domain.horizon, *domain.target_grid.shape)
    return Case(
        "a title",
        "ridge",
        parse_time("2019-03-31T12"),
        domain.lead_times,
        np.full(shape, forecast_k),
        np.full(shape, truth_k),
        is_preliminary=True,
    )


def test_labels_say_lead_valid_time_and_error(uk):
    weights = np.ones(uk.target_grid.shape)
    (view,) = animate([case_of(uk, 284.15, 283.15)], weights, uk.target_grid)
    assert view.labels[2] == "+3 h, valid 2019-03-31T15:00Z · mean absolute error 1.00 K"
    assert view.line == "ridge, started 2019-03-31T12:00Z; an input was preliminary"
    assert view.forecast[0].alt == "Forecast by ridge at +1 h: 11 to 11 °C."
    assert len(view.forecast) == len(view.truth) == len(view.difference) == uk.horizon


def test_all_cases_share_their_scales(uk):
    weights = np.ones(uk.target_grid.shape)
    cases = [case_of(uk, 284.0, 283.0), case_of(uk, 260.0, 290.0)]
    first, second = animate(cases, weights, uk.target_grid)
    assert first.temperature_scale == second.temperature_scale
    assert first.difference_scale == second.difference_scale
    assert first.temperature_scale.low <= 260.0 - 273.15


def test_no_case_is_no_animation(uk):
    assert animate([], np.ones(uk.target_grid.shape), uk.target_grid) == []


@pytest.mark.parametrize("count", [1, 6, 12, 13, 240])
def test_a_long_horizon_is_thinned_to_its_first_and_last(count):
    leads = shown_leads(count)
    assert leads[0] == 0
    assert leads[-1] == count - 1
    assert len(leads) == min(count, 12)
