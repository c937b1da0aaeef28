"""Domains: frozen, strict, and clear about what is wrong."""

import glob
from pathlib import Path

import numpy as np
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
        ({"baselines": ["ridge", "ridge"]}, ["baselines", "once"]),
        ({"archive.start": 2024}, ["archive.start", "ISO 8601", "2024"]),
        ({"archive.start": "2023-12-31T00:00:01"}, ["archive.start", "whole minutes"]),
        ({"archive.start": "1500-01-01"}, ["archive.start", "1678", "1500"]),
        ({"cadence_h": 0.01}, ["cadence_h", "whole minutes", "0.01"]),
        ({"grid.spacing": 1e-6}, ["spacing", "0.01", "1e-06"]),
        ({"quality.minimum_k": float("nan")}, ["quality.minimum_k", "finite", "nan"]),
        ({"quality.minimum_k": 400}, ["quality", "below maximum_k", "400"]),
        ({"schedule.ingest": "hourly"}, ["schedule.ingest", "'hourly'"]),
        ({"place": [10.0, 2.0]}, ["place", "inside the grid", "54..42 N", "10.0"]),
        ({"dask.cluster": "moon"}, ["dask.cluster", "'moon'"]),
        ({"root": "s3://bucket/data"}, ["root", "folder", "s3://bucket/data"]),
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


def test_yaml_cannot_run_code(tmp_path: Path) -> None:
    path = tmp_path / "evil.yaml"
    path.write_text("domain: !!python/object/apply:os.system ['touch /tmp/pwned']\n")
    with pytest.raises(ConfigError, match="valid YAML"):
        load_domain(path)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("archive: {start: 2024-02-30}", "day is out of range"),
        ("history: 3\nhistory: 4", "key history twice"),
        ("description: " + "[" * 5000, "recursion"),
        ("description: 'no end", "end of stream"),
    ],
    ids=["no such day", "a key twice", "endless nesting", "open quote"],
)
def test_yaml_that_cannot_be_read_is_refused_naming_the_file(
    tmp_path: Path, line: str, expected: str
) -> None:
    path = tmp_path / "odd.yaml"
    path.write_text(f"{line}\n")
    with pytest.raises(ConfigError, match=expected) as caught:
        load_domain(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("key", ["description: *a8", "source: {name: files, paths: [*a8]}"])
def test_a_few_lines_that_stand_for_a_billion_words_are_refused_in_one(
    tmp_path: Path, key: str
) -> None:
    path = tmp_path / "bomb.yaml"
    levels = [f"a{i}: &a{i} [{','.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 9)]
    path.write_text("\n".join(["a0: &a0 [x,x,x,x,x,x,x,x,x,x]", *levels, key]))
    with pytest.raises(ConfigError) as caught:
        load_domain(path)
    assert len(str(caught.value)) < 5000


def test_times_in_a_domain_are_read_as_utc_in_every_spelling(tmp_path: Path) -> None:
    for spelling in ("2023-12-31", "20231231", "2023-12-31T02:00+02:00", "2023-12-31 00:00Z"):
        domain = load_domain("demo", overrides={"archive.start": spelling})
        assert domain.start == np.datetime64("2023-12-31", "ns")


def test_keys_may_be_merged_from_an_anchor(tmp_path: Path) -> None:
    path = tmp_path / "merged.yaml"
    content = load_domain("demo").to_yaml().replace("networks:\n  lsntp:", "networks:\n  lsntp: &a")
    path.write_text(
        content.replace("baselines:", "  two: {<<: *a, target: anomaly}\nbaselines:", 1)
    )
    networks = load_domain(path).networks
    assert networks["two"] == networks["lsntp"].model_copy(update={"target": "anomaly"})


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


def test_a_folder_with_the_signs_of_a_pattern_is_taken_literally(tmp_path: Path) -> None:
    folder = tmp_path / "run [1]"
    folder.mkdir()
    (folder / "mine.yaml").write_text(load_domain("demo").to_yaml())
    (folder / "a.nc").touch()
    override = {"source": {"name": "files", "paths": ["*.nc"]}}
    source = load_domain(folder / "mine.yaml", overrides=override).source
    assert source.name == "files"
    assert [Path(found).name for found in glob.glob(source.paths[0])] == ["a.nc"]


def test_the_root_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LSNTP_ROOT", "/srv/lsntp")
    assert load_domain("demo").root == "/srv/lsntp"
