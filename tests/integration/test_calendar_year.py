"""A simulated year, tick by tick over month and year ends and the leap day, as in one go."""

import base64
import datetime as dt
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from PIL import Image

from lsntp.archives.analysis import AnalysisArchive
from lsntp.archives.coverage import Coverage, coverage
from lsntp.config import Domain
from lsntp.evaluation.scoring import evaluate
from lsntp.forecasting import forecast
from lsntp.ingest import ingest
from lsntp.names import Status
from lsntp.report.calendar import calendar
from lsntp.times import Instant, Period, hours, parse_time
from lsntp.training import train
from lsntp.training_data.climatology import Climatology, ClimatologySums, hours_of_day
from lsntp.workspace import Workspace

START, END = parse_time("2023-12-01"), parse_time("2025-01-10")
DAYS_OF_MONTH = [31, 31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31, 9]
"""December 2023 to the ninth of January 2025; 2024 is a leap year."""
TRAINED = parse_time("2024-01-31")
SCORED = [parse_time(day) for day in ("2024-02-29", "2024-03-01", "2024-12-31", "2025-01-01")]
DAY = hours(24)
CONTENT: dict[str, Any] = {
    "domain": "year",
    "source": {"name": "synthetic", "seed": 1, "spacing": 5.0},
    "grid": {"kind": "regular", "north": 50, "south": 45, "west": 0, "east": 10, "spacing": 5},
    "history": 2,
    "horizon": 2,
    "archive": {"start": "2023-12-01"},
    "split": {
        "train": {"start": "2023-12-01", "end": "2024-01-10"},
        "validation": {"start": "2024-01-10", "end": "2024-01-20"},
        "test": {"start": "2024-01-20", "end": "2025-01-10"},
    },
    "baselines": ["persistence"],
}


def make_domain(root: Path, cadence_h: int) -> Domain:
    return Domain.model_validate(CONTENT | {"cadence_h": cadence_h, "root": str(root)})


def tick(domain: Domain, now: Instant) -> None:
    """What the schedule does at ``now``, when the analysis of ``now`` has just come out."""
    ingest(domain, period=Period(START, now + domain.cadence), clock=lambda: now)


def score(domain: Domain) -> None:
    """Forecast and evaluate what is due."""
    forecast(domain)
    evaluate(domain)


def month_starts() -> np.ndarray[Any, np.dtype[np.datetime64]]:
    return np.arange("2024-01", "2025-02", dtype="datetime64[M]").astype("datetime64[ns]")


def ticks(cadence: np.timedelta64) -> list[Instant]:
    """Every step within a day of the turn of a month, and the last."""
    times = np.arange(START, END, cadence)
    near = np.abs(times[:, None] - month_starts()).min(axis=1) <= DAY
    near[-1] = True
    return list(times[near])


@pytest.fixture(
    scope="module",
    params=[pytest.param(cadence, marks=pytest.mark.slow) for cadence in (12, 1)],
)
def cadence_h(request: pytest.FixtureRequest) -> int:
    return int(request.param)


@pytest.fixture(scope="module")
def lived(tmp_path_factory: pytest.TempPathFactory, cadence_h: int) -> Domain:
    """The year as it went by."""
    domain = make_domain(tmp_path_factory.mktemp("lived"), cadence_h)
    for now in ticks(domain.cadence):
        tick(domain, now)
        if now == TRAINED:
            train(domain)
        if now in SCORED:
            score(domain)
    score(domain)
    return domain


@pytest.fixture(scope="module")
def at_once(tmp_path_factory: pytest.TempPathFactory, cadence_h: int) -> Domain:
    """The same year, undisturbed: one ingest, one training, one forecast, one evaluation."""
    domain = make_domain(tmp_path_factory.mktemp("once"), cadence_h)
    tick(domain, END)
    train(domain)
    score(domain)
    return domain


def read(path: Path) -> xr.Dataset:
    """An archive without what the clock decides."""
    with xr.open_zarr(path, chunks=None) as dataset:
        return dataset.drop_vars(["ingested_at", "model_version"], errors="ignore").load()


def same(one: xr.Dataset, other: xr.Dataset) -> None:
    xr.testing.assert_identical(one.drop_attrs(), other.drop_attrs())


def test_a_year_of_ticks_leaves_the_archives_of_one_run(lived: Domain, at_once: Domain) -> None:
    one, other = Workspace.of(lived), Workspace.of(at_once)
    same(read(one.analysis), read(other.analysis))
    for model in lived.model_names:
        same(read(one.forecast(model)), read(other.forecast(model)))
    same(read(one.evaluation), read(other.evaluation))


