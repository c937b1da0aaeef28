"""Every formula by hand, where x is the square of the hour count and clim 100 K per hour of day."""

import numpy as np
import pytest

from lsntp.config import BASELINES
from lsntp.errors import ModelError
from lsntp.grid import Fields
from lsntp.models.base import Forecaster
from lsntp.models.baselines import make_baseline
from lsntp.times import Times, hours
from lsntp.training_data.climatology import Climatology

START = np.datetime64("2019-03-01T00", "ns")
SHAPE = (2, 3)
CELLS = np.arange(6.0).reshape(SHAPE)
"""Added to every field, so that each cell has a value of its own."""


def _x(hours_since_start: np.ndarray) -> np.ndarray:
    """The analyses of these hours."""
    return np.square(hours_since_start.astype(float))[..., None, None] + CELLS


def _climatology(cadence_h: int) -> Climatology:
    """100 K per hour of day, the same in every cell."""
    hour = np.arange(0, 24, cadence_h)
    coefficients = np.broadcast_to(100.0 * hour[:, None, None, None], (hour.size, 1, *SHAPE))
    return Climatology(coefficients.astype(np.float32), hour.astype(float))


def _baseline(name: str, *, cadence_h: int = 6, horizon: int = 6) -> Forecaster:
    leads = np.arange(1, horizon + 1) * hours(cadence_h)
    return make_baseline(
        name, climatology=_climatology(cadence_h), lead_times=leads, cadence=hours(cadence_h)
    )


def _forecast(name: str, init_hours: list[int], *, cadence_h: int = 6) -> Fields:
    model = _baseline(name, cadence_h=cadence_h)
    at = np.array(init_hours)
    history = _x(at[:, None] + cadence_h * np.array(model.offsets)).astype(np.float32)
    return model.forecast(history, START + at * hours(1))


def _expect(prediction: Fields, *values: float) -> None:
    """Each lead is the given value, plus the cell's own number."""
    assert prediction.dtype == np.float32
    expected = np.array(values)[None, :, None, None] + CELLS
    np.testing.assert_array_equal(prediction, expected)


def test_persistence_holds_the_last_analysis() -> None:
    _expect(_forecast("persistence", [60]), *[3600] * 6)


def test_diurnal_persistence_takes_the_latest_analysis_of_the_same_hour() -> None:
    # From hour 60, leads 6…36 h are valid at 66…96; a day earlier 42, 48, 54, 60; then two: 42, 48.
    expected = [hour**2 for hour in (42, 48, 54, 60, 42, 48)]
    _expect(_forecast("diurnal-persistence", [60]), *expected)


def test_climatology_depends_on_the_valid_hour_only() -> None:
    # Valid at hours 66…96: hours of day 18, 0, 6, 12, 18, 0; no trace of the cell's own number.
    prediction = _forecast("climatology", [60])
    np.testing.assert_array_equal(prediction[0, :, 1, 2], [1800, 0, 600, 1200, 1800, 0])


def test_climatological_increment_is_added_to_the_last_analysis() -> None:
    # 3600 (hour 60 is 12 UTC: clim 1200) + clim(18, 0, 6, 12, 18, 0 UTC) - 1200
    expected = [3600 + step for step in (600, -1200, -600, 0, 600, -1200)]
    _expect(_forecast("persistence-climatological-increment", [60]), *expected)


def test_increment_of_the_days_before_is_added_to_the_last_analysis() -> None:
    # to 24 h: 60² + (42, 48, 54, 60)² - 36²; beyond: 60² + (42, 48)² - 12²
    expected = [3600 + hour**2 - 36**2 for hour in (42, 48, 54, 60)]
    expected += [3600 + hour**2 - 12**2 for hour in (42, 48)]
    _expect(_forecast("persistence-diurnal-increment", [60]), *expected)


def test_hourly_increment_of_yesterday() -> None:
    expected = [50**2 + hour**2 - 26**2 for hour in (27, 28, 29, 30, 31, 32)]
    _expect(_forecast("persistence-diurnal-increment", [50], cadence_h=1), *expected)


@pytest.mark.parametrize(
    ("name", "six_hourly", "hourly"),
    [
        ("persistence", (0,), (0,)),
        ("climatology", (0,), (0,)),
        ("persistence-climatological-increment", (0,), (0,)),
        ("diurnal-persistence", (-3, -2, -1, 0), (-23, -22, -21, -20, -19, -18, 0)),
        (
            "persistence-diurnal-increment",
            (-8, -4, -3, -2, -1, 0),
            (-24, -23, -22, -21, -20, -19, -18, 0),
        ),
    ],
)
def test_only_the_analyses_of_the_formula_are_asked_for(
    name: str, six_hourly: tuple[int, ...], hourly: tuple[int, ...]
) -> None:
    assert _baseline(name).offsets == six_hourly
    assert _baseline(name, cadence_h=1).offsets == hourly


@pytest.mark.parametrize("name", [name for name in BASELINES if name != "ridge"])
def test_initial_times_are_forecast_independently(name: str) -> None:
    together = _forecast(name, [60, 78, 48])
    apart = np.concatenate([_forecast(name, [hour]) for hour in (60, 78, 48)])
    assert together.shape == (3, 6, *SHAPE)
    np.testing.assert_array_equal(together, apart)


@pytest.mark.parametrize(
    "name",
    [
        "diurnal-persistence",
        "persistence-climatological-increment",
        "persistence-diurnal-increment",
    ],
)
def test_a_purely_diurnal_field_is_forecast_without_error(name: str) -> None:
    model, climatology = _baseline(name), _climatology(6)
    init_times: Times = START + np.arange(8, 20) * hours(6)
    history = np.stack(
        [climatology.at(init_times + offset * hours(6)) for offset in model.offsets], axis=1
    )
    truth = np.stack([climatology.at(init_times + lead * hours(6)) for lead in range(1, 7)], axis=1)
    np.testing.assert_array_equal(model.forecast(history, init_times), truth)


def test_gap_in_the_history_is_refused() -> None:
    history = np.full((1, 1, *SHAPE), np.nan, np.float32)
    with pytest.raises(ModelError, match=r"persistence expects a complete history"):
        _baseline("persistence").forecast(history, START + np.arange(1) * hours(1))


@pytest.mark.parametrize("name", ["ridge", "crystal-ball"])
def test_unknown_baseline_is_refused(name: str) -> None:
    with pytest.raises(ModelError, match=f"diurnal-persistence.*found '{name}'"):
        _baseline(name)


def test_lead_time_off_the_cadence_is_refused() -> None:
    with pytest.raises(ModelError, match="multiples of the cadence 6 h, found 3 h"):
        make_baseline(
            "persistence",
            climatology=_climatology(6),
            lead_times=np.array([hours(3)]),
            cadence=hours(6),
        )
