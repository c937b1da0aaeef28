"""A page's worth of made-up data on a real grid: the British Isles, or a synthetic domain."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import xarray as xr

from lsntp.archives.analysis import AnalysisArchive
from lsntp.archives.coverage import Coverage
from lsntp.archives.quarantine import Quarantine, Rejection
from lsntp.config import Domain, load_domain
from lsntp.evaluation.bootstrap import Interval
from lsntp.evaluation.metrics import METRICS
from lsntp.evaluation.table import Skill, SkillTable
from lsntp.grid import Grid
from lsntp.names import Status
from lsntp.report.data import Case, ErrorMap, Fact, Links, ReportData
from lsntp.times import Period, hours, parse_time
from lsntp.workspace import Workspace

NETWORK = "lsntp-increment"
INIT = parse_time("2019-03-31T12")

MakeData = Callable[..., ReportData]


@pytest.fixture(scope="session")
def uk() -> Domain:
    return load_domain("era5-uk")


@pytest.fixture(scope="session")
def make_data() -> MakeData:
    """``make_data(mae={model: K}, **changes)``: lower MAE ranks first."""

    def make(mae: dict[str, float] | None = None, **changes: Any) -> ReportData:
        domain = changes.pop("domain", load_domain("era5-uk"))
        return replace(report_data(domain, mae or default_mae(domain)), **changes)

    return make


@pytest.fixture(scope="session")
def scored(_trained_root, make_domain, tmp_path_factory):
    """The small domain, trained, with every forecast of the first two test days scored."""
    from lsntp.evaluation.scoring import evaluate
    from lsntp.forecasting import forecast

    root = tmp_path_factory.mktemp("scored") / "root"
    shutil.copytree(_trained_root, root)
    domain = make_domain(root, place=(47.0, 3.0), bootstrap_samples=100)
    forecast(domain, period=Period.parse("2021-01-12", "2021-01-14"))
    evaluate(domain)
    return domain


@pytest.fixture(scope="session")
def site(scored, tmp_path_factory):
    """The small domain's whole report with three rejected fields, read-only: its folder."""
    from lsntp.report import write_report

    root = tmp_path_factory.mktemp("site") / "root"
    shutil.copytree(scored.root, root)
    domain = scored.model_copy(update={"root": str(root)})
    reject_three(domain)
    return write_report(domain).parent


def reject_three(domain):
    """Quarantine a field with a hole, a constant one and an infinite one."""
    archive = AnalysisArchive.open(Workspace.of(domain).analysis)
    times = archive.times[30:33]
    fields = archive.read(times)
    fields[0, 1:3, 2:5], fields[1], fields[2, 0, 0] = np.nan, 280.0, np.inf
    reasons = (
        "Expected a temperature in every cell, found 6 of 48 (12%) NaN; the first at 49 N 2 E.",
        "Expected a field that varies, found 280.00 K in all 48 cells.",
        "Expected a temperature in every cell, found 1 of 48 (2%) infinite; the first at 50 N 0 E.",
    )
    quarantine = Quarantine(Workspace.of(domain).quarantine)
    for index, (time, reason) in enumerate(zip(times, reasons, strict=True)):
        frame = xr.Dataset(
            {
                "t2m": (("time", "latitude", "longitude"), fields[index : index + 1]),
                "status": ("time", np.array([Status.FINAL], np.int8)),
                "source_digest": (("time", "digest_byte"), np.full((1, 32), index, np.uint8)),
            },
            {
                "time": [time],
                "latitude": archive.grid.latitude,
                "longitude": archive.grid.longitude,
            },
        )
        quarantine.put(Rejection(time, (reason,)), frame)


def default_mae(domain: Domain) -> dict[str, float]:
    values = (1.02, 1.31, 1.83, 0.92, 0.655, 0.61)
    networks = {name: 0.74 + 0.1 * index for index, name in enumerate(domain.networks)}
    return dict(zip(domain.baselines, values, strict=True)) | networks


