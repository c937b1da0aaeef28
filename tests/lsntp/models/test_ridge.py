import numpy as np
import pytest

from lsntp.errors import ModelError, TrainingDataError
from lsntp.grid import Fields
from lsntp.models import ridge as module_under_test
from lsntp.models.ridge import FEATURES, Ridge, features, fit_ridge
from lsntp.times import Times, hours
from lsntp.training_data.climatology import Climatology

CADENCE = hours(6)
START = np.datetime64("2019-03-01T00", "ns")
SHAPE = (4, 5)
LEADS = np.arange(1, 4) * CADENCE
OFFSETS = (-4, -3, -2, -1, 0)


def _climatology() -> Climatology:
    """270, 276, 282, 288 K at 0, 6, 12, 18 UTC, plus the row number."""
    fields = 270.0 + 6.0 * np.arange(4)[:, None, None] + np.arange(4.0)[None, :, None]
    coefficients = np.broadcast_to(fields[:, None], (4, 1, *SHAPE))
    return Climatology(coefficients.astype(np.float32), np.array([0.0, 6.0, 12.0, 18.0]))


class _Weather:
    """Frames from the start on, NaN before and after."""

    def __init__(self, count: int, *, seed: int = 0) -> None:
        times = START + np.arange(count) * CADENCE
        noise = np.random.default_rng(seed).normal(size=(count, *SHAPE)).cumsum(axis=0)
        self.times = times
        self.frames = (_climatology().at(times) + noise).astype(np.float32)
        self.largest_read = 0

    def read(self, times: Times) -> Fields:
        self.largest_read = max(self.largest_read, times.size)
        index = (times - START) // CADENCE
        inside = (index >= 0) & (index < self.times.size)
        frames = np.full((times.size, *SHAPE), np.nan, np.float32)
        frames[inside] = self.frames[index[inside]]
        return frames


def _fit(weather: _Weather, init_times: Times | None = None, *, penalty: float = 1.0) -> Ridge:
    return fit_ridge(
        weather.read,
        weather.times if init_times is None else init_times,
        climatology=_climatology(),
        lead_times=LEADS,
        cadence=CADENCE,
        penalty=penalty,
    )


def _history(weather: _Weather, init_times: Times) -> Fields:
    wanted = init_times[:, None] + np.array(OFFSETS) * CADENCE
    return weather.read(wanted.ravel()).reshape(*wanted.shape, *SHAPE)


