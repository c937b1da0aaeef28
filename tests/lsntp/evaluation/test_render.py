"""The table in a terminal of any width."""

import re
from io import StringIO

import pytest
from rich.console import Console

from lsntp.evaluation.skill import render_table, skill_table


def printed(table, width):
    text = StringIO()
    Console(file=text, width=width).print(render_table(table, width=width))
    return text.getvalue()


@pytest.mark.parametrize("width", [60, 80, 100, 160])
def test_nothing_is_cut_or_folded_at_any_usual_width(scored, width):
    table = skill_table(scored.domain)
    text = printed(table, width)
    assert "…" not in text
    lines = [line.replace("★", "") for line in text.splitlines()]
    rows = [line for line in lines if line.split()[:1] and line.split()[0] in table.models]
    names = [row.split()[0] for row in rows]
    assert names == ["ridge", "lsntp", "persistence"]
    for name, row in zip(names, rows, strict=True):
        assert f"{table.score(name, 'mae'):.3f}" in row


def test_a_skill_of_too_few_days_for_an_interval_stands_alone(scored):
    """The test block holds fewer than the six days that an interval takes."""
    text = printed(skill_table(scored.domain), 100)
    assert "nan" not in text
    (row,) = (line for line in text.splitlines() if "persistence" in line)
    assert re.fullmatch(r"[+-]\d+\.\d\d", row.split()[-1])


def test_the_winner_is_marked_once_and_every_lead_shown_where_there_is_room(scored):
    text = printed(skill_table(scored.domain), 160)
    assert text.count("★") == 1
    assert "★ ridge" in text
    for heading in ("+6 h", "+12 h", "mean", "RMSE", "ACC", "SSIM", "skill vs best"):
        assert heading in text


def test_a_narrow_terminal_keeps_mean_and_skill(scored):
    text = printed(skill_table(scored.domain), 56)
    assert "mean" in text
    assert "skill vs best" in text
    assert "SSIM" not in text
