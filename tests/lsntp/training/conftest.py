"""What several tests of fits need."""

import sys

import pytest
import torch
from torch import nn
from torch._dynamo.utils import counters


@pytest.fixture
def traced(monkeypatch):
    """Compile as far as the graphs: seconds instead of minutes, and no C++ compiler."""
    compile_module = nn.Module.compile
    monkeypatch.setenv("CXX", sys.executable)
    monkeypatch.setattr(
        nn.Module,
        "compile",
        lambda module, *, dynamic, mode: compile_module(
            module, dynamic=dynamic, backend="aot_eager"
        ),
    )
    torch._dynamo.reset()
    counters.clear()
