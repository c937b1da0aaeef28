"""Recurrent layers through torch.compile while a network is fitted on a CPU, with static shapes."""

import os
import shutil
import warnings
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch
from packaging.version import Version
from torch import nn

from lsntp.config import TrainingConfig
from lsntp.errors import ConfigError
from lsntp.models.cell import LSConvLSTM

RIGHT_SINCE = Version("2.13")
"""In torch 2.11, on a CPU too, the gradients of a traced layer are not those of the plain one; 2.12
was not looked at."""

_ABOUT_ITSELF = (
    r".*torch\.jit\.script_method",
    r"The \.grad attribute of a Tensor that is not",
    r".*autograd\.function\.Function'> should not be instantiated",
)
"""What torch warns of in its own code while it traces ours."""


@contextmanager
def compiled_layers(network: nn.Module, config: TrainingConfig) -> Iterator[None]:
    """With ``config.compile``, every recurrent layer can run compiled, all its steps in one.

    It does so inside :func:`compiled_batch` only; everything else, such as validation, runs as
    written. Tensors and their names are those of the plain network, and afterwards it is plain
    again. A decoder that feeds forecasts back goes step by step and stays plain. On a GPU nothing
    is compiled: :mod:`lsntp.training.recorded` is what helps there.

    Raises:
        ConfigError: if there is no C++ compiler, or torch is older than :data:`RIGHT_SINCE`.
    """
    if not is_compiled(config):
        yield
        return
    _check_compiler()
    layers = [module for module in network.modules() if isinstance(module, LSConvLSTM)]
    with warnings.catch_warnings():
        for message in _ABOUT_ITSELF:
            warnings.filterwarnings("ignore", message)
        try:
            for layer in layers:
                layer.compile(dynamic=False)
            with torch.compiler.set_stance("force_eager"):
                yield
        finally:
            for layer in layers:
                layer._compiled_call_impl = None  # the other half of nn.Module.compile


def compiled_batch(config: TrainingConfig, windows: int) -> AbstractContextManager[object]:
    """Where a batch runs compiled: a full one. Any other size would be compiled for itself.

    Args:
        config: how to fit.
        windows: in the batch.
    """
    if not is_compiled(config) or windows != config.batch_size:
        return nullcontext()
    stance: AbstractContextManager[object] = torch.compiler.set_stance("default")
    return stance


def is_compiled(config: TrainingConfig) -> bool:
    """Whether the layers of a fit are compiled: if asked for, and on a CPU."""
    return config.compile and not torch.cuda.is_available()


def _check_compiler() -> None:
    if Version(torch.__version__) < RIGHT_SINCE:
        raise ConfigError(
            f"Expected torch {RIGHT_SINCE} or newer for training.compile, found "
            f"{torch.__version__}: gradients compiled by 2.11 are wrong; install a newer one, or "
            "set training.compile: false."
        )
    compiler = os.environ.get("CXX") or "g++"
    if shutil.which(compiler) is None:
        raise ConfigError(
            f"Expected a C++ compiler for training.compile, found no {compiler}; install g++, name "
            "another program in CXX (torch takes no options there), or set training.compile: false."
        )
