"""What several tests of fits need."""

import sys

import pytest
import torch
from packaging.version import Version
from torch import nn
from torch._dynamo.utils import counters

from lsntp.training.compiled import RIGHT_SINCE


@pytest.fixture
def traced(monkeypatch):
    """Compile as far as the graphs: seconds instead of minutes, and no C++ compiler."""
    if Version(torch.__version__) < RIGHT_SINCE:
        pytest.skip(f"torch {torch.__version__} compiles wrong gradients")
    compile_module = nn.Module.compile
    monkeypatch.setenv("CXX", sys.executable)
    monkeypatch.setattr(
        nn.Module,
        "compile",
        lambda module, *, dynamic: compile_module(module, dynamic=dynamic, backend="aot_eager"),
    )
    torch._dynamo.reset()
    counters.clear()
