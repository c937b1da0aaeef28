import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from lsntp.errors import TrainingDataError
from lsntp.times import Period
from lsntp.training_data.climatology import Climatology
from lsntp.training_data.scaling import Scaler
from lsntp.training_data.statistics import Statistics

KINDS = ("min-max-01", "min-max-11", "standard")
FIELDS = hnp.arrays(
    np.float32, hnp.array_shapes(max_dims=5), elements=st.floats(200, 330, width=32)
)


def statistics(*, minimum=250.0, maximum=310.0, mean=285.0, std=10.0):
    return Statistics(
        minimum, maximum, mean, std, np.array([1.0, 2.0]), 3.0,
        Climatology(np.full((1, 1, 1, 1), 280, np.float32), np.array([0.0])),
        Period.parse("2021-01-01", "2021-01-11"),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "expected"),
    [("min-max-01", [0, 0.5, 1]), ("min-max-11", [-1, 0, 1]), ("standard", [-3.5, -0.5, 2.5])],
)
def test_scaling_worked_by_hand(kind, expected):
    scaled = Scaler(kind, statistics()).scale(np.array([250, 280, 310], np.float32))
    assert scaled.dtype == np.float32
    np.testing.assert_allclose(scaled, expected, rtol=1e-6)


@given(kind=st.sampled_from(KINDS), fields=FIELDS)
def test_unscale_undoes_scale(kind, fields):
    scaler = Scaler(kind, statistics())
    np.testing.assert_allclose(scaler.unscale(scaler.scale(fields)), fields, atol=2e-4)
    exact = fields.astype(np.float64)
    np.testing.assert_allclose(scaler.unscale(scaler.scale(exact)), exact, atol=1e-10)


@given(kind=st.sampled_from(KINDS), fields=FIELDS)
def test_torch_and_numpy_agree(kind, fields):
    scaler = Scaler(kind, statistics())
    scaled = scaler.scale(torch.from_numpy(fields))
    assert scaled.dtype == torch.float32
    np.testing.assert_allclose(scaled.numpy(), scaler.scale(fields), rtol=1e-6, atol=1e-6)


def test_gradients_flow_through_unscale():
    normalised = torch.zeros(3, requires_grad=True)
    Scaler("standard", statistics()).unscale(normalised).sum().backward()
    assert normalised.grad.tolist() == [10, 10, 10]


@pytest.mark.parametrize("kind", KINDS)
def test_a_constant_training_period_cannot_be_scaled(kind):
    with pytest.raises(TrainingDataError, match="fields that vary"):
        Scaler(kind, statistics(maximum=250.0, std=0.0))
