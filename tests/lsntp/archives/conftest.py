"""Processes to race and kill, and a way to compare archives object by object."""

import importlib.util
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

import pytest

SCRIPT = Path(__file__).with_name("archive_process.py")


@pytest.fixture(scope="session")
def lab() -> ModuleType:
    """The known truth and the archives built from it; see archive_process.py."""
    spec = importlib.util.spec_from_file_location("archive_process", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def start_process() -> Callable[[str, Path], object]:
    """Start archive_process.py as a context: (role, path) -> process with text pipes."""

    @contextmanager
    def start(role: str, path: Path) -> Iterator[subprocess.Popen[str]]:
        with subprocess.Popen(
            [sys.executable, str(SCRIPT), role, str(path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as process:
            try:
                yield process
            finally:
                if process.poll() is None:
                    process.kill()

    return start


@pytest.fixture(scope="session")
def objects() -> Callable[[Path], dict[str, bytes]]:
    """Every object of an archive: key -> bytes."""

    def read(path: Path) -> dict[str, bytes]:
        return {
            str(file.relative_to(path)): file.read_bytes()
            for file in path.rglob("*")
            if file.is_file()
        }

    return read
