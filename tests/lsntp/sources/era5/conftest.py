"""A store that serves real GRIB, and the small domains whose asked box is that of its files."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from lsntp.config import Domain
from lsntp.grid import Grid
from lsntp.sources import open_source
from lsntp.sources.era5 import CdsSource
from lsntp.times import parse_time
from tests.standins.cds import CdsServer

ENGLAND = "era5/era5_t2m_1h_england_2025-01_2025-03_expver_mix.grib"
UK = "era5/era5_t2m_1h_uk_2019-03.grib"
NOW = parse_time("2025-05-01")
PATIENT = {"pause_s": 0.05, "retries": 3, "timeout_s": 20, "deadline_minutes": 2}


@pytest.fixture(scope="session")
def england_file(shared_data: Path) -> Path:
    """January to March 2025, hourly, 52..51 N, -1..0 E; preliminary from March on."""
    return shared_data / ENGLAND


@pytest.fixture
def cds(england_file: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[CdsServer]:
    """A store that serves England, with its URL and key in the environment."""
    with CdsServer([england_file]) as server:
        for name, value in server.environment.items():
            monkeypatch.setenv(name, value)
        yield server


def england(root: Path, **source: object) -> Domain:
    """Nine cells, one native step inside the files' box."""
    return Domain.model_validate(
        {
            "domain": "england",
            "source": {"name": "era5", **PATIENT, **source},
            "grid": {
                "kind": "regular",
                **{"north": 51.75, "south": 51.25, "west": -0.75, "east": -0.25},
                "spacing": 0.25,
            },
            "cadence_h": 1,
            "archive": {"start": "2025-01-01"},
            "split": {
                "train": {"start": "2025-01-01", "end": "2025-02-01"},
                "validation": {"start": "2025-02-01", "end": "2025-03-01"},
                "test": {"start": "2025-03-01", "end": "2025-04-01"},
            },
            "root": str(root),
        }
    )


@pytest.fixture(scope="session")
def area(tmp_path_factory: pytest.TempPathFactory) -> Grid:
    """The cells of the domain."""
    return england(tmp_path_factory.mktemp("area")).target_grid


@pytest.fixture
def make_source(tmp_path: Path) -> Callable[..., CdsSource]:
    """``make_source(now=..., **settings)``: the source as a new run opens it."""

    def make(now: np.datetime64 = NOW, **settings: object) -> CdsSource:
        source = open_source(england(tmp_path, **settings), clock=lambda: now)
        assert isinstance(source, CdsSource)
        return source

    return make
