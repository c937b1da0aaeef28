"""What every room's tests share."""

import itertools
import os
import resource
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.standins.gfs import Library
    from tests.standins.s3 import S3, S3Server

_bucket_names = (f"bucket-{number}" for number in itertools.count())


def pytest_configure(config: pytest.Config) -> None:
    """What tests expect of the machine, however they are started.

    They see a GPU only where ``-m`` asks for those that need one: others expect a CPU. And SIGINT
    ends what they start: a shell has its background jobs ignore it, and these their children.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)
    asked = config.option.markexpr
    if "gpu" not in asked or "not gpu" in asked:
        os.environ["CUDA_VISIBLE_DEVICES"] = ""


SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture
def small_files() -> Iterator[Callable[[int], None]]:
    """``small_files(size)``: until the test ends the system refuses files above ``size`` bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield lambda size: resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real ERA5, NCEP and GFS files beside the checkout."""
    if not SHARED_DATA.is_dir():
        pytest.skip(f"real data files are not at {SHARED_DATA.name} beside the checkout")
    return SHARED_DATA


@pytest.fixture(scope="session")
def library(shared_data: Path) -> "Library":
    """The real messages of GFS."""
    from tests.standins.gfs import Library

    return Library(shared_data / "gfs")


@pytest.fixture(scope="session")
def s3_server() -> "Iterator[S3Server]":
    """A real S3 server on a loopback socket."""
    from tests.standins.s3 import S3Server

    with S3Server().running() as running:
        yield running


@pytest.fixture
def bucket(s3_server: "S3Server", monkeypatch: pytest.MonkeyPatch) -> "S3":
    """An empty bucket that our client finds by the usual variable, without credentials."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3_server.url)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    return s3_server.open_bucket(next(_bucket_names))


@pytest.fixture
def archive_bucket(bucket: "S3", monkeypatch: pytest.MonkeyPatch) -> "S3":
    """An empty bucket for archives, with the credentials of a writer."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "writer")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "canary-secret")
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    return bucket