def test_every_step_of_the_calendar_is_stored_once(lived: Domain, cadence_h: int) -> None:
    stored = read(Workspace.of(lived).analysis)["time"].values
    moment, expected = dt.datetime(2023, 12, 1), []
    while moment < dt.datetime(2025, 1, 10):
        expected.append(moment)
        moment += dt.timedelta(hours=cadence_h)
    assert len(expected) == 24 // cadence_h * sum(DAYS_OF_MONTH)
    np.testing.assert_array_equal(stored, np.array(expected, "datetime64[ns]"))


def test_monthly_maps_count_the_days_of_their_month(lived: Domain, cadence_h: int) -> None:
    maps = read(Workspace.of(lived).evaluation).sel(model="persistence")
    np.testing.assert_array_equal(
        maps["month"], np.arange("2023-12", "2025-02", dtype="M8[M]").astype("M8[ns]")
    )
    expected = 24 // cadence_h * np.array(DAYS_OF_MONTH)[:, None] * np.ones(2, int)
    expected[-1] -= [1, 2]  # no truth yet for the last steps
    np.testing.assert_array_equal(maps["map_count"], expected)


@pytest.mark.parametrize("month", ["2023-12", "2024-02", "2024-12"])
def test_a_months_map_sums_the_errors_of_its_own_initial_times(lived: Domain, month: str) -> None:
    fields = read(Workspace.of(lived).analysis)["t2m"].astype(np.float64)
    maps = read(Workspace.of(lived).evaluation).sel(model="persistence", month=month)
    for lead in (0, 1):
        error = fields.values[: -lead - 1] - fields.values[lead + 1 :]
        chosen = fields["time"].values.astype("M8[M]")[: -lead - 1] == np.datetime64(month)
        found = maps["map_error_sum"].isel(lead_time=lead).squeeze("month")
        np.testing.assert_allclose(found, error[chosen].sum(axis=0), atol=1e-3)


def test_coverage_and_calendar_know_the_leap_day(lived: Domain, cadence_h: int) -> None:
    archive = AnalysisArchive.open(Workspace.of(lived).analysis)
    known = coverage(archive, START, lived.cadence, Period(START, END))
    assert known.is_complete
    leap_day = Period.parse("2024-02-29", "2024-03-01")
    holed = Coverage(
        known.times,
        np.where(leap_day.contains(known.times), Status.MISSING, known.status).astype(np.int8),
        known.cadence,
    )
    (gap,) = [run for run in holed.runs() if run.status == Status.MISSING]
    assert (gap.start, gap.end) == (leap_day.start, leap_day.end)

    rows = 24 // cadence_h
    strips = calendar(holed, {}).strips
    opaque = [_pixels(strip.image)[..., 3] > 0 for strip in strips]
    assert [picture.shape for picture in opaque] == [(rows, 31), (rows, 366), (rows, 9)]
    assert opaque[0].all()
    assert opaque[2].all()
    np.testing.assert_array_equal(np.flatnonzero(~opaque[1].any(axis=0)), [31 + 28])
    assert opaque[1].sum() == rows * 365


def _pixels(uri: str) -> np.ndarray[Any, np.dtype[np.uint8]]:
    data = base64.b64decode(uri.partition(",")[2])
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGBA"))


@pytest.mark.parametrize("time", ["2020-02-29", "2024-02-29", "2024-12-31", "2025-12-31"])
def test_the_climatology_of_a_cosine_year_is_that_cosine_on_days_60_365_and_366(time: str) -> None:
    """280 K + 10 K cos(2 pi (elapsed share of the year)): once around, however long the year."""
    times = np.arange("2023-01-01", "2025-01-01", dtype="M8[D]").astype("M8[ns]")
    hour = hours_of_day(times[0], DAY)
    sums = ClimatologySums.of(times, _cosine(times), hour, seasonal=True)
    climatology = Climatology(sums.solve().astype(np.float32), hour)
    asked = np.array([time], "M8[ns]")
    np.testing.assert_allclose(climatology.at(asked), _cosine(asked), atol=2e-4)


def _cosine(times: Any) -> np.ndarray[Any, np.dtype[np.float32]]:
    shares = []
    for day in times.astype("M8[D]").tolist():
        length = 366 if day.year % 4 == 0 else 365
        shares.append((day.timetuple().tm_yday - 1) / length)
    values = 280 + 10 * np.cos(2 * np.pi * np.array(shares))
    return values[:, None, None].astype(np.float32)
