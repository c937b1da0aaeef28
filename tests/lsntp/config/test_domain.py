"""Domains: frozen, strict, and clear about what is wrong."""

import numpy as np
import pytest
from pydantic import ValidationError

from lsntp.config import GfsSource, load_domain
from lsntp.errors import ConfigError


@pytest.mark.parametrize(
    ("preset", "shape", "cadence_h"),
    [
        ("era5-hourly", (77, 125), 1),
        ("ncep-6hourly", (21, 35), 6),
        ("gfs-6hourly", (77, 125), 6),
        ("ncep-north-america", (25, 53), 6),
        ("era5-uk", (33, 49), 1),
    ],
)
def test_presets_have_the_published_grids(
    preset: str, shape: tuple[int, int], cadence_h: float
) -> None:
    domain = load_domain(preset)
    assert domain.target_grid.shape == shape
    assert domain.cadence_h == cadence_h
    assert (domain.history, domain.horizon) == (6, 6)


@pytest.mark.parametrize("preset", ["era5-hourly", "ncep-6hourly", "gfs-6hourly"])
def test_presets_of_full_size_train_on_whole_years(preset: str) -> None:
    """Two of them: from less, a climatology does not know the season."""
    train = load_domain(preset).split.train.period
    first, last = train.start.astype("datetime64[D]"), train.end.astype("datetime64[D]")
    assert str(first).endswith("-01-01")
    assert str(last) == f"{int(str(first)[:4]) + 2}-01-01"


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ({"source.nmae": 1}, "unknown key source.nmae; remove it or correct its spelling"),
        ({"grid.nort": 3}, "unknown key grid.nort; remove it or correct its spelling"),
        (
            {"networks.lsntp.architecture.hiden": 3},
            "unknown key networks.lsntp.architecture.hiden; remove it or correct its spelling",
        ),
        (
            {"static": {"source": "era5", "retries": -1}},
            "static.retries: Input should be greater than or equal to 0, found -1",
        ),
        (
            {"static": {"paths": [1, "a"]}},
            "static.paths.0: Input should be a valid string, found 1",
        ),
        ({"static": {"source": "files"}}, "static.paths: Field required"),
        (
            {"regions": {"a": {"north": 1, "south": 3, "west": 1, "east": 2}}},
            "regions.a: expected north > south and east > west (a box across the date line is not "
            "supported), found 3..1 N, 1..2 E",
        ),
        ({"source": 5}, "source: Input should be a valid dictionary"),
        ({"regions": {"A B": {}}}, "regions.A B.[key]: String should match pattern"),
    ],
)
def test_a_fault_is_told_by_the_key_that_is_in_the_file(override, expected):
    with pytest.raises(ConfigError) as error:
        load_domain("demo", overrides=override)
    assert str(error.value).splitlines()[0].startswith(f"preset demo: {expected}")


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ({"colour": 1}, ["preset demo", "unknown key colour"]),
        ({"grid.spacing": "wide"}, ["spacing", "valid number", "'wide'"]),
        ({"cadence_h": 5}, ["cadence_h", "divides 24", "5"]),
        ({"domain": "../etc"}, ["domain", "'../etc'"]),
        ({"archive": {}}, ["archive.start", "required"]),
        ({"archive.start": "2024-02-01"}, ["archive.start", "split.train.start"]),
        ({"split.validation.start": "2024-02-01"}, ["order without overlap"]),
        ({"split.train.end": "2023-01-01"}, ["split.train", "before its end"]),
        ({"networks.ridge": {}}, ["baseline's name", "ridge"]),
        ({"networks.champion": {}}, ["not be named champion"]),
        ({"networks.net-0123456789ab": {}}, ["named like versions", "net-0123456789ab"]),
        ({"gate.days": 5}, ["gate.days", "6"]),
        ({"retrain.window": "rolling"}, ["retrain", "expected days"]),
        (
            {"source": {"name": "satellite"}},
            ["source", "files, synthetic, era5, gfs, ncep_r1", "'satellite'"],
        ),
        ({"grid.south": 60}, ["north > south"]),
        ({"baselines": ["guess"]}, ["baselines.0", "persistence"]),
        ({"baselines": ["ridge", "ridge"]}, ["baselines", "once"]),
        ({"archive.start": 2024}, ["archive.start", "ISO 8601", "2024"]),
        ({"archive.start": "2023-12-31T00:00:01"}, ["archive.start", "whole minutes"]),
        ({"archive.start": "1500-01-01"}, ["archive.start", "1678", "1500"]),
        ({"cadence_h": 0.01}, ["cadence_h", "whole minutes", "0.01"]),
        ({"grid.spacing": 1e-6}, ["spacing", "0.01", "1e-06"]),
        ({"quality.minimum_k": float("nan")}, ["quality.minimum_k", "finite", "nan"]),
        ({"quality.minimum_k": 400}, ["quality", "below maximum_k", "400"]),
        ({"schedule.ingest": "hourly"}, ["schedule.ingest", "'hourly'"]),
        ({"schedule.train": "99 * * * *"}, ["schedule.train", "'99 * * * *'"]),
        ({"retrain.pool": "tpu"}, ["retrain.pool", "'tpu'", "'gpu' or 'cpu'"]),
        ({"place": [10.0, 2.0]}, ["place", "inside the grid", "54..42 N", "10.0"]),
        ({"dask.cluster": "moon"}, ["dask.cluster", "'moon'"]),
        ({"root": "s3://bucket/../data"}, ["root", "folder", "s3://bucket/../data"]),
        ({"source": {"name": "files", "paths": [5]}}, ["paths.0", "valid string", "5"]),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_faults_name_file_key_value_and_what_is_allowed(
    override: dict[str, object], expected: list[str]
) -> None:
    with pytest.raises(ConfigError) as caught:
        load_domain("demo", overrides=override)
    for part in ["preset demo", *expected]:
        assert part in str(caught.value)


