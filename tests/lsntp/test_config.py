"""Domains: frozen, strict, and clear about what is wrong."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from lsntp.config import load_domain, preset_names
from lsntp.errors import ConfigError


@pytest.fixture(autouse=True)
def _no_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LSNTP_ROOT", raising=False)


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


def test_every_preset_survives_being_written_and_read(tmp_path: Path) -> None:
    for name in preset_names():
        domain = load_domain(name)
        path = tmp_path / f"{name}.yaml"
        path.write_text(domain.to_yaml())
        assert load_domain(path) == domain


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
        ({"source": {"name": "satellite"}}, ["source", "'files', 'synthetic'"]),
        ({"grid.south": 60}, ["north > south"]),
        ({"baselines": ["guess"]}, ["baselines.0", "persistence"]),
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


def test_yaml_cannot_run_code(tmp_path: Path) -> None:
    path = tmp_path / "evil.yaml"
    path.write_text("domain: !!python/object/apply:os.system ['touch /tmp/pwned']\n")
    with pytest.raises(ConfigError, match="valid YAML"):
        load_domain(path)


def test_a_missing_file_names_the_presets(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="demo") as caught:
        load_domain(tmp_path / "none.yaml")
    assert "none.yaml" in str(caught.value)


def test_paths_start_at_the_yaml_and_may_hold_variables(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MY_DATA", "/data")
    text = load_domain("demo").to_yaml()
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    override = {"source": {"name": "files", "paths": ["raw/*.nc", "${MY_DATA}/a.grib"]}}
    source = load_domain(path, overrides=override).source
    assert source.name == "files"
    assert source.paths == (str(tmp_path / "raw/*.nc"), "/data/a.grib")


def test_the_root_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LSNTP_ROOT", "/srv/lsntp")
    assert load_domain("demo").root == "/srv/lsntp"
