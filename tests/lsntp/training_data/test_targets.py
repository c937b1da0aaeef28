import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lsntp.errors import TrainingDataError
from lsntp.times import Period
from lsntp.training_data.climatology import Climatology
from lsntp.training_data.scaling import Scaler
from lsntp.training_data.statistics import Statistics
from lsntp.training_data.targets import TargetTransform

TARGETS = ("absolute", "anomaly", "increment")


def transform(target, *, increment_std=(1.0, 2.0), anomaly_std=4.0):
    statistics = Statistics(
        250.0, 310.0, 285.0, 10.0, np.array(increment_std), anomaly_std,
        Climatology(np.full((1, 1, 1, 1), 280, np.float32), np.array([0.0])),
        Period.parse("2021-01-01", "2021-01-11"),
    )  # fmt: skip
    return TargetTransform(target, Scaler("standard", statistics), statistics)


@pytest.mark.parametrize(
    ("target", "expected"),
    # (290 - 285) / 10, (295 - 285) / 10; (290 - 282) / 4, (295 - 283) / 4; (290 - 288) / 1, 7 / 2
    [("absolute", [0.5, 1.0]), ("anomaly", [2, 3]), ("increment", [2, 3.5])],
)
def test_targets_worked_by_hand(target, expected):
    encoded = transform(target).encode(
        np.array([290, 295], np.float32).reshape(2, 1, 1),
        np.array([[288]], np.float32),
        np.array([282, 283], np.float32).reshape(2, 1, 1),
    )
    assert encoded.dtype == np.float32
    assert encoded[:, 0, 0].tolist() == expected


@given(
    target=st.sampled_from(TARGETS),
    batch=st.lists(st.integers(1, 3), max_size=2),
    torch_too=st.booleans(),
    seed=st.integers(0, 99),
)
def test_decode_is_the_inverse_of_encode(target, batch, torch_too, seed):
    random = np.random.default_rng(seed)
    truth = random.normal(285, 10, (*batch, 2, 3, 4))
    last = random.normal(285, 10, (*batch, 3, 4))
    climatology = random.normal(285, 10, (*batch, 2, 3, 4))
    arrays = [truth, last, climatology]
    if torch_too:
        arrays = [torch.from_numpy(array) for array in arrays]
    change = transform(target)
    encoded = change.encode(*arrays)
    assert type(encoded) is type(arrays[0])
    decoded = change.decode(encoded, *arrays[1:])
    np.testing.assert_allclose(np.asarray(decoded), truth, rtol=1e-13)


def test_only_the_anomaly_needs_a_climatology():
    field, last = np.full((2, 1, 1), 290.0), np.full((1, 1), 288.0)
    for target in TARGETS:
        change = transform(target)
        assert change.needs_climatology == (target == "anomaly")
        if change.needs_climatology:
            with pytest.raises(TrainingDataError, match=r"climatology\.at"):
                change.encode(field, last, None)
        else:
            assert np.isfinite(change.encode(field, last, None)).all()


@pytest.mark.parametrize("spread", [0.0, float("nan")])
def test_a_spread_of_nothing_is_refused(spread):
    with pytest.raises(TrainingDataError, match="positive increment spread"):
        transform("increment", increment_std=(1.0, spread))
    with pytest.raises(TrainingDataError, match="positive anomaly spread"):
        transform("anomaly", anomaly_std=spread)
