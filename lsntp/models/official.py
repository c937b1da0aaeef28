"""Tensors of the authors' LS-NTP, to and from the names and layout of this package.

Source: github.com/xuguangning1218/LS_NTP @ 53abda05721f, whose state dict is described here
in our words; no code of it is used. What differs from ours, apart from the names:

- peepholes are (1, d, 1, 1), ours (d, 1, 1);
- the 4d filters of the LS-Conv kernel are in the order i, f, o, g, ours i, f, g, o (g is C̃);
- ``DataParallel`` puts ``module.`` in front of every name.
"""

from collections.abc import Mapping

import torch
from torch import Tensor

from lsntp.config.architecture import PRESETS
from lsntp.errors import ModelError
from lsntp.models.lsntp import LSNTP

WRAPPER = "module."

_LAYERS = {
    "encoder1": "encoder.convrnn1",
    "encoder2": "encoder.convrnn2",
    "decoder3": "decoder.convrnn3",
    "decoder4": "decoder.convrnn4",
}
_KERNEL = "W_xh.theta"
_PEEPHOLES = {"W_ci": "w_c_i", "W_cf": "w_c_f", "W_co": "w_c_o"}
_BLOCK = "conv.spatial_atten_block.spatail_atten"  # the authors' spelling
_CELL = {
    **_PEEPHOLES,
    _KERNEL: "conv.weight",
    **{
        f"W_xh.attention.{ours}.{part}": f"{_BLOCK}.{theirs}.{part}"
        for ours, theirs in {
            "first.0": 0, "first.1": 1, "second.0": 3, "second.1": 4, "third": 6,
        }.items()
        for part in ("weight", "bias")
    },
}  # fmt: skip
_DECIDING = (
    "attention_layers",
    "convolution",
    "bias",
    "peephole",
    "decoder_input",
    "gate_activation",
)


def official_names(network: LSNTP) -> dict[str, str]:
    """Our name of every tensor of ``network`` to the authors'.

    Raises:
        ModelError: if the network is not laid out as theirs.
    """
    _check_layout(network)
    head = "decoder.conv2d" if network.front is None else "decoder.conv2dtranspose"
    names = {"E": "node_embeddings", "head.weight": f"{head}.weight", "head.bias": f"{head}.bias"}
    if network.front is not None:
        names |= {f"front.{part}": f"encoder.conv2d.{part}" for part in ("weight", "bias")}
    for layer, theirs in _LAYERS.items():
        names |= {f"{layer}.{ours}": f"{theirs}.cell.{name}" for ours, name in _CELL.items()}
    return names


def to_official(network: LSNTP, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Our tensors under the authors' names and in their layout.

    Args:
        network: laid out as ``official``.
        state: its state dict, or gradients or moments under the same names.

    Raises:
        ModelError: if the network is not laid out as theirs.
    """
    return {
        theirs: _to_their_layout(ours, state[ours])
        for ours, theirs in official_names(network).items()
    }


def from_official(network: LSNTP, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The authors' tensors under our names and in our layout; inverse of :func:`to_official`.

    Args:
        network: laid out as ``official``.
        state: all its tensors under the authors' names, of the right shapes and without
            ``module.``; see :func:`load_official` for a state dict from outside.

    Raises:
        ModelError: if the network is not laid out as theirs.
    """
    return {
        ours: _to_our_layout(ours, state[theirs])
        for ours, theirs in official_names(network).items()
    }


def load_official(network: LSNTP, state: Mapping[str, object]) -> None:
    """Copy the authors' weights into ``network``.

    Args:
        network: of configuration ``official`` and the sizes of the weights.
        state: the authors' state dict, with or without ``module.`` before every name.

    Raises:
        ModelError: naming at once every tensor that is missing, not expected, of another
            shape, of another type, or not finite. The network is left as it was.
    """
    bare = {name.removeprefix(WRAPPER): value for name, value in state.items()}
    expected = {
        name: tuple(tensor.shape)
        for name, tensor in to_official(network, network.state_dict()).items()
    }
    faults = [f"{name} missing" for name in sorted(expected.keys() - bare.keys())]
    faults += [f"{name} not expected" for name in sorted(bare.keys() - expected.keys())]
    tensors = {}
    for name in sorted(expected.keys() & bare.keys()):
        value = bare[name]
        if not isinstance(value, Tensor):
            faults.append(f"{name} expected a tensor, found {type(value).__name__}")
        elif tuple(value.shape) != expected[name]:
            faults.append(f"{name} expected {expected[name]}, found {tuple(value.shape)}")
        elif not value.is_floating_point() or value.layout is not torch.strided:
            faults.append(f"{name} expected floating point, found {value.dtype}")
        elif not torch.isfinite(value).all():
            faults.append(f"{name} holds values that are not finite")
        else:
            tensors[name] = value
    if faults:
        raise ModelError(
            f"Expected the {len(expected)} tensors of the authors' LS-NTP with hidden "
            f"{network.architecture.hidden}, embedding {network.architecture.embedding} on "
            f"{network.node_shape[0]} x {network.node_shape[1]} nodes, found: "
            f"{'; '.join(faults)}. Set hidden, embedding, kernel, downsample and the grid as the "
            "weights were trained."
        )
    network.load_state_dict(from_official(network, tensors))


def _check_layout(network: LSNTP) -> None:
    """Refuse a network whose tensors have no counterpart in the authors' code."""
    architecture = network.architecture
    wanted = {name: PRESETS["official"][name] for name in _DECIDING}
    wanted |= {"operator": "ls-conv", "long_range": True}
    differing = [
        f"{name} {value}, found {getattr(architecture, name)}"
        for name, value in wanted.items()
        if getattr(architecture, name) != value
    ]
    if differing:
        raise ModelError(
            "Expected a network laid out as the authors' code, with "
            f"{'; '.join(differing)}; set architecture.configuration: official."
        )


def _to_their_layout(ours: str, tensor: Tensor) -> Tensor:
    if ours.endswith(_KERNEL):
        return _swap_last_two_gates(tensor)
    return tensor[None] if ours.rpartition(".")[2] in _PEEPHOLES else tensor


def _to_our_layout(ours: str, tensor: Tensor) -> Tensor:
    if ours.endswith(_KERNEL):
        return _swap_last_two_gates(tensor)
    return tensor[0] if ours.rpartition(".")[2] in _PEEPHOLES else tensor


def _swap_last_two_gates(kernel: Tensor) -> Tensor:
    """Filters i, f, o, g to i, f, g, o, or back."""
    i, f, third, fourth = kernel.chunk(4, dim=0)
    return torch.cat([i, f, fourth, third])
