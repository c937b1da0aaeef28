"""What the commands about the life cycle of hours say."""

import pytest
from typer.testing import CliRunner

from flows import console
from flows.cli import app
from tests.lsntp.ingest_files import make_domain, weather, write

INGEST = {
    "written": 0,
    "replaced": 0,
    "quarantined": 0,
    "absent": 0,
    "left": 0,
    "holes": 0,
    "did_nothing": True,
}


@pytest.mark.parametrize(
    ("outcome", "said"),
    [
        ({}, "nothing to do, every hour the source has is stored"),
        ({"left": 12}, "is stored; 12 wait for later runs"),
        ({"did_nothing": False, "written": 3}, "3 hours written, 0 replaced, 0 quarantined, 0 did"),
        (
            {"did_nothing": False, "written": 3, "holes": 2, "left": 7},
            "0 did not come, 2 holes upstream, 7 left for later runs",
        ),
    ],
)
def test_an_ingest_says_what_is_left_and_what_upstream_lacks(outcome, said, capsys):
    console.print_ingest(INGEST | outcome)
    assert said in capsys.readouterr().out


def test_a_reconciliation_says_the_largest_change(capsys):
    outcome = {"preliminary": 744, "asked": 24, "finalised": 0, "quarantined": 0}
    console.print_reconcile(outcome | {"largest_change_k": 0.0, "did_nothing": True})
    assert "744 hours are preliminary and none of the 24" in capsys.readouterr().out
    changed = {"finalised": 744, "largest_change_k": 1.4999, "did_nothing": False}
    console.print_reconcile(outcome | changed)
    assert "744 hours are final now, 0 quarantined, largest change 1.5 K" in capsys.readouterr().out


def test_superseded_forecasts_are_named_with_the_command_that_renews_them(capsys):
    entry = {"model": "ridge", "written": 0, "already": 9, "older": 0, "incomplete": 0}
    console.print_forecast([entry | {"superseded": 4, "waiting": 0}])
    assert "4 superseded (inputs final since; --redo-superseded)" in capsys.readouterr().out
    counts = {"scored": 0, "already": 9, "waiting": 0, "dropped": 0, "superseded": 4}
    steady = {"is_drifting": False}
    console.print_evaluate({"did_nothing": True, "models": {"ridge": counts}, "drift": steady})
    said = capsys.readouterr().out
    assert "nothing to do" in said
    assert "4 forecasts of ridge started from preliminary hours" in said
    version = "ridge-0123456789ab"
    console.print_evaluate({"did_nothing": True, "models": {version: counts}, "drift": steady})
    assert f"--redo-superseded --model {version}`" in capsys.readouterr().out


def test_forecasts_of_the_source_that_wait_are_told(capsys):
    entry = {"model": "gfs", "written": 40, "already": 0, "older": 0, "incomplete": 1}
    console.print_forecast([entry | {"superseded": 0, "waiting": 960}])
    assert "40 written" in (said := capsys.readouterr().out)
    assert "960 wait for the next run" in said


def test_a_dry_backfill_says_hours_pieces_and_bytes_and_needs_no_scheduler(tmp_path):
    write(tmp_path / "a.nc", weather(24 * 32))
    make_domain(tmp_path)
    arguments = ["backfill", str(tmp_path / "tiny.yaml"), "--from", "2019-03-02", "--dry-run"]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    # 31 days of 9 x 7 cells of 4 bytes; the first block of 30 days began on 1 March
    assert (
        "would backfill 2019-03-02T00:00Z..2019-04-02T00:00Z: 0 of 744 hours are there, 744 to "
        "fetch in 2 pieces, 0.2 MiB" in result.output
    )
    assert not (tmp_path / "root").exists()


def test_status_shows_a_calendar_with_its_legend_and_every_gap(tmp_path):
    from tests.lsntp.ingest_files import run

    values = weather(48)
    values[30] = 0
    write(tmp_path / "a.nc", values)
    run(make_domain(tmp_path))
    shown = CliRunner().invoke(app, ["status", str(tmp_path / "tiny.yaml")]).output
    assert f"2019-03-01  {'#' * 24}\n2019-03-02  {'#' * 6}q{'#' * 17}\n" in shown
    assert "# final 47   q quarantined 1" in shown
    gap = "2019-03-02T06:00Z..2019-03-02T07:00Z  quarantined since 2019-05-01T12:00Z: Expected"
    assert gap in shown
    period = ["--from", "2019-03-01", "--to", "2019-03-01T03"]
    shown = CliRunner().invoke(app, ["status", str(tmp_path / "tiny.yaml"), *period]).output
    assert "2019-03-01  ###\n" in shown
