import itertools
import re
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

import lsntp
from lsntp.archives.forecast import ForecastArchive
from lsntp.config import load_domain
from lsntp.report.html import PAGES
from lsntp.report.page import render, snippet
from tests.lsntp.report.parsing import Page

PAGE_FILES = {"../index.html", *(page.file for page in PAGES)}


@pytest.fixture(scope="module")
def text(make_data):
    return render(make_data())


@pytest.fixture(scope="module")
def page(text):
    return Page(text)


def test_every_element_is_closed_where_it_was_opened(page):
    assert page.errors == []
    assert page.stack == []


def test_nothing_is_loaded_from_anywhere(text):
    assert re.findall(r"https?:|url\((?!#)|@import", text) == []
    for _, attributes in Page(text).elements:
        for name in ("src", "href", "xlink:href", "srcset"):
            target = attributes.get(name, "#")
            assert target.startswith(("#", "data:")) or target in PAGE_FILES


def test_every_picture_says_what_it_shows(page):
    pictures = page.all("img")
    assert len(pictures) == 2 * 3 * 6 + 4 + 1 + 1  # two animations, errors, links, calendar
    assert all(picture["alt"].strip() for picture in pictures)


def test_a_chart_is_named_for_those_who_cannot_see_it(page):
    charts = [f for f in page.all("figure") if f.get("role") == "group"]
    assert len(charts) == 3
    assert all(chart["aria-label"] for chart in charts)


def test_ids_are_unique_and_references_lead_somewhere(text, page):
    ids = Counter(a["id"] for _, a in page.elements if "id" in a)
    assert [name for name, count in ids.items() if count > 1] == []
    referenced = {a["aria-labelledby"] for _, a in page.elements if "aria-labelledby" in a}
    referenced |= {a["href"][1:] for a in page.all("use")} | set(
        re.findall(r"url\(#([^)]*)\)", text)
    )
    assert referenced <= set(ids)


def test_headings_go_down_one_level_at_a_time(page):
    levels = [int(tag[1]) for tag, _ in page.elements if re.fullmatch(r"h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(level <= before + 1 for before, level in itertools.pairwise(levels))


def test_sections_come_in_the_order_of_a_reader(page):
    sections = [s["id"] for s in page.all("section")]
    assert sections == ["forecast", "skill", "leads", "maps", "links", "coverage", "read", "made"]


def test_the_winner_is_marked_once(page):
    winners = [row for row in page.all("tr") if "winner" in row.get("class", "").split()]
    assert {row.get("data-model") for row in winners} == {"ridge", None}
    assert page.texts.count("winner") == 1


def test_a_losing_network_is_said_to_lose(page):
    assert "The network lsntp-absolute loses to the baseline ridge" in page.text


def test_a_winning_network_is_marked_and_said_to_beat_every_baseline(make_data):
    text = render(make_data({"ridge": 0.9, "persistence": 1.0, "lsntp-increment": 0.5}))
    page = Page(text)
    assert 'class="network winner" data-model="lsntp-increment"' in text
    assert "The network lsntp-increment beats every baseline" in page.text
    assert "loses" not in page.text


def test_all_four_definitions_of_rmse_are_explained(page):
    for word in ("Pooled:", "Per image:", "Per cell:", "From PSNR:"):
        assert word in page.text


def test_synthetic_data_are_labelled_before_anything_else(make_data):
    page = Page(render(make_data(domain=load_domain("demo"))))
    assert "Synthetic data." in page.text
    assert page.text.index("Synthetic data.") < page.text.index(
        "Temperature, forecast and verified"
    )


def test_real_data_are_not_called_synthetic(page):
    assert not any("synthetic" in a.get("class", "") for _, a in page.elements)


def test_without_a_network_the_section_on_links_says_so(make_data):
    data = make_data({"ridge": 0.9, "persistence": 1.0}, links=None)
    page = Page(render(data))
    assert "No network has been trained." in page.text
    assert "No network was scored." in page.text


def test_the_page_names_the_initial_times_compared_not_the_block_they_should_be_in(make_data):
    data = make_data()
    table = replace(data.table, init_times=data.table.init_times[:1])
    page = Page(render(replace(data, table=table)))
    assert "Compared from 2019-03-23T00:00Z to 2019-03-23T00:00Z" in page.text
    assert "from 1 initial time and checked" in page.text
    assert "Mean over all leads and 1 initial time." in page.text


def test_a_page_without_cases_or_maps_still_holds_together(make_data):
    page = Page(render(make_data(cases=(), error_maps=(), links=None)))
    assert page.errors == []
    assert "forecast" not in [s["id"] for s in page.all("section")]


def test_the_same_data_give_the_same_bytes(make_data, text):
    assert render(make_data()) == text


def test_names_and_descriptions_cannot_inject_markup(make_data):
    domain = load_domain("era5-uk", overrides={"description": "<script>alert(1)</script>"})
    assert "<script>alert" not in render(make_data(domain=domain))


@pytest.mark.parametrize("preset", ["demo", "era5-uk", "ncep-north-america", "ncep-6hourly"])
def test_a_page_of_every_domain_is_small(make_data, preset):
    assert len(render(make_data(domain=load_domain(preset)))) < 1_000_000


def test_the_largest_preset_stays_below_three_megabytes(make_data):
    assert len(render(make_data(domain=load_domain("era5-hourly")))) < 3_000_000


def test_provenance_and_configuration_are_there(page):
    assert lsntp.__version__ in page.text
    assert "3f6c2d1e" in page.text
    assert "cadence_h: 1.0" in page.text


def test_five_lines_read_the_archive(make_data, tmp_path, capsys):
    data = make_data()
    path = tmp_path / "a 'quoted' place" / "ridge.zarr"
    archive = ForecastArchive.create(
        path,
        grid=data.grid,
        start=data.domain.start,
        cadence=data.domain.cadence,
        lead_times=data.domain.lead_times,
        attrs={"title": "test"},
    )
    forecast = data.cases[0].forecast.astype("float32")
    archive.publish(
        np.array([data.example_init]),
        forecast[None],
        model_version="ridge-0123456789ab",
        analysis_status=np.array([2], np.int8),
    )
    lines = snippet(replace(data, forecast_path=str(path)))
    assert len(lines.splitlines()) == 5
    exec(lines, {})
    printed = capsys.readouterr().out
    row, column = data.grid.nearest_cell(*data.domain.place)
    expected = forecast[0, row, column] - 273.15
    assert f"{expected:.1f}" in printed
    assert len(re.findall(r"days 0\d:00:00", printed)) == 6


def test_the_snippet_on_the_page_is_the_one_that_was_tested(make_data, page):
    assert snippet(make_data()) in page.texts
