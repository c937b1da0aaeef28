import pytest
import torch
from torch import nn

from lsntp.config import LsntpConfig
from lsntp.errors import ModelError
from lsntp.models.registry import build_network, parameter_count


def _build(**settings: object) -> nn.Module:
    architecture = LsntpConfig.model_validate({"hidden": 2, "embedding": 4, **settings})
    return build_network(architecture, shape=(2, 3), history=3, horizon=5)


def test_network_maps_history_to_horizon() -> None:
    assert _build()(torch.zeros(4, 3, 1, 2, 3)).shape == (4, 5, 1, 2, 3)


def test_parameter_count_equals_the_sum_by_hand() -> None:
    # NSA(m) = 2 (m² + m) + 2 · 2m:                      NSA(1) = 8, NSA(2) = 20
    # LS-Conv of c channels to 4 · 2 filters, 3 x 3:     8 + 1·8·9 = 80, 20 + 2·8·9 = 164
    # peepholes 3 · 2 · 6 cells and biases 4 · 2:        44
    # layers 1, 2, 3 (no input), 4:                      288 + 372 + 208 + 372
    # embeddings 6 · 4 and head 2 · 9 + 1:               24 + 19
    assert parameter_count(_build()) == 288 + 372 + 208 + 372 + 24 + 19


def test_parameter_count_of_a_pointwise_kernel_differs_by_eight_ninths_of_the_kernels() -> None:
    # one LS-Conv of 1 and six of 2 channels: (1 + 6 · 2) · 8 filters lose 8 of 9 entries
    assert parameter_count(_build()) - parameter_count(_build(kernel=1)) == 13 * 8 * 8


def test_frozen_parameters_do_not_count() -> None:
    layer = nn.Linear(3, 2)
    layer.bias.requires_grad_(False)
    assert parameter_count(layer) == 6


def test_unknown_network_is_refused() -> None:
    architecture = LsntpConfig.model_construct(name="crystal-ball")  # type: ignore[arg-type]
    with pytest.raises(ModelError, match="crystal-ball"):
        build_network(architecture, shape=(2, 3), history=3, horizon=3)
