"""A small finished world: analyses, a training archive and forecasts with known errors."""

import shutil
from dataclasses import dataclass

import numpy as np
import pytest
import xarray as xr
import yaml

from lsntp.archives.analysis import AnalysisArchive
from lsntp.archives.forecast import ForecastArchive
from lsntp.config import ROOT_VARIABLE, load_domain
from lsntp.evaluation.scoring import evaluate
from lsntp.names import Status
from lsntp.training_data.archive import build_training_archive
from lsntp.workspace import Workspace

SETTINGS = {
    "domain": "small",
    "source": {"name": "synthetic"},
    "grid": {
        "kind": "regular",
        "north": 57.0,
        "south": 50.0,
        "west": 0.0,
        "east": 7.0,
        "spacing": 1.0,
    },
    "cadence_h": 6,
    "history": 2,
    "horizon": 2,
    "archive": {"start": "2024-01-20"},
    "split": {
        "train": {"start": "2024-01-20", "end": "2024-01-25"},
        "validation": {"start": "2024-01-25", "end": "2024-01-29"},
        "test": {"start": "2024-01-29", "end": "2024-02-04"},
    },
    "baselines": ["persistence", "climatology", "ridge"],
    "networks": {"lsntp": {}},
    "bootstrap_samples": 200,
}


@dataclass
class World:
    """One domain below ``root`` and ways to fill it."""

    domain: object

    @property
    def workspace(self):
        return Workspace.of(self.domain)

    @property
    def times(self):
        days = np.arange("2024-01-20", "2024-02-04", dtype="datetime64[D]")
        steps = np.arange(4) * np.timedelta64(6, "h")
        return (days.astype("datetime64[ns]")[:, None] + steps).ravel()

    def truth(self, times):
        """Fields of ``times``: a daily cycle and noise that depends on the time alone."""
        hours = (times - self.domain.start) / np.timedelta64(1, "h")
        noise = [np.random.default_rng(int(h)).standard_normal((8, 8)) for h in hours]
        return (280 + 3 * np.sin(hours / 24 * 2 * np.pi)[:, None, None] + noise).astype("f4")

    def ingest(self, times, status=Status.FINAL, change=0.0):
        archive = AnalysisArchive.create(
            self.workspace.analysis,
            grid=self.domain.target_grid,
            start=self.domain.start,
            cadence=self.domain.cadence,
            attrs={},
        )
        grid = self.domain.target_grid
        digest = np.zeros((times.size, 32), np.uint8)
        digest[:, :8] = times.astype("i8").view(np.uint8).reshape(-1, 8)
        digest[:, 8] = int(10 * change)
        archive.publish(
            xr.Dataset(
                {
                    "t2m": (
                        ("time", "latitude", "longitude"),
                        self.truth(times) + np.float32(change),
                    ),
                    "status": ("time", np.full(times.size, status, np.int8)),
                    "source_digest": (("time", "digest_byte"), digest),
                },
                coords={"time": times, "latitude": grid.latitude, "longitude": grid.longitude},
            )
        )

    def prepare(self):
        analysis = AnalysisArchive.open(self.workspace.analysis)
        build_training_archive(self.domain, analysis, self.workspace.training, "standard")

    def forecast(self, model, init_times, error, version=None):
        """Forecasts that miss the truth by ``error``, K.

        A number, or f(init_times) -> (n,), a map for each (n, H, W), or everything (n, K, H, W).
        """
        archive = ForecastArchive.create(
            self.workspace.forecast(model),
            grid=self.domain.target_grid,
            start=self.domain.start,
            cadence=self.domain.cadence,
            lead_times=self.domain.lead_times,
            attrs={},
        )
        valid = init_times[:, None] + self.domain.lead_times
        fields = self.truth(valid.ravel()).reshape(*valid.shape, 8, 8)
        missed = error(init_times) if callable(error) else np.full(init_times.size, error)
        if missed.ndim < 4:
            missed = missed.reshape(-1, 1, *(missed.shape[1:] or (1, 1)))
        archive.withdraw(np.intersect1d(init_times, archive.written()))
        archive.publish(
            init_times,
            (fields + missed).astype(np.float32),
            model_version=version or f"{model}-0123456789ab",
            analysis_status=np.full(init_times.size, Status.FINAL, np.int8),
        )

    def noisy(self, level, seed):
        """An error of about ``level`` K that changes with the day."""

        def error(times):
            days = times.astype("datetime64[D]").astype(int)
            return np.array(
                [level * (1 + 0.2 * np.random.default_rng([seed, day]).random()) for day in days]
            )

        return error

    def copy(self, folder):
        """The same world elsewhere, free to change."""
        shutil.copytree(self.workspace.root, folder / "root", dirs_exist_ok=True)
        return make_world(folder)


