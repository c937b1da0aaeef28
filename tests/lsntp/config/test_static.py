from pathlib import Path

import pytest

from lsntp.config import load_domain
from lsntp.errors import ConfigError


def test_a_preset_has_no_static_fields_unless_it_says_so() -> None:
    assert load_domain("demo").static is None


def test_relative_paths_start_at_the_file_and_survive_being_stored(tmp_path: Path) -> None:
    text = load_domain("demo").to_yaml().replace("static: null", "static: {paths: [z.grib]}")
    (tmp_path / "own.yaml").write_text(text)
    domain = load_domain(tmp_path / "own.yaml")
    assert domain.static is not None
    assert domain.static.paths == (str(tmp_path / "z.grib"),)
    (tmp_path / "stored.yaml").write_text(domain.to_yaml())
    assert load_domain(tmp_path / "stored.yaml") == domain


@pytest.mark.parametrize("section", ["{paths: []}", "{source: web, paths: [a]}", "{path: a}"])
def test_a_section_that_is_wrong_is_refused_by_its_key(tmp_path: Path, section: str) -> None:
    text = load_domain("demo").to_yaml().replace("static: null", f"static: {section}")
    (tmp_path / "own.yaml").write_text(text)
    with pytest.raises(ConfigError, match="static"):
        load_domain(tmp_path / "own.yaml")


@pytest.mark.parametrize("source", ["era5", "gfs"])
def test_a_service_needs_no_more_than_its_name(tmp_path: Path, source: str) -> None:
    text = load_domain("demo").to_yaml().replace("static: null", f"static: {{source: {source}}}")
    (tmp_path / "own.yaml").write_text(text)
    domain = load_domain(tmp_path / "own.yaml")
    assert domain.static is not None
    assert domain.static.source == source
    (tmp_path / "stored.yaml").write_text(domain.to_yaml())
    assert load_domain(tmp_path / "stored.yaml") == domain
