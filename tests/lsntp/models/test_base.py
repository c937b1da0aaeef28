import numpy as np
import pytest

from lsntp.errors import ModelError
from lsntp.models.base import check_history, steps_of
from lsntp.times import hours

TIMES = np.array(["2019-03-01T00", "2019-03-01T06"], "datetime64[ns]")


def test_complete_history_of_the_right_shape_passes() -> None:
    check_history(np.zeros((2, 2, 3, 4), np.float32), TIMES, (-1, 0), name="ridge")


@pytest.mark.parametrize("shape", [(2, 3, 3, 4), (1, 2, 3, 4), (2, 3, 4)])
def test_history_of_another_shape_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ModelError, match=r"ridge expects .* n = 2 .* steps \(-1, 0\).*found shape"):
        check_history(np.zeros(shape, np.float32), TIMES, (-1, 0), name="ridge")


@pytest.mark.parametrize("hole", [np.nan, np.inf])
def test_gap_is_refused_and_its_first_initial_time_named(hole: float) -> None:
    history = np.zeros((2, 2, 3, 4), np.float32)
    history[1, 0, 2, 3] = hole
    with pytest.raises(ModelError, match=r"1 initial times, first 2019-03-01T06:00Z"):
        check_history(history, TIMES, (-1, 0), name="ridge")


def test_lead_times_become_steps() -> None:
    assert steps_of(np.array([hours(6), hours(30)]), hours(6)) == (1, 5)


def test_lead_time_between_two_analyses_is_refused() -> None:
    with pytest.raises(ModelError, match="multiples of the cadence 6 h, found 9 h"):
        steps_of(np.array([hours(6), hours(9)]), hours(6))
