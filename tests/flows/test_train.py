"""``lsntp train``: what is judged when, and what a network that fails leaves behind."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from flows.cli import main
from flows.train import why_nothing_new
from lsntp.config import RetrainConfig
from lsntp.errors import ModelError
from lsntp.training.champion import champion_of
from lsntp.training.decisions import decisions_of
from lsntp.training.versions import latest_version, list_versions
from lsntp.workspace import Workspace
from tasks.train import plan_training
from tests.lsntp.conftest import publish_small, small_domain
from tests.lsntp.training.made_versions import gate_domain, truth

TINY = {
    "architecture": {"name": "lsntp", "hidden": 2, "embedding": 2},
    "training": {"epochs": 1, "warmup": 0.0},
}
ENDLESS = {**TINY, "training": {**TINY["training"], "learning_rate": 1e12, "gradient_clip": None}}
"""Steps so large that the loss is not finite at the second one."""


@pytest.fixture
def domain(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A few days, their YAML in the working folder; a good network stands behind a hopeless one."""
    monkeypatch.delenv("LSNTP_ROOT", raising=False)
    monkeypatch.chdir(tmp_path)
    made = gate_domain(
        small_domain,
        tmp_path / "root",
        baselines=["persistence", "climatology"],
        networks={"hopeless": ENDLESS, "later": TINY},
    )
    publish_small(made, truth(made, swing_k=5.0))
    Path("small.yaml").write_text(made.to_yaml())
    return made


def code_of(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["lsntp", *arguments])
    with pytest.raises(SystemExit) as caught:
        main()
    return int(caught.value.code or 0)


def models(domain: Any) -> set[str]:
    return {version.model for version in list_versions(Workspace.of(domain).models)}


def test_a_network_that_fails_stops_no_other_and_is_named_at_the_end(
    domain: Any, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    assert code_of(monkeypatch, "train", "small.yaml") == 10
    assert champion_of(domain) is not None
    assert models(domain) == {"persistence", "climatology", "later"}
    last = capfd.readouterr().err.strip().splitlines()
    assert any("hopeless: Expected a finite" in line for line in last[-10:])
    (newest,) = [v for v in list_versions(Workspace.of(domain).models) if v.model == "later"]
    assert plan_training.fn(domain, fine_tune_from="later") == ([("later",)], newest.version)
    with pytest.raises(ModelError, match=r"Expected networks to fine-tune .* found baselines"):
        plan_training.fn(domain, fine_tune_from="champion")


def test_what_cannot_be_trained_is_refused_before_anything_is(
    domain: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    frozen = "--set=networks.later.training.freeze=[encoder1]"
    assert code_of(monkeypatch, "train", "small.yaml", frozen) == 10
    assert models(domain) == set()


def test_who_waits_for_new_versions_is_told_why_there_are_none(domain: Any) -> None:
    there, new = {"created": False}, {"created": True}

    assert why_nothing_new(domain, [there, new]) is None
    assert why_nothing_new(domain, []) is None
    fixed = why_nothing_new(domain, [there])
    moving = why_nothing_new(
        domain.model_copy(update={"retrain": RetrainConfig(window="expanding")}), [there, there]
    )

    assert fixed is not None
    assert moving is not None
    for part in ("retrain.window: fixed", "window: rolling", "training to 2021-01-"):
        assert part in fixed
    assert "fixed" not in moving


def test_what_the_gate_compared_can_be_compared_again(
    domain: Any, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    only = ("train", "small.yaml", "--model=persistence", "--model=climatology", "--model=later")
    assert code_of(monkeypatch, *only, "--set=gate.archive=false") == 0
    assert not Workspace.of(domain).forecasts.exists()
    assert code_of(monkeypatch, *only) == 0
    (later,) = [v.version for v in list_versions(Workspace.of(domain).models) if v.model == "later"]
    bar = decisions_of(domain, later)[-1].champion
    assert bar is not None
    # a baseline is judged, too, but there are many of them at every training
    assert code_of(monkeypatch, "train", "small.yaml", "--model=persistence", "--force") == 0
    newest = latest_version(Workspace.of(domain).models, "persistence")
    assert newest is not None
    assert decisions_of(domain, newest.version)[-1].window is not None
    assert {path.stem for path in Workspace.of(domain).forecasts.glob("*.zarr")} == {later, bar}
    capfd.readouterr()
    assert code_of(monkeypatch, "compare", "small.yaml", later, bar, "--json") == 0
    found = json.loads(capfd.readouterr().out)
    assert found["versions"] == {later: [later], bar: [bar]}
    assert found["init_times"] > 0


def test_forecasts_that_cannot_be_kept_hide_nothing_that_was_decided(
    domain: Any, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    Workspace.of(domain).forecasts.parent.mkdir()
    Workspace.of(domain).forecasts.write_text("a file where a folder belongs")
    only = ("train", "small.yaml", "--model=persistence", "--model=climatology", "--model=later")
    assert code_of(monkeypatch, *only) == 10
    said = capfd.readouterr()
    assert champion_of(domain) is not None
    assert "is champion now" in said.out
    assert "train: later-" in said.out
    assert "forecasts to compare versions by: " in said.err
