"""CRPS: absolute error for one member, the integral definition, fairness, missing values."""

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from lsntp.errors import EvaluationError
from lsntp.evaluation.crps import crps_sums, fair_crps, mean_crps

WEIGHTS = np.array([[1.0, 1.0], [3.0, 3.0]])
kelvin = st.floats(-40.0, 40.0, allow_nan=False, width=32)


def integral(members, truth):
    """The definition, ∫ (F(x) − 1{x ≥ y})² dx, exact between the sorted points."""
    points = np.sort([*members, truth])
    middle = (points[:-1] + points[1:]) / 2
    below = np.array([np.mean(np.asarray(members) <= x) for x in middle])
    return float((((below - (middle >= truth)) ** 2) * np.diff(points)).sum())


@given(st.lists(kelvin, min_size=2, max_size=7), kelvin)
@settings(max_examples=60, deadline=None)
def test_it_is_the_integral_made_fair(members, truth):
    # the standard form has Σ|xi-xj| / 2M², the fair one Σ|xi-xj| / 2M(M-1): the rest is 1/M of that
    count = len(members)
    gaps = np.abs(np.subtract.outer(members, members)).sum()
    expected = integral(members, truth) - gaps / (2 * count**2 * (count - 1))
    found = fair_crps(np.array(members), np.array(truth), axis=0)
    assert float(found) == pytest.approx(expected, abs=1e-9)


def test_three_members_by_hand():
    # |1-2|, |2-2|, |6-2| -> 5/3; pairs 1, 5, 4 -> 10 / (3·2); 5/3 - 5/3
    assert float(fair_crps(np.array([6.0, 1.0, 2.0]), np.array(2.0), axis=0)) == pytest.approx(0.0)


def test_one_member_is_the_absolute_error():
    generator = np.random.default_rng(0)
    members, truth = (
        generator.normal(280, 2, (3, 1, 2, 2, 2)),
        generator.normal(280, 2, (3, 2, 2, 2)),
    )
    sums = crps_sums(prediction=members, target=truth, weights=WEIGHTS)
    error = np.abs(members[:, 0] - truth)
    np.testing.assert_allclose(sums["crps_sum"], error.sum(axis=(2, 3)))
    np.testing.assert_allclose(sums["area_crps_sum"], (error * WEIGHTS / 2.0).sum(axis=(2, 3)))


def test_its_mean_does_not_depend_on_the_number_of_members():
    generator = np.random.default_rng(1)
    truth = generator.normal(0, 1, 40_000)
    few, many = (
        fair_crps(generator.normal(0, 1, (count, truth.size)), truth, axis=0).mean()
        for count in (2, 20)
    )
    # of a perfect Gaussian ensemble: 1/sqrt(pi)
    assert few == pytest.approx(np.pi**-0.5, abs=0.02)
    assert many == pytest.approx(np.pi**-0.5, abs=0.02)


def test_a_frame_with_a_hole_has_no_score():
    members = np.zeros((1, 3, 2, 2, 2))
    members[0, 1, 0, 0, 0] = np.nan
    sums = crps_sums(prediction=members, target=np.ones((1, 2, 2, 2)), weights=WEIGHTS)
    assert np.isnan(sums["crps_sum"]).tolist() == [[True, False]]


@pytest.mark.parametrize("shape", [(1, 2, 2, 2), (1, 0, 2, 2, 2), (1, 3, 2, 2, 3), (2, 3, 2, 2, 2)])
def test_shapes_that_do_not_fit_are_refused(shape):
    with pytest.raises(EvaluationError, match="Expected"):
        crps_sums(prediction=np.zeros(shape), target=np.zeros((1, 2, 2, 2)), weights=WEIGHTS)


def sums(crps=None):
    dims = ("init_time", "lead_time")
    arrays = {"count": [[4], [4], [0]], "absolute_error_sum": [[8.0], [4.0], [np.nan]]}
    if crps is not None:
        arrays["crps_sum"] = crps
    return xr.Dataset({name: (dims, np.array(values)) for name, values in arrays.items()})


def test_forecasts_without_members_have_their_mae():
    assert mean_crps(sums(), weighting="plain").values == pytest.approx([12 / 8])


def test_frames_scored_before_there_were_members_count_with_their_absolute_error():
    mixed = sums(crps=[[2.0], [np.nan], [np.nan]])
    assert mean_crps(mixed, weighting="plain").values == pytest.approx([(2 + 4) / 8])
