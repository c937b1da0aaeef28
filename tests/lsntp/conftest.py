"""A small domain on disk: 6 x 8 cells, 15 days hourly, a network of two channels."""

import hashlib
import shutil

import numpy as np
import pytest
import xarray as xr

from lsntp.archives.analysis import AnalysisArchive
from lsntp.config import Domain
from lsntp.names import Status
from lsntp.times import parse_time
from lsntp.workspace import Workspace

SMALL_HOURS = 15 * 24


def small_domain(root, **changes):
    content = {
        "domain": "small",
        "source": {"name": "synthetic"},
        "grid": {"kind": "regular", "north": 50, "south": 45, "west": 0, "east": 7, "spacing": 1},
        "cadence_h": 1,
        "history": 4,
        "horizon": 3,
        "archive": {"start": "2021-01-01"},
        "split": {
            "train": {"start": "2021-01-01", "end": "2021-01-09"},
            "validation": {"start": "2021-01-09", "end": "2021-01-12"},
            "test": {"start": "2021-01-12", "end": "2021-01-16"},
        },
        "networks": {
            "net": {
                "architecture": {"name": "lsntp", "hidden": 2, "embedding": 3},
                "target": "increment",
                "scaling": "standard",
                "training": {"epochs": 2, "batch_size": 32, "learning_rate": 0.01, "seed": 1},
            }
        },
        "root": str(root),
    }
    return Domain.model_validate(content | changes)


def small_fields(domain, count=SMALL_HOURS):
    """280 K, a diurnal wave that follows the longitude, colder to the north, and weather."""
    grid, hour = domain.target_grid, np.arange(count)[:, None, None]
    diurnal = 5 * np.sin(2 * np.pi * (hour / 24 + grid.longitude / 360))
    weather = np.random.default_rng(0).normal(0, 0.5, (count, *grid.shape))
    fields = 280 + diurnal - (grid.latitude[:, None] - 45) + np.cumsum(weather, axis=0) / 5
    return fields.astype(np.float32)


def publish_small(domain, fields, *, first=0, status=Status.FINAL):
    """Append ``fields`` from hour ``first`` on to the domain's analysis archive."""
    archive = AnalysisArchive.create(
        Workspace.of(domain).analysis,
        grid=domain.target_grid,
        start=domain.start,
        cadence=domain.cadence,
        attrs={"title": "small", "synthetic": "true"},
    )
    times = domain.start + np.arange(first, first + len(fields)) * domain.cadence
    digests = [list(hashlib.sha256(frame.tobytes()).digest()) for frame in fields]
    frames = xr.Dataset(
        {
            "t2m": (("time", "latitude", "longitude"), fields),
            "status": ("time", np.full(len(fields), status, np.int8)),
            "source_digest": (("time", "digest_byte"), np.array(digests, np.uint8)),
        },
        {
            "time": times,
            "latitude": domain.target_grid.latitude,
            "longitude": domain.target_grid.longitude,
        },
    )
    archive.publish(frames, now=parse_time("2021-02-01"))
    return archive


@pytest.fixture(scope="session")
def _ingested_root(tmp_path_factory):
    root = tmp_path_factory.mktemp("ingested")
    domain = small_domain(root)
    publish_small(domain, small_fields(domain))
    return root


@pytest.fixture(scope="session")
def _trained_root(_ingested_root, tmp_path_factory):
    from lsntp.training import train

    root = tmp_path_factory.mktemp("trained") / "root"
    shutil.copytree(_ingested_root, root)
    train(small_domain(root))
    return root


@pytest.fixture
def ingested(_ingested_root, tmp_path):
    """The small domain with a filled analysis archive; the test's own copy."""
    shutil.copytree(_ingested_root, tmp_path / "ingested")
    return small_domain(tmp_path / "ingested")


@pytest.fixture
def trained(_trained_root, tmp_path):
    """The small domain with a version of every model; the test's own copy."""
    shutil.copytree(_trained_root, tmp_path / "trained")
    return small_domain(tmp_path / "trained")


@pytest.fixture(scope="session")
def make_domain():
    """``make_domain(root, **changes)``: the small domain below another root, or changed."""
    return small_domain


@pytest.fixture(scope="session")
def publish():
    """``publish(domain, fields, first=0, status=FINAL)``: put fields into the archive."""
    return publish_small


@pytest.fixture(scope="session")
def make_fields():
    """``make_fields(domain, count)``: the fields of the small domain."""
    return small_fields
