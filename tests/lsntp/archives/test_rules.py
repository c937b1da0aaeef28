import numpy as np
import pytest

from lsntp.archives.inspection import Look, Snapshot, read_metadata
from lsntp.archives.layout import Axis
from lsntp.archives.rules import (
    FIELD_WITHOUT_STATUS,
    check_field,
    derived_values,
    month_positions,
    static_values,
    survey,
)
from lsntp.names import Status
from lsntp.times import hours

AXIS = Axis(np.datetime64("2020-02-29T12:00", "ns"), hours(6))
SIZES = {"time": 3, "init_time": 3, "lead_time": 2, "month": 2}


def test_derived_values_follow_from_axis_extent_and_leads():
    first = 24 * (50 * 365 + 12 + 31 + 28) + 12  # twelve leap days from 1970 to 2019
    size = SIZES.__getitem__
    leads = np.array([hours(6), hours(12)])
    analysis = derived_values("analysis", AXIS, size, None)
    assert {name: values.tolist() for name, values in analysis.items()} == {
        "time": [first, first + 6, first + 12]
    }
    forecast = derived_values("forecast", AXIS, size, leads)
    assert forecast["expected_leads"].tolist() == [2, 2, 2]
    assert (forecast["valid_time"] - first).tolist() == [[6, 12], [12, 18], [18, 24]]
    assert "valid_time" not in derived_values("forecast", AXIS, size, None)
    day = first // 24
    evaluation = derived_values("evaluation", AXIS, size, leads)
    assert evaluation["month"].tolist() == [day - 28, day + 1]


def test_months_are_counted_from_that_of_the_start_over_the_turn_of_the_year():
    assert month_positions(AXIS, 4).tolist() == [0, 0, 1, 1]
    december = Axis(np.datetime64("2020-12-31T23:00", "ns"), hours(1))
    assert month_positions(december, 3).tolist() == [0, 1, 1]
    assert month_positions(december, 0).tolist() == []


def test_an_analysis_has_no_lead_times_among_its_static_values(make_domain, tmp_path):
    domain = make_domain(tmp_path)
    analysis = static_values(domain, "analysis")
    assert analysis.keys() == {"latitude", "longitude"}
    assert analysis["latitude"].tolist() == [50, 49, 48, 47, 46, 45]
    assert static_values(domain, "forecast")["lead_time"].tolist() == [1, 2, 3]


@pytest.fixture
def surveyed(tmp_path, lab):
    """Hours 0, 1 final, 2 missing, 3 preliminary, 4 quarantined."""
    archive = lab.create(tmp_path / "x.zarr", lab.SMALL_GRID)
    archive.publish(lab.make_frames([0, 1, 3], [2, 2, 1], lab.SMALL_GRID))
    archive.mark(lab.START + np.array([4]) * lab.HOUR, Status.QUARANTINED)
    look = Look(Snapshot(archive.path, read_metadata(archive.path, ())))
    return look, survey(look, "analysis", Axis(lab.START, lab.HOUR))


def test_a_survey_of_an_analysis_says_which_hours_hold_a_field(surveyed):
    look, fields = surveyed
    assert look.findings() == []
    assert fields.jobs == [("t2m", (0, 0, 0))]
    assert fields.holds["t2m"].tolist() == [True, True, False, True, False]
    assert fields.knows["t2m"].all()
    assert fields.is_exclusive


def test_a_field_is_held_against_what_is_said_only_where_that_is_known(surveyed):
    look, fields = surveyed
    fields.holds["t2m"][:] = [True, False, True, False, False]
    fields.knows["t2m"][3] = False
    check_field(look, fields, ("t2m", (0, 0, 0)))
    assert {(one.what, one.region) for one in look.findings()} == {
        (FIELD_WITHOUT_STATUS, ((1, 2),)),
        ("not a number, though a field is said to be there", ((2, 3),)),
    }