def _design_by_loops(weather: _Weather, start: int, stop: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows of 29 features and a one, and their increments, cell by cell in plain Python."""
    anomaly = weather.frames.astype(float) - _climatology().at(weather.times)
    rows, targets = [], []
    for t in range(start, stop):
        for i in range(SHAPE[0]):
            for j in range(SHAPE[1]):
                near = [
                    anomaly[t, min(max(i + di, 0), SHAPE[0] - 1), min(max(j + dj, 0), SHAPE[1] - 1)]
                    for di in range(-2, 3)
                    for dj in range(-2, 3)
                ]
                past = [anomaly[t - step, i, j] for step in (1, 2, 3, 4)]
                rows.append([*near, *past, 1.0])
                targets.append([anomaly[t + k, i, j] - anomaly[t, i, j] for k in (1, 2, 3)])
    return np.array(rows), np.array(targets)


def test_features_are_the_neighbourhood_then_the_past_then_one() -> None:
    frames = np.arange(5 * 20, dtype=float).reshape(5, *SHAPE)  # steps -4 … 0; 80 + 5 i + j at 0
    corner = features(frames, OFFSETS, CADENCE)[0, 0]
    rows = [[80, 80, 80, 81, 82]] * 3 + [[85, 85, 85, 86, 87], [90, 90, 90, 91, 92]]
    assert corner.tolist() == [*np.ravel(rows), 60, 40, 20, 0, 1]


def test_coefficients_minimise_the_penalised_squared_error() -> None:
    weather, penalty = _Weather(30), 7.0
    fitted = _fit(weather, penalty=penalty)
    design, targets = _design_by_loops(weather, 4, 27)  # complete: 4 steps before, 3 after
    # The same minimum as an ordinary least squares problem: a row √penalty · e_j per coefficient.
    rows = np.vstack([design, np.sqrt(penalty) * np.eye(FEATURES)[:-1]])
    values = np.vstack([targets, np.zeros((FEATURES - 1, 3))])
    expected = np.linalg.lstsq(rows, values, rcond=None)[0].T
    np.testing.assert_allclose(fitted.coefficients, expected, rtol=1e-7, atol=1e-9)


def test_forecast_adds_climatology_last_anomaly_and_prediction() -> None:
    weather = _Weather(30)
    fitted = _fit(weather)
    init_times = weather.times[[8, 15]]
    prediction = fitted.forecast(_history(weather, init_times), init_times)
    assert prediction.dtype == np.float32
    assert prediction.shape == (2, 3, *SHAPE)
    climatology = _climatology()
    for row, t in enumerate((8, 15)):
        design, _ = _design_by_loops(weather, t, t + 1)
        anomaly = weather.frames[t] - climatology.at(weather.times[[t]])[0]
        for k in range(3):
            increment = (design @ fitted.coefficients[k]).reshape(SHAPE)
            base = climatology.at(weather.times[[t]] + LEADS[k])[0]
            np.testing.assert_allclose(prediction[row, k], base + anomaly + increment, rtol=1e-6)


def test_overwhelming_penalty_leaves_the_climatological_increment_and_the_mean() -> None:
    weather = _Weather(30)
    fitted = _fit(weather, penalty=1e15)
    _, targets = _design_by_loops(weather, 4, 27)
    np.testing.assert_allclose(fitted.coefficients[:, :-1], 0, atol=1e-9)
    np.testing.assert_allclose(fitted.coefficients[:, -1], targets.mean(axis=0), rtol=1e-6)


def test_result_does_not_depend_on_the_block_and_memory_follows_the_block(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    whole, blocks = _Weather(60), _Weather(60)
    at_once = _fit(whole)
    monkeypatch.setattr(module_under_test, "BLOCK_TIMES", 7)
    blockwise = _fit(blocks)
    np.testing.assert_allclose(blockwise.coefficients, at_once.coefficients, rtol=1e-9)
    assert blocks.largest_read == 7 + 4 + 3


def test_incomplete_initial_times_are_left_out() -> None:
    weather, holed = _Weather(40), _Weather(40)
    holed.frames[20, 1, 1] = np.nan
    touched = np.arange(20 - 3, 20 + 4 + 1)  # as a target up to 3 steps on, as history up to 4 back
    clean = weather.times[np.setdiff1d(np.arange(40), touched)]
    np.testing.assert_array_equal(_fit(holed).coefficients, _fit(weather, clean).coefficients)


def test_no_complete_initial_time_is_an_error() -> None:
    weather = _Weather(7)  # 4 back and 3 on need 8 frames
    with pytest.raises(TrainingDataError, match=r"none among 7.*lengthen the training period"):
        _fit(weather)


def test_linear_dynamics_are_recovered() -> None:
    rng = np.random.default_rng(1)
    weather = _Weather(300)
    anomaly = np.zeros((300, *SHAPE))
    for t in range(1, 300):  # red noise: a(t + 1) = 0.8 a(t) + noise
        anomaly[t] = 0.8 * anomaly[t - 1] + rng.normal(size=SHAPE)
    weather.frames = (_climatology().at(weather.times) + anomaly).astype(np.float32)
    own = _fit(weather).coefficients[:, 12]  # the cell itself, the middle of 25
    np.testing.assert_allclose(own, [0.8 - 1, 0.8**2 - 1, 0.8**3 - 1], atol=0.08)


def test_coefficients_of_another_horizon_are_refused() -> None:
    fitted = _fit(_Weather(30))
    with pytest.raises(ModelError, match=r"\(6, 30\), found \(3, 30\)"):
        Ridge(fitted.coefficients, _climatology(), np.arange(1, 7) * CADENCE, CADENCE)


def test_gap_in_the_history_is_refused() -> None:
    weather = _Weather(30)
    with pytest.raises(ModelError, match="ridge expects a complete history"):
        _fit(weather).forecast(_history(weather, weather.times[:1]), weather.times[:1])
