"""Charts as they reach the page: their ids, their ink, and the points of their lines."""

import re

import numpy as np

from lsntp.grid import Grid
from lsntp.report.curves import (
    by_lead,
    distance_chart,
    lead_curves,
    line_chart,
    styles_of,
    time_chart,
)
from lsntp.report.data import Links
from lsntp.times import parse_time

STYLES = styles_of({"ridge": "baseline", "net": "network"})
HOURS = np.array([1.0, 2.0, 3.0])


def lines_of(svg):
    """The path of every model's line in the order of drawing, by id."""
    return dict(re.findall(r'<g id="(line-[^"]+)">\s*<path d="([^"]*)"', svg))


def points(path):
    """Commands and places: y grows downwards."""
    found = re.findall(r"([ML]) ([-\d.]+) ([-\d.]+)", path)
    return [command for command, _, _ in found], [(float(x), float(y)) for _, x, y in found]


def texts(svg):
    return re.findall(r"<text[^>]*>([^<]*)</text>", svg)


def test_a_baseline_keeps_its_style_and_networks_take_theirs_by_name():
    few = styles_of({"net": "network", "ridge": "baseline"})
    many = styles_of({f"net-{index}": "network" for index in range(5)})
    assert few["ridge"] == many["ridge"]
    assert few["net"] == many["net-0"] == many["net-4"]  # four styles, then again from the first
    assert len({many[f"net-{index}"].colour for index in range(4)}) == 4
    assert all(style.marker_path.startswith("M") for style in many.values())


def test_the_curves_of_a_table_show_its_weighting_in_the_order_of_the_ranking(make_data):
    table = make_data().table
    curves = lead_curves(table, styles_of(table.kinds))
    assert [name for name, _ in curves.legend] == list(table.models)
    assert [chart.name for chart in curves.charts] == ["mae", "rmse"]
    ids = [f"line-rmse-{model}" for model in table.models]
    assert list(lines_of(curves.charts[1].svg)) == ids[::-1]  # the best is drawn last, on top
    doubled = table.scores.copy(deep=True)
    doubled["mae"].loc[{"weighting": "plain"}] *= 2
    plain = make_data(table=type(table)(**vars(table) | {"scores": doubled, "weighting": "plain"}))
    ratio = by_lead(plain.table, "ridge", "mae") / by_lead(table, "ridge", "mae")
    np.testing.assert_allclose(ratio, 2.0)


def test_lines_start_from_zero_and_stop_at_gaps():
    svg = line_chart(
        HOURS,
        {"net": np.array([1.0, 2.0, 4.0]), "ridge": np.array([3.0, np.nan, 3.0])},
        STYLES,
        name="mae",
        label="lead time, hours",
    )
    paths = lines_of(svg)
    assert list(paths) == ["line-mae-ridge", "line-mae-net"]
    commands, places = points(paths["line-mae-net"])
    assert commands == ["M", "L", "L"]
    (x1, y1), (x2, y2), (x3, y3) = places
    assert np.isclose(x3 - x2, x2 - x1, atol=1e-3)
    assert np.isclose(y2 - y3, 2 * (y1 - y2), atol=1e-3)  # 2 K up, after 1 K up
    assert points(paths["line-mae-ridge"])[0] == ["M", "M"]
    assert "lead time, hours" in texts(svg)
    assert "0" in texts(svg) or "0.0" in texts(svg)


def test_words_below_an_axis_are_thinned_to_five():
    names = [f"month {index}" for index in range(12)]
    svg = line_chart(
        np.arange(12.0), {"net": np.ones(12)}, STYLES, name="m", label="", tick_labels=names
    )
    assert [text for text in texts(svg) if "month" in text] == names[::3]


def test_an_element_of_a_page_has_its_ink_and_ids_of_its_own():
    first, second = (
        line_chart(HOURS, {"net": HOURS}, STYLES, name=name, label="x") for name in ("a", "b")
    )
    assert first.startswith('<svg class="chart" aria-hidden="true"')
    assert first.endswith("</svg>")
    assert not re.search(r"xmlns|xlink|<style|<metadata|#01020|#04050", first)
    assert {"var(--muted)", "var(--rule)"} <= set(re.findall(r"var\([a-z-]+\)", first))
    ids = [set(re.findall(r'\bid="([^"]+)"', svg)) for svg in (first, second)]
    assert not ids[0] & ids[1]
    assert set(re.findall(r'(?:url\(#|href="#)([^")]+)', first)) <= ids[0]
    assert first == line_chart(HOURS, {"net": HOURS}, STYLES, name="a", label="x")


def test_many_points_in_time_have_no_markers_and_four_dates():
    days = parse_time("2024-01-01") + np.arange(41) * np.timedelta64(1, "D")
    many = time_chart({"net": (days, np.ones(41))}, STYLES, name="t")
    few = time_chart({"net": (days[:40], np.ones(40))}, STYLES, name="t")
    assert many.count("<use") < 40
    assert few.count("<use") >= 40
    shown = [text for text in texts(many) if text.startswith("20")]
    assert shown == ["2024-01-01", "2024-01-14", "2024-01-28", "2024-02-10"]  # days 0, 13, 27, 40


def test_each_mark_is_one_more_upright_line():
    days = parse_time("2024-01-01") + np.arange(5) * np.timedelta64(1, "D")
    charts = [
        time_chart({"net": (days, np.ones(5))}, STYLES, name="t", marks=days[:number])
        for number in (0, 2)
    ]
    dashed = [len(re.findall(r"stroke-dasharray", chart)) for chart in charts]
    assert dashed[1] - dashed[0] == 2


def test_a_grid_too_small_for_any_share_of_distances_still_has_a_chart():
    grid = Grid(np.array([51.0, 50.0]), np.array([0.0, 1.0]))
    links = Links("net", "net-0123", (51.0, 0.0), (0, 0), grid, np.full((2, 2), 0.25))
    assert "great-circle distance, km" in texts(distance_chart(links))
