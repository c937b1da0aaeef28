"""`lsntp compare`: what is printed, drawn and refused."""

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from typer.testing import CliRunner

from flows.cli import app, main

WORLD = Path(__file__).parents[1] / "lsntp" / "evaluation" / "conftest.py"


def world_module() -> ModuleType:
    spec = importlib.util.spec_from_file_location("evaluation_world", WORLD)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def domain_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A domain with scored forecasts on eight days: ridge misses by 1 K, lsntp by 3 K."""
    from lsntp.evaluation.scoring import evaluate

    folder = tmp_path_factory.mktemp("compare")
    world = world_module().make_world(folder)
    world.ingest(world.times[:56])
    world.prepare()
    world.forecast("ridge", world.times[24:54], 1.0)
    world.forecast("lsntp", world.times[24:54], lambda times: np.full(times.size, 3.0))
    evaluate(world.domain)
    return folder / "small.yaml"


def invoke(domain_file: Path, *arguments: str) -> str:
    span = ["--from", "2024-01-26", "--to", "2024-02-03"]
    done = CliRunner().invoke(app, ["compare", str(domain_file), *arguments, *span])
    assert done.exit_code == 0, done.output
    return done.output


def test_it_says_who_is_better_by_how_much_and_over_how_many_days(domain_file: Path) -> None:
    shown = invoke(domain_file, "lsntp", "ridge")
    assert "ridge is better than lsntp by 2.000 K [2.000, 2.000], MAE; 8 days." in shown
    assert "+12 h" in shown


def test_json_and_a_picture(domain_file: Path, tmp_path: Path) -> None:
    picture = tmp_path / "hours.png"
    found = json.loads(
        invoke(
            domain_file,
            "lsntp",
            "ridge",
            "--by",
            "hour",
            "--metric",
            "rmse",
            "--region",
            "sea",
            "--plot",
            str(picture),
            "--json",
        )
    )
    assert (found["better"], found["region"], len(found["rows"])) == ("ridge", "sea", 4)
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_a_model_that_is_none_names_those_there_are(
    domain_file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["lsntp", "compare", str(domain_file), "ridge", "guess"])
    with pytest.raises(SystemExit) as caught:
        main()
    assert caught.value.code == 11
    shown = capsys.readouterr().err
    assert "found guess; scored are ridge, lsntp" in shown
    assert "Traceback" not in shown


def test_a_period_without_an_end_is_said_without_one(
    domain_file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["lsntp", "compare", str(domain_file), "ridge", "lsntp", "--from", "2025-01-01"]
    monkeypatch.setattr(sys, "argv", words)
    with pytest.raises(SystemExit) as caught:
        main()
    assert caught.value.code == 11
    assert "in 2025-01-01T00:00Z.., found none" in capsys.readouterr().err
