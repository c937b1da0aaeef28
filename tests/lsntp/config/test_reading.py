"""Domain files: found, read safely, and refused by name."""

import glob
from pathlib import Path

import pytest

from lsntp.config import load_domain, preset_names
from lsntp.errors import ConfigError


def test_every_preset_survives_being_written_and_read(tmp_path: Path) -> None:
    for name in preset_names():
        domain = load_domain(name)
        path = tmp_path / f"{name}.yaml"
        path.write_text(domain.to_yaml())
        assert load_domain(path) == domain


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


def test_keys_may_be_merged_from_an_anchor(tmp_path: Path) -> None:
    path = tmp_path / "merged.yaml"
    content = load_domain("demo").to_yaml().replace("networks:\n  lsntp:", "networks:\n  lsntp: &a")
    path.write_text(content.replace("baselines:", "  two: {<<: *a, members: 2}\nbaselines:", 1))
    networks = load_domain(path).networks
    assert networks["two"] == networks["lsntp"].model_copy(update={"members": 2})


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


def test_an_override_changes_no_other_section_that_shares_its_text() -> None:
    """The networks of this preset share one recipe by an alias."""
    before = load_domain("ncep-north-america")
    key = "networks.convnet.training.seed"
    after = load_domain("ncep-north-america", overrides={key: 7})
    assert before.networks["convnet"].training == before.networks["lsntp-plus"].training
    assert after.networks["convnet"].training.seed == 7
    assert after.networks["lsntp-plus"] == before.networks["lsntp-plus"]


def test_a_domain_is_called_as_it_was_loaded(tmp_path: Path) -> None:
    """Advice names a command that can be typed: the file, not the name that stands in it."""
    file = tmp_path / "mine.yaml"
    file.write_text(load_domain("demo").to_yaml())

    found = load_domain(file)

    assert (load_domain("demo").reference, found.reference) == ("demo", str(file))
    assert found.model_copy(update={"root": "/elsewhere"}).reference == str(file)
    assert found == load_domain("demo")