def report_data(domain: Domain, mae: dict[str, float]) -> ReportData:
    grid = domain.target_grid
    table = skill_table(domain, mae)
    best = [table.winner, *(name for name in table.models if name in domain.networks)][:2]
    times = domain.start + np.arange(31 * 24) * domain.cadence
    status = np.full(times.size, Status.FINAL, np.int8)
    status[200:206], status[340], status[600:744] = Status.MISSING, Status.QUARANTINED, 1
    return ReportData(
        domain=domain,
        table=table,
        forecast_path="/archives/forecasts/era5-uk/ridge.zarr",
        example_init=INIT,
        cases=(
            case("The last forecast of the test period", domain, seed=1),
            case("The worst one", domain, seed=2),
        ),
        error_maps=tuple(
            ErrorMap(name, 0.6 + 0.3 * waves(grid, 5 + i), 0.2 * waves(grid, 9 + i))
            for i, name in enumerate(dict.fromkeys(best))
        ),
        links=links(grid, domain.place or (51.5, -0.1)),
        links_note="No network has been trained.",
        coverage=Coverage(times, status, domain.cadence),
        facts=(
            Fact("Analysis digest", "3f6c2d1e"),
            Fact("Training period", "2019-03-01 to 2019-03-19"),
            Fact("Seed of lsntp-increment", "1"),
        ),
    )


def waves(grid: Grid, seed: int) -> np.ndarray[Any, np.dtype[np.float64]]:
    """A smooth field between -1 and 1."""
    random = np.random.default_rng(seed)
    y, x = np.radians(grid.latitude)[:, None], np.radians(grid.longitude)[None, :]
    terms = [
        np.sin(a * y + b * x + c)
        for a, b, c in zip(*random.uniform([[8], [8], [0]], [[60], [60], [6]], (3, 6)), strict=True)
    ]
    return np.asarray(np.mean(terms, axis=0))


def case(title: str, domain: Domain, seed: int) -> Case:
    grid = domain.target_grid
    ramp = np.broadcast_to(290.0 - 0.8 * (grid.latitude - 50.0)[:, None], grid.shape)
    leads = domain.lead_times
    truth = np.stack([ramp + 3 * waves(grid, seed) + k * 0.4 for k in range(leads.size)])
    error = np.stack([0.3 * (k + 1) * waves(grid, seed + 50) for k in range(leads.size)])
    return Case(title, "ridge", INIT, leads, truth + error, truth, is_preliminary=False)


def links(grid: Grid, place: tuple[float, float]) -> Links:
    row, column = grid.nearest_cell(*place)
    weights = np.exp(0.3 * waves(grid, 3) - grid.distance_km(*place) / 900)
    return Links(
        NETWORK, f"{NETWORK}-0123456789ab", place, (row, column), grid, weights / weights.sum()
    )


def skill_table(domain: Domain, mae: dict[str, float]) -> SkillTable:
    models = sorted(mae, key=mae.__getitem__)
    leads = domain.lead_times
    growth = np.linspace(0.55, 1.45, leads.size)
    rising = {"mae": 1.0, "rmse_pooled": 1.36, "rmse_per_image": 1.3, "rmse_per_cell": 1.2}
    falling = {"acc": (1.0, 0.1), "psnr_paper": (48.0, 3.0), "psnr_data_range": (35.0, 3.0)}

    def score(metric: str, model: str) -> Any:
        if metric in rising | {"rmse_psnr": 0}:
            return rising.get(metric, 1.25) * mae[model] * growth
        perfect, loss = falling.get(metric, (0.97, 0.02))
        return 0.05 * growth - 0.08 if metric == "bias" else perfect - loss * mae[model] * growth

    data = {
        metric: (
            ("weighting", "model", "lead_time"),
            np.stack([[score(metric, model) for model in models]] * 2),
        )
        for metric in METRICS
    }
    baselines = [name for name in models if name not in domain.networks]

    def against(model: str, other: str) -> Skill:
        estimate = 1 - mae[model] / mae[other]
        return Skill(*2 * [Interval(estimate, estimate - 0.04, estimate + 0.03)])

    return SkillTable(
        domain=domain.domain,
        period=domain.split.test.period,
        init_times=domain.split.test.period.start + np.arange(216) * hours(1),
        scores=xr.Dataset(
            data, {"weighting": ["plain", "area"], "model": models, "lead_time": leads}
        ),
        kinds={name: "network" if name in domain.networks else "baseline" for name in models},
        versions={name: (f"{name}-0123456789ab",) for name in models},
        skill={m: {b: against(m, b) for b in baselines if b != m} for m in models},
        winner_skill=against(models[0], models[1]) if len(models) > 1 else None,
        weighting="area",
        unscored=(),
        seen=0,
        preliminary_frames=0,
        data_range_k=30.0,
    )