def test_every_fault_is_named_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        load_domain("demo", overrides={"history": 0, "horizon": -1})
    assert len(str(caught.value).splitlines()) == 2


def test_a_domain_cannot_be_changed() -> None:
    domain = load_domain("demo")
    with pytest.raises(ValidationError, match="frozen"):
        domain.history = 3  # type: ignore[misc]


def test_times_in_a_domain_are_read_as_utc_in_every_spelling() -> None:
    for spelling in ("2023-12-31", "20231231", "2023-12-31T02:00+02:00", "2023-12-31 00:00Z"):
        domain = load_domain("demo", overrides={"archive.start": spelling})
        assert domain.start == np.datetime64("2023-12-31", "ns")


# --- forecasts of the source itself ------------------------------------------------------------


def test_a_gfs_domain_has_the_forecasts_of_gfs_among_its_models() -> None:
    domain = load_domain("gfs-6hourly")
    assert domain.guidance == ("gfs", "gfs-bias-corrected")
    assert domain.model_names == (*domain.baselines, *domain.guidance, *domain.networks)
    assert domain.trained_names == (*domain.baselines, *domain.networks)
    without = load_domain("gfs-6hourly", overrides={"source.forecasts": False})
    assert without.guidance == ()
    assert load_domain("demo").guidance == ()


def test_a_gfs_domain_is_scheduled_after_its_runs_are_published() -> None:
    domain = load_domain("gfs-6hourly")
    minute, hours_of_day, *_ = domain.schedule.ingest.split()
    spans = [span.split("-") for span in hours_of_day.split(",")]
    assert [int(first) % 6 for first, _ in spans] == [3, 3, 3, 3]
    assert isinstance(domain.source, GfsSource)
    assert 3 + int(minute) / 60 > domain.source.publication_h


@pytest.mark.parametrize("resolution", ["0p50", "1p00"])
def test_steps_that_gfs_does_not_have_are_refused(resolution: str) -> None:
    hourly = {"source.resolution": resolution, "cadence_h": 1}
    with pytest.raises(ConfigError, match=r"no forecasts 1 h ahead.*source\.forecasts: false"):
        load_domain("gfs-6hourly", overrides=hourly)
    load_domain("gfs-6hourly", overrides=hourly | {"source.forecasts": False})


@pytest.mark.parametrize(
    ("resolution", "step_h", "is_there"),
    [
        ("0p25", 1, True),
        ("0p25", 120, True),
        ("0p25", 121, False),
        ("0p25", 123, True),
        ("0p25", 384, True),
        ("0p25", 387, False),
        ("0p25", 0.5, False),
        ("1p00", 3, True),
        ("1p00", 4, False),
    ],
)
def test_gfs_is_hourly_to_120_h_at_a_quarter_degree_and_3_hourly_otherwise(
    resolution: str, step_h: float, is_there: bool
) -> None:
    source = GfsSource.model_validate({"resolution": resolution})
    assert source.has_step(step_h) is is_there


def test_no_network_takes_the_name_of_a_forecast_of_the_source() -> None:
    with pytest.raises(ConfigError, match="baseline's name"):
        load_domain("demo", overrides={"networks.gfs": {}})
