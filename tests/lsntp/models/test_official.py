"""The configuration ``official`` against numbers made by the authors' own code."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from torch import Tensor
from torch.nn import functional

from lsntp.config import LsntpConfig, load_domain
from lsntp.errors import ModelError
from lsntp.models.lsntp import LSNTP
from lsntp.models.official import from_official, load_official, official_names, to_official
from lsntp.models.registry import parameter_count
from tests.lsntp.models.slow_reference import Reference

ORACLES = ["stride1", "stride2"]


def _oracle(shared_data: Path, name: str) -> tuple[dict[str, Tensor], dict[str, str]]:
    with safe_open(shared_data / "official_lsntp" / f"{name}.safetensors", "pt") as file:
        return {key: file.get_tensor(key) for key in file.keys()}, file.metadata()  # noqa: SIM118


def _part(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}


def _network(metadata: Mapping[str, str], **changes: Any) -> LSNTP:
    architecture = LsntpConfig.model_validate(
        {
            "configuration": "official",
            "hidden": int(metadata["conv_dim"]),
            "embedding": int(metadata["node_embedding_dim"]),
            "downsample": metadata["downsample"] == "1",
            **changes,
        }
    )
    shape = int(metadata["height"]), int(metadata["width"])
    return LSNTP(architecture, shape=shape, history=6, horizon=6)


def _small(**changes: Any) -> LSNTP:
    architecture = LsntpConfig.model_validate(
        {"configuration": "official", "hidden": 2, "embedding": 3, **changes}
    )
    return LSNTP(architecture, shape=(3, 5), history=2, horizon=2)


@pytest.mark.parametrize("graph", ["dense", "chunked"])
@pytest.mark.parametrize("name", ORACLES)
def test_outputs_gradients_and_three_steps_of_adam_are_the_authors(
    shared_data: Path, name: str, graph: str
) -> None:
    tensors, metadata = _oracle(shared_data, name)
    network = _network(metadata, graph=graph)
    load_official(network, _part(tensors, "state."))
    optimiser = torch.optim.Adam(network.parameters(), lr=1e-3)
    losses = []
    for step in range(3):
        output = network(tensors["input"])
        loss = functional.mse_loss(output, tensors["target"])
        optimiser.zero_grad()
        loss.backward()
        losses.append(loss.item())
        if step == 0:
            # the frames vary by 3e-4 only, so 1e-5 alone would prove little
            torch.testing.assert_close(output, tensors["output"], rtol=0, atol=1e-7)
            gradients = {k: p.grad for k, p in network.named_parameters()}
            assert not any(gradient is None for gradient in gradients.values())
            found = to_official(network, gradients)  # type: ignore[arg-type]
            expected = _part(tensors, "grad.")
            assert found.keys() == expected.keys()
            for key, gradient in expected.items():
                difference = (found[key] - gradient).norm()
                assert difference <= 1e-4 * gradient.norm(), key
        optimiser.step()
    assert losses == pytest.approx(tensors["losses"].tolist(), rel=1e-6)
    torch.testing.assert_close(
        network(tensors["input"]), tensors["output_after_3_adam_steps"], rtol=0, atol=1e-7
    )


@pytest.mark.parametrize("name", ORACLES)
def test_double_precision_equals_the_plain_form_with_the_authors_weights(
    shared_data: Path, name: str
) -> None:
    tensors, metadata = _oracle(shared_data, name)
    network = _network(metadata)
    load_official(network, _part(tensors, "state."))
    network = network.double()
    sample = tensors["input"][:1].double()
    switches = {field: getattr(network.architecture, field) for field in LsntpConfig.model_fields}
    expected = Reference(switches, network.state_dict()).forecast(sample[0], 6)
    torch.testing.assert_close(expected.float(), tensors["output"][0], rtol=0, atol=1e-7)
    torch.testing.assert_close(network(sample)[0], expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    ("preset", "downsample", "parameters", "dead"),
    [("era5-hourly", True, 5_988_373, 655_488), ("ncep-6hourly", False, 19_475_979, 2_621_696)],
)
def test_parameter_counts_of_the_paper(
    preset: str, downsample: bool, parameters: int, dead: int
) -> None:
    domain = load_domain(
        preset, overrides={"networks.lsntp.architecture.configuration": "official"}
    )
    architecture = domain.networks["lsntp"].architecture
    assert architecture.downsample is downsample
    with torch.device("meta"):
        network = LSNTP(architecture, shape=domain.target_grid.shape, history=6, horizon=6)
    assert parameter_count(network) == parameters
    # the input half of the third layer never acts: its kernels, the columns of the first and
    # the rows of the third 1 x 1 convolution, and the third's biases
    d = architecture.hidden
    assert 4 * d * d * 9 + 2 * d * 2 * d + d == dead


def test_the_dead_half_of_the_third_layer_has_a_gradient_of_exactly_zero() -> None:
    torch.manual_seed(0)
    network = _small()
    network(torch.rand(2, 2, 1, 3, 5)).square().sum().backward()
    operator = network.decoder3.W_xh
    attention = operator.attention
    for gradient in (
        operator.theta.grad[:, :2],
        attention.first[0].weight.grad[:, :2],
        attention.third.weight.grad[:2],
        attention.third.bias.grad[:2],
    ):
        assert not gradient.any()
    assert all(parameter.grad is not None for parameter in network.parameters())
    assert operator.theta.grad[:, 2:].any()


def test_states_can_never_be_negative() -> None:
    torch.manual_seed(0)
    network = _small()
    for layer in (network.encoder1, network.encoder2, network.decoder3, network.decoder4):
        for peephole in (layer.W_ci, layer.W_cf, layer.W_co):
            peephole.data.zero_()
    states, last = network.encoder1(torch.randn(1, 2, 1, 3, 5), None, network._graph(), steps=2)
    assert (states >= 0).all()
    assert (last.cell >= 0).all()


# --- the authors' state dict ---------------------------------------------------------------


def _their_state(network: LSNTP) -> dict[str, Tensor]:
    torch.manual_seed(1)
    shapes = {k: v.shape for k, v in to_official(network, network.state_dict()).items()}
    return {name: torch.randn(shape) for name, shape in shapes.items()}


@pytest.mark.parametrize(("downsample", "count"), [(True, 61), (False, 59)])
def test_names_and_shapes_are_those_of_their_files(downsample: bool, count: int) -> None:
    network = _small(downsample=downsample)
    state = _their_state(network)
    assert len(state) == count
    assert state["decoder.convrnn3.cell.w_c_f"].shape == (1, 2, 1, 1)
    assert state["encoder.convrnn1.cell.conv.weight"].shape == (8, 3, 3, 3)
    assert ("encoder.conv2d.weight" in state) is downsample
    assert ("decoder.conv2dtranspose.bias" in state) is downsample
    assert set(official_names(network)) == set(network.state_dict())


def test_nothing_is_lost_on_the_way_there_and_back() -> None:
    network = _small()
    state = _their_state(network)
    back = to_official(network, from_official(network, state))
    assert state.keys() == back.keys()
    assert all(torch.equal(state[name], back[name]) for name in state)


def test_the_wrapper_of_data_parallel_is_taken_off() -> None:
    first, second = _small(), _small()
    state = _their_state(first)
    load_official(first, state)
    load_official(second, {f"module.{name}": tensor for name, tensor in state.items()})
    for name, tensor in first.state_dict().items():
        assert torch.equal(tensor, second.state_dict()[name])


def test_every_tensor_that_does_not_fit_is_named_in_one_error() -> None:
    network = _small()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    state: dict[str, object] = dict(_their_state(network))
    del state["node_embeddings"]
    state["encoder.convrnn9.cell.w_c_i"] = torch.zeros(1)
    state["decoder.conv2d.weight"] = torch.zeros(1, 4, 3, 3)
    state["decoder.convrnn3.cell.w_c_f"] = torch.full((1, 2, 1, 1), torch.nan)
    state["decoder.convrnn3.cell.w_c_i"] = torch.zeros(1, 2, 1, 1, dtype=torch.int64)
    state["decoder.convrnn3.cell.w_c_o"] = "a text"
    # one number that claims a shape of terabytes: it must not be unfolded
    state["decoder.conv2d.bias"] = torch.zeros(1).expand(10**12)
    with pytest.raises(ModelError) as caught:
        load_official(network, state)
    message = str(caught.value)
    for part in (
        "node_embeddings missing",
        "encoder.convrnn9.cell.w_c_i not expected",
        "decoder.conv2d.weight expected (1, 2, 3, 3), found (1, 4, 3, 3)",
        "decoder.convrnn3.cell.w_c_f holds values that are not finite",
        "decoder.convrnn3.cell.w_c_i expected floating point, found torch.int64",
        "decoder.convrnn3.cell.w_c_o expected a tensor, found str",
        "decoder.conv2d.bias expected (1,), found (1000000000000,)",
    ):
        assert part in message
    assert message.count("\n") == 0
    assert all(torch.equal(before[name], t) for name, t in network.state_dict().items())


def test_their_weights_fit_their_layout_only() -> None:
    network = LSNTP(LsntpConfig(hidden=2, embedding=3), shape=(3, 5), history=2, horizon=2)
    with pytest.raises(ModelError, match=r"convolution joint, found separate.*official"):
        load_official(network, {})