def make_world(folder):
    """A world below ``folder``, with whatever is there already."""
    path = folder / "small.yaml"
    path.write_text(yaml.safe_dump(SETTINGS | {"root": str(folder / "root")}))
    with pytest.MonkeyPatch.context() as environment:
        environment.delenv(ROOT_VARIABLE, raising=False)
        return World(load_domain(path))


@pytest.fixture
def world(tmp_path):
    """A world without data."""
    return make_world(tmp_path)


@pytest.fixture(scope="session")
def prepared_once(tmp_path_factory):
    world = make_world(tmp_path_factory.mktemp("prepared"))
    world.ingest(world.times[:-4])
    world.prepare()
    return world


@pytest.fixture
def prepared(prepared_once, tmp_path):
    """A world with all analyses but those of the last day, and a training archive."""
    return prepared_once.copy(tmp_path)


@pytest.fixture(scope="session")
def scored(prepared_once, tmp_path_factory):
    """A world with scored forecasts from slots 36..55; not to be changed."""
    world = prepared_once.copy(tmp_path_factory.mktemp("scored"))
    for model, level, seed in (("persistence", 2.0, 1), ("ridge", 1.0, 2), ("lsntp", 1.5, 3)):
        world.forecast(model, world.times[36:56], world.noisy(level, seed))
    evaluate(world.domain)
    return world


@pytest.fixture(scope="session")
def preliminary_once(tmp_path_factory):
    """Final truth in slots 0..43, preliminary in 44..55, 0.5 K warmer; no forecasts. To copy."""
    world = make_world(tmp_path_factory.mktemp("preliminary"))
    world.ingest(world.times[:44])
    world.ingest(world.times[44:56], Status.PRELIMINARY, change=0.5)
    world.prepare()
    return world


def ramp(times):
    """0.5 K before slot 40 (30 January), then 0, 1, 2 … K: one more with each init_time."""
    slot = (times - np.datetime64("2024-01-20", "ns")) // np.timedelta64(6, "h")
    return np.where(slot < 40, 0.5, slot - 40.0)


def west_and_east(times):
    """1 K in the western half, 3 K in the eastern one; twice that at the second lead."""
    halves = np.where(np.arange(8) < 4, 1.0, 3.0)
    return np.broadcast_to(np.array([1.0, 2.0])[:, None, None] * halves, (times.size, 2, 8, 8))


@pytest.fixture(scope="session")
def stepped(prepared_once, tmp_path_factory):
    """A world whose errors are known: slots 24..53 by three models; not to be changed.

    ridge: see ``ramp``; persistence: 2 K; lsntp: see ``west_and_east``, by another version from
    slot 47 on. climatology has forecasts from slots 40..43 and 52..53 only, 1 K wrong.
    """
    world = prepared_once.copy(tmp_path_factory.mktemp("stepped"))
    times = world.times
    world.forecast("ridge", times[24:54], ramp)
    world.forecast("persistence", times[24:54], 2.0)
    world.forecast("lsntp", times[24:47], west_and_east, version="lsntp-aaaaaaaaaaaa")
    world.forecast("lsntp", times[47:54], west_and_east, version="lsntp-bbbbbbbbbbbb")
    world.forecast("climatology", times[[40, 41, 42, 43, 52, 53]], 1.0)
    boxes = {
        "west": {"north": 57, "south": 50, "west": 0, "east": 3.4},
        "north-east": {"north": 57, "south": 54, "west": 4, "east": 7},
    }
    world.domain = type(world.domain).model_validate(
        world.domain.model_dump(mode="json") | {"regions": boxes}
    )
    evaluate(world.domain)
    return world
