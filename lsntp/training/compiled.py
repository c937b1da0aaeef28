"""Recurrent layers through torch.compile while a network is fitted, with static shapes."""

import os
import shutil
import warnings
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch
from torch import nn

from lsntp.config import TrainingConfig
from lsntp.errors import ConfigError
from lsntp.models.cell import LSConvLSTM

_ABOUT_ITSELF = (
    r".*torch\.jit\.script_method",
    r"The \.grad attribute of a Tensor that is not",
    r".*autograd\.function\.Function'> should not be instantiated",
)
"""What torch warns of in its own code while it traces ours."""


@contextmanager
def compiled_layers(network: nn.Module, config: TrainingConfig) -> Iterator[None]:
    """With ``config.compile``, every recurrent layer can run compiled, all its steps in one.

    On a GPU as CUDA graphs. It does so inside :func:`compiled_batch` only; everything else, such
    as validation, runs as written. Tensors and their names are those of the plain network, and
    afterwards it is plain again. A decoder that feeds forecasts back goes step by step and stays
    plain.

    Raises:
        ConfigError: if there is neither a GPU nor a C++ compiler.
    """
    if not config.compile:
        yield
        return
    on_gpu = torch.cuda.is_available()
    compiler = os.environ.get("CXX") or "g++"
    if not on_gpu and shutil.which(compiler) is None:
        raise ConfigError(
            f"Expected a C++ compiler for training.compile without a GPU, found no {compiler}; "
            "install g++, name another program in CXX (torch takes no options there), or set "
            "training.compile: false."
        )
    layers = [module for module in network.modules() if isinstance(module, LSConvLSTM)]
    with warnings.catch_warnings():
        for message in _ABOUT_ITSELF:
            warnings.filterwarnings("ignore", message)
        try:
            for layer in layers:
                layer.compile(dynamic=False, mode="reduce-overhead" if on_gpu else "default")
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
    if not config.compile or windows != config.batch_size:
        return nullcontext()
    torch.compiler.cudagraph_mark_step_begin()  # type: ignore[no-untyped-call]
    stance: AbstractContextManager[object] = torch.compiler.set_stance("default")
    return stance
