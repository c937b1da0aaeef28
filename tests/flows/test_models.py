"""``lsntp models``: list, show, compare, promote and rollback, as typed."""

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from flows.cli import app, main
from lsntp.training.champion import champion_of, champion_path
from lsntp.training.contents import RIDGE
from tests.lsntp.conftest import publish_small, small_domain
from tests.lsntp.training.made_versions import biased, gate_domain, truth


@pytest.fixture(scope="module")
def _made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """Constant truth, and versions that miss it by 1 K, 0.5 K and 2 K."""
    root = tmp_path_factory.mktemp("models") / "root"
    domain = gate_domain(small_domain, root, baselines=["ridge"])
    publish_small(domain, truth(domain))
    return root, [biased(domain, bias, bias, repeat=-index) for index, bias in BIASES]


BIASES = list(enumerate((1.0, 0.5, 2.0)))


@pytest.fixture
def made(
    _made: tuple[Path, list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[Any, list[str]]:
    """A copy to change, its YAML in the working folder."""
    monkeypatch.delenv("LSNTP_ROOT", raising=False)
    monkeypatch.chdir(tmp_path)
    shutil.copytree(_made[0], tmp_path / "root")
    domain = gate_domain(small_domain, tmp_path / "root", baselines=["ridge"])
    Path("small.yaml").write_text(domain.to_yaml())
    return domain, _made[1]


def lsntp(*arguments: str) -> str:
    result = CliRunner().invoke(app, ["models", *arguments])
    assert result.exit_code == 0, result.output
    return result.stdout


def refused(monkeypatch: pytest.MonkeyPatch, capsys: Any, *arguments: str) -> tuple[int, str]:
    """The exit code, and the one line of error."""
    monkeypatch.setattr(sys, "argv", ["lsntp", "models", *arguments])
    with pytest.raises(SystemExit) as caught:
        main()
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error:")]
    assert len(lines) == 1
    return int(caught.value.code or 0), lines[0]


def test_the_first_promotion_crowns_the_best_baseline(made: tuple[Any, list[str]]) -> None:
    domain, (one, half, _) = made
    # the newest ridge is crowned first (1 K), then the better one beats it
    shown = lsntp("promote", "small.yaml", half, "--by", "anna")
    assert shown.startswith(f"promote: {half} is champion now. RMSE 0.500 K against 1.000 K")
    champion = champion_of(domain)
    assert champion is not None
    assert (champion.version, champion.action, champion.by) == (half, "promoted", "anna")
    assert champion.history[0].version == one
    assert lsntp("promote", "small.yaml", half).startswith("promote: nothing to do")


def test_list_marks_the_champion_and_says_what_the_gate_said(made: tuple[Any, list[str]]) -> None:
    _, (one, half, two) = made
    assert not _starred()
    lsntp("promote", "small.yaml", half)
    rows = {row["version"]: row for row in json.loads(lsntp("list", "small.yaml", "--json"))}
    assert set(rows) == {one, half, two}
    assert [rows[name]["is_champion"] for name in (one, half, two)] == [False, True, False]
    assert [rows[name]["last_verdict"] for name in (one, half, two)] == [
        "promoted",
        "promoted",
        None,
    ]
    assert rows[half]["validation_mae_k"] == 0.5
    (starred,) = _starred()
    assert half in starred


def _starred() -> list[str]:
    """The rows of the table with a star."""
    lines = lsntp("list", "small.yaml").splitlines()
    return [line for line in lines if "★" in line and "ridge" in line]


def test_show_tells_recipe_periods_scores_and_decisions(made: tuple[Any, list[str]]) -> None:
    _, (_, half, _) = made
    lsntp("promote", "small.yaml", half)
    shown = lsntp("show", "small.yaml", "champion")
    for words in (half, "trained on  2021-01-01", "+6 h MAE 0.500 K", "decision", "since"):
        assert words in shown
    content = json.loads(lsntp("show", "small.yaml", half, "--json"))
    assert content["decisions"][0]["verdict"] == "promoted"
    assert content["provenance"]["recipe"]["horizon"] == 2


def test_a_worse_version_is_not_promoted_and_the_exit_code_says_so(
    made: tuple[Any, list[str]], monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    domain, (one, _, two) = made
    code, line = refused(monkeypatch, capsys, "promote", "small.yaml", two)
    assert code == 10
    assert f"{two} is kept, the champion stays. Expected a lower RMSE" in line
    champion = champion_of(domain)
    assert champion is not None
    assert champion.version == one


def test_force_promotes_a_worse_version_and_keeps_the_reason(
    made: tuple[Any, list[str]], monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    domain, (_, _, two) = made
    code, line = refused(monkeypatch, capsys, "promote", "small.yaml", two, "--force")
    assert (code, "--why TEXT" in line) == (2, True)
    shown = lsntp("promote", "small.yaml", two, "--force", "--why", "storm ahead", "--by", "bo")
    assert shown == f"champion: {two}, forced by bo: storm ahead\n"
    champion = champion_of(domain)
    assert champion is not None
    assert champion.reason == "storm ahead"


def test_force_does_not_help_what_is_not_finite(
    made: tuple[Any, list[str]], monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    domain, _ = made
    broken = biased(domain, tensors={RIDGE: np.full((2, 30), np.nan)}, repeat=-9)
    for extra in ((), ("--force", "--why", "please")):
        code, line = refused(monkeypatch, capsys, "promote", "small.yaml", broken, *extra)
        assert code == 10
        assert "not finite" in line


def test_rollback_returns_to_the_champion_before(
    made: tuple[Any, list[str]], monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    domain, (one, half, _) = made
    lsntp("promote", "small.yaml", half)
    shown = lsntp("rollback", "small.yaml", "--why", "too warm", "--by", "bo")
    assert shown == f"champion: {one}, rolled back by bo: too warm\n"
    code, line = refused(monkeypatch, capsys, "promote", "small.yaml", half)
    assert (code, "rolled back since" in line) == (10, True)
    code, line = refused(monkeypatch, capsys, "rollback", "small.yaml", "--why", "x")
    assert (code, "Expected an earlier champion" in line) == (10, True)
    lsntp("rollback", "small.yaml", "--to", half, "--why", "it was right")
    champion = champion_of(domain)
    assert champion is not None
    assert champion.version == half


def test_a_damaged_champion_is_named_and_the_versions_to_mend_it_with_are_listed(
    made: tuple[Any, list[str]], monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    domain, (one, half, _) = made
    lsntp("promote", "small.yaml", half)
    champion_path(domain).write_bytes(b'{"version": 1}')
    rows = json.loads(lsntp("list", "small.yaml", "--json"))
    assert {row["version"] for row in rows} == set(made[1])
    assert half in lsntp("show", "small.yaml", half)
    shown = CliRunner().invoke(app, ["status", "small.yaml"])
    assert shown.exit_code == 0, shown.output
    assert "champion unknown: Expected a readable" in shown.stdout
    found = CliRunner().invoke(app, ["status", "small.yaml", "--json"])
    assert found.exit_code == 0, found.output
    assert json.loads(found.stdout)["champion"] is None
    code, line = refused(monkeypatch, capsys, "promote", "small.yaml", one)
    assert (code, "promote small.yaml VERSION --force --why TEXT" in line) == (10, True)
    lsntp("promote", "small.yaml", one, "--force", "--why", "champion.json was damaged")
    champion = champion_of(domain)
    assert champion is not None
    assert champion.version == one


def test_compare_shows_every_lead_and_what_the_gate_would_say(made: tuple[Any, list[str]]) -> None:
    domain, (one, half, _) = made
    shown = lsntp("compare", "small.yaml", half, one)
    assert f"{half} would replace {one}. RMSE 0.500 K against 1.000 K" in shown
    found = json.loads(lsntp("compare", "small.yaml", one, half, "--json"))
    assert (found["days"], found["init_times"]) == (10, 40)
    assert [row["label"] for row in found["leads"]] == ["+6 h", "+12 h"]
    for row in (*found["leads"], found["mean"]):
        assert row["difference_k"] == pytest.approx(0.5, abs=1e-5)
        assert row["interval_k"] == pytest.approx([0.5, 0.5], abs=1e-5)
    assert "would not replace" in found["verdict"]
    assert champion_of(domain) is None


@pytest.mark.parametrize(
    "arguments",
    [
        ("show", "small.yaml", "lstm"),
        ("promote", "small.yaml", "../../etc"),
        ("compare", "small.yaml", "ridge", "lstm"),
        ("rollback", "small.yaml", "--to", "lstm", "--why", "x"),
    ],
)
def test_a_version_that_is_none_names_those_there_are(
    made: tuple[Any, list[str]],
    monkeypatch: pytest.MonkeyPatch,
    capsys: Any,
    arguments: tuple[str, ...],
) -> None:
    code, line = refused(monkeypatch, capsys, *arguments)
    assert code == 10
    assert made[1][0] in line


def test_two_names_of_one_version_cannot_be_compared(
    made: tuple[Any, list[str]], monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    code, line = refused(monkeypatch, capsys, "compare", "small.yaml", "ridge", made[1][0])
    assert (code, "found" in line, "twice" in line) == (10, True, True)


def test_status_names_the_champion(made: tuple[Any, list[str]]) -> None:
    _, (_, half, _) = made
    lsntp("promote", "small.yaml", half)
    for arguments in ([], ["--json"]):
        result = CliRunner().invoke(app, ["status", "small.yaml", *arguments])
        assert f"champion {half}" in result.stdout
    assert json.loads(result.stdout)["champion"] == half
