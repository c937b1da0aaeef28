"""Forecasts whose every value is known, to export: of a domain named small, 3 x 4 cells."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import yaml

from lsntp.archives.forecast import ForecastArchive
from lsntp.config import Domain, load_domain
from lsntp.names import CHAMPION, Status
from lsntp.publication import create_forecasts
from lsntp.times import Times

SETTINGS = {
    "domain": "small",
    "source": {"name": "synthetic"},
    "grid": {
        "kind": "regular",
        "north": 52.0,
        "south": 50.0,
        "west": 0.0,
        "east": 3.0,
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
    "baselines": ["persistence", "ridge"],
}
VERSION = "ridge-0123456789ab"
INITS = np.array(["2024-01-29T00", "2024-01-29T06", "2024-01-29T18"], "datetime64[ns]")
"""12 UTC has no forecast."""


def values(init_times: Times) -> npt.NDArray[np.float32]:
    """270 K, and 1 for each 6 h since 29 January, 0.25 a lead, 10 a row south, 0.5 a column."""
    step = (init_times - INITS[0]) / np.timedelta64(6, "h")
    lead, row, column = np.meshgrid(np.arange(2), np.arange(3), np.arange(4), indexing="ij")
    field = 270 + 0.25 * lead + 10 * row + 0.5 * column
    return (step[:, None, None, None] + field).astype(np.float32)


def make_domain(folder: Path) -> tuple[Domain, Path]:
    """The domain, and its file, with forecasts by the champion below ``folder``."""
    path = folder / "small.yaml"
    path.write_text(yaml.safe_dump(SETTINGS | {"root": str(folder / "root")}))
    domain = load_domain(path)
    publish(domain, CHAMPION, INITS)
    return domain, path


def publish(domain: Domain, model: str, init_times: Times) -> ForecastArchive:
    archive = create_forecasts(domain, model, "made for a test")
    archive.publish(
        init_times,
        values(init_times),
        model_version=VERSION,
        analysis_status=np.full(init_times.size, Status.PRELIMINARY, np.int8),
    )
    return archive
